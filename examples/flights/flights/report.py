"""The last step, whatever happened: a short report for people, from what the operator knows of the run.

It depends on no other step's data. Numbers of steps that did not finish arrive as ``-``; the table of carriers is
shown if it is there.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from flights import step, tables

STEPS = ("extract", "screen", "clean", "enrich", "delays", "audit", "publish")
MISSING = "-"
LATEST_CARRIERS = """
    SELECT carrier, coalesce(carrier_name, 'unknown'), flown, cancelled, round(mean_arr_delay, 1)
    FROM delays ORDER BY mean_arr_delay DESC NULLS LAST, carrier LIMIT 5
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, run the step, return its exit code."""
    parser = step.parser("report", "Write a short report about the run.")
    parser.add_argument("--pipeline", required=True, help="the pipeline's name")
    parser.add_argument("--run", required=True, help="the run's name")
    parser.add_argument("--revision", default=MISSING, help="the revision that ran")
    parser.add_argument("--day", required=True, help="the day of flights")
    parser.add_argument("--outcome", required=True, help="how the run ended")
    parser.add_argument("--reason", default="", help="why, if it is known")
    for name in STEPS:
        parser.add_argument(f"--{name}", default=MISSING, help=f"how the step {name} ended")
        parser.add_argument(f"--{name}-reason", default="", help=f"why the step {name} ended so")
    parser.add_argument("--scheduled", default=MISSING, help="flights in the day's table")
    parser.add_argument("--set-aside", default=MISSING, help="rows that were set aside")
    parser.add_argument("--flown", default=MISSING, help="flights that left")
    parser.add_argument("--cancelled", default=MISSING, help="flights that did not")
    parser.add_argument("--unknown-planes", default=MISSING, help="tail numbers that are not among the planes")
    parser.add_argument("--published", default=MISSING, help="where the flights were published")
    parser.add_argument("--delays-uri", default=MISSING, help="the Parquet file that delays wrote")
    return step.main("report", report, parser.parse_args(argv))


def report(args: argparse.Namespace) -> step.Outputs:
    """Print the report, write ``report.txt``; return its place and its first line."""
    lines = summary(args)
    if args.delays_uri != MISSING and Path(args.delays_uri).is_file():
        lines += ["", *carriers(Path(args.delays_uri), args.memory_limit)]
    text = "\n".join(lines) + "\n"
    step.say(text)
    target: Path = args.out / "report.txt"
    write_text(text, target)
    return {"uri": str(target), "headline": lines[0]}


def summary(args: argparse.Namespace) -> list[str]:
    """Return the report's first part: how the run and its steps ended, and what they counted."""
    told = {
        "extract": f"{args.scheduled} flights scheduled",
        "screen": f"{args.set_aside} set aside",
        "clean": f"{args.flown} flown, {args.cancelled} cancelled",
        "enrich": f"{args.unknown_planes} tail numbers not among the planes",
        "delays": "",
        "audit": "",
        "publish": f"to {args.published}",
    }
    lines = [f"{args.pipeline}, flights of {args.day}: {args.outcome}{because(args.reason)}"]
    lines.append(f"run {args.run}, revision {args.revision}")
    lines.append("")
    for name in STEPS:
        phase = getattr(args, name)
        line = f"  {name:<8} {phase:<14} {known(told[name])}".rstrip()
        lines.append(line + because(getattr(args, f"{name}_reason")))
    return lines


def known(fact: str) -> str:
    """Return a fact, or nothing where a number in it is missing."""
    return "" if MISSING in fact.split() else fact


def because(reason: str) -> str:
    """Return a reason in brackets, or nothing where none is known."""
    return f" ({reason})" if reason and reason != MISSING else ""


def carriers(path: Path, memory_limit: str | None) -> list[str]:
    """Return the carriers with the greatest mean delay at arrival, one a line."""
    with tables.connect(memory_limit) as connection:
        tables.view_of_parquet(connection, "delays", path)
        rows = connection.execute(LATEST_CARRIERS).fetchall()
    lines = ["Carriers with the greatest mean delay at arrival (minutes):"]
    for carrier, name, flown, cancelled, delay in rows:
        minutes = MISSING if delay is None else f"{delay:+.1f}"
        lines.append(f"  {minutes:>7}  {carrier}  {name} ({flown} flown, {cancelled} cancelled)")
    return lines


def write_text(text: str, target: Path) -> None:
    """Write a text file that is there complete or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=target.parent) as folder:
        grown = Path(folder) / target.name
        grown.write_text(text)
        tables.put_in_place(grown, target)


if __name__ == "__main__":
    step.run(main)
