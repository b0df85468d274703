"""`python -m dev.bench.gates_compare [--rows N]`: the checks of `dev.bench.gates` beside Great Expectations and pandera.

Both are installed, pinned, into an environment of their own in the user's cache: sluice does not depend on them. Each
evaluates what it can express of the nine checks over the same Parquet file, in a process of its own, once. Printed are
seconds, with the reading of the file, and the peak of the process' memory.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

from dev.bench.gates import CACHE, data_file, measure

ROWS = 10_000_000
PINS = ("great_expectations==1.24.1", "pandera[pandas]==0.35.0", "pandas==3.1.1", "pyarrow==26.0.1")

GREAT_EXPECTATIONS = """
import pandas, great_expectations as gx, great_expectations.expectations as gxe
context = gx.get_context(mode="ephemeral")
context.variables.progress_bars = {"globally": False}
frame = pandas.read_parquet(path)
frame["failed"] = frame["status"] == "failed"
batch = context.data_sources.add_pandas("p").add_dataframe_asset("a").add_batch_definition_whole_dataframe("b")
suite = gx.ExpectationSuite(name="s", expectations=[
    gxe.ExpectTableRowCountToBeBetween(min_value=1),
    gxe.ExpectColumnValuesToNotBeNull(column="id"),
    gxe.ExpectColumnValuesToNotBeNull(column="created_at"),
    gxe.ExpectColumnValuesToNotBeNull(column="merchant"),
    gxe.ExpectColumnValuesToMatchRegex(column="phone", regex="^[6-9][0-9]{9}$", mostly=0.99),
    gxe.ExpectColumnValuesToBeBetween(column="amount", min_value=0, max_value=60000),
    gxe.ExpectColumnValuesToBeInSet(column="status", value_set=["captured", "failed", "refunded", "pending"]),
    gxe.ExpectColumnValuesToBeBetween(column="created_at", min_value=pandas.Timestamp("2026-01-01"),
                                      max_value=pandas.Timestamp("2026-01-02"), strict_max=True),
    gxe.ExpectColumnMeanToBeBetween(column="amount", min_value=20000, max_value=30000),
    gxe.ExpectColumnMeanToBeBetween(column="failed", max_value=0.1),
    gxe.ExpectColumnValuesToBeBetween(column="amount", min_value=0, strict_min=True,
                                      row_condition="status=='refunded'", condition_parser="pandas"),
])
result = batch.get_batch({"dataframe": frame}).validate(suite, result_format="SUMMARY")
passed = sum(row.success for row in result.results)
total = len(result.results)
"""
PANDERA = """
import pandas, pandera.pandas as pa
frame = pandas.read_parquet(path)
known = ["captured", "failed", "refunded", "pending"]
day, next_day = pandas.Timestamp("2026-01-01"), pandas.Timestamp("2026-01-02")
schema = pa.DataFrameSchema(
    {
        "id": pa.Column(nullable=False),
        "merchant": pa.Column(nullable=False),
        "phone": pa.Column(checks=pa.Check(lambda s: s.str.fullmatch("[6-9][0-9]{9}").mean() >= 0.99)),
        "amount": pa.Column(checks=[pa.Check.in_range(0, 60000), pa.Check(lambda s: 20000 <= s.mean() <= 30000)]),
        "status": pa.Column(checks=[pa.Check.isin(known), pa.Check(lambda s: (s == "failed").mean() <= 0.1)]),
        "created_at": pa.Column(nullable=False, checks=pa.Check(lambda s: (s >= day) & (s < next_day))),
    },
    checks=[pa.Check(lambda f: len(f) >= 1), pa.Check(lambda f: (f["status"] != "refunded") | (f["amount"] > 0))],
)
try:
    schema.validate(frame, lazy=True)
    passed, total = 11, 11
except pa.errors.SchemaErrors as error:
    passed, total = 11 - len(error.failure_cases["check"].unique()), 11
"""
_FRAME = """
import json, resource, sys, time
path = sys.argv[1]
start = time.perf_counter()
{body}
seconds = time.perf_counter() - start
mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({{"seconds": seconds, "mib": mib, "passed": passed, "total": total}}))
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m dev.bench.gates_compare", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS, help=f"rows of the file, by default {ROWS:,}")
    options = parser.parse_args(argv)
    path = data_file(options.rows)
    python = _environment()
    print(f"rows: {options.rows:,}; {', '.join(PINS[:2])}")
    ours = measure("gate", path)
    passed = sum(outcome == "Pass" for outcome in ours.outcomes)
    print(_row("sluice", ours.seconds, ours.mib, f"{passed} of {len(ours.outcomes)} checks pass"))
    for name, body in (("pandera", PANDERA), ("Great Expectations", GREAT_EXPECTATIONS)):
        done = subprocess.run(
            [python, "-c", _FRAME.format(body=body), path], capture_output=True, text=True, check=False
        )
        if done.returncode:
            reason = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
            print(f"{name:18} failed: {reason[0]}")
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        print(_row(name, found["seconds"], found["mib"], f"{found['passed']} of {found['total']} checks pass"))
    return 0


def _row(name: str, seconds: float, mib: float, checks: str) -> str:
    return f"{name:18} {seconds:8.2f} s {mib:7.0f} MiB peak   {checks}"


def _environment() -> Path:
    """The Python of an environment with the pinned packages, made where it is not there yet."""
    folder = CACHE / "compared"
    python, mark = folder / "bin" / "python", folder / "installed.txt"
    if not mark.exists() or mark.read_text() != "\n".join(PINS):
        print(f"installing {', '.join(PINS)}", file=sys.stderr)
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PINS], check=True)
        mark.write_text("\n".join(PINS))
    return python


if __name__ == "__main__":
    sys.exit(main())
