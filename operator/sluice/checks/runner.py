"""Evaluates a gate inside the pod of a gate step: `python -m sluice.checks.runner`.

What it is asked comes in the environment, and what it found goes three ways: lines for people and the whole report (one
line, after `sluice-report: `) to standard output, files to the report folder, and the short form to the termination
message, from which the operator takes it.

    SLUICE_GATE           JSON: {name, spec, sources: {name: uri}, args: {name: value}, interval: {start, end} or null,
                          zone, quarantine, passing, report}; run and step are there too, for people
    SLUICE_MEMORY_LIMIT   bytes that the container may use; DuckDB is given 65 % of them
    SLUICE_CPU_LIMIT      cores, for the number of threads
    SLUICE_GATE_TIMEOUT   seconds after which the checks that still run are Errors
    SLUICE_SPILL          folder for what does not fit into memory
    SLUICE_OUTPUTS        file of the termination message

It ends with 0 whenever the gate was evaluated, whatever the verdict; with 64 when SLUICE_GATE cannot be read; with
another code, and the reason in the termination message as {"error": ...}, when the evaluation broke down.
"""

import json
import math
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, ValidationError

from sluice.api.base import Json, Model, Time
from sluice.api.gate import QualityGateSpec
from sluice.api.names import REPORT_PREFIX
from sluice.checks.engine import evaluate
from sluice.checks.evidence import MAX_SHORT_BYTES, to_json, to_line, to_lines, to_short
from sluice.checks.files import CannotWrite, write_text
from sluice.checks.page import to_html
from sluice.checks.report import Report
from sluice.checks.sources import DEFAULT_MEMORY, Resources
from sluice.checks.sql import When

TERMINATION_LOG = "/dev/termination-log"
BAD_GATE = 64
BROKE_DOWN = 70
TERMINATED = 128 + signal.SIGTERM
MEMORY_SHARE = 0.65
"""Of the container's memory, for DuckDB's buffers: the rest is for Python, decoders and the allocator."""


class Interval(Model):
    """The data interval of the run."""

    start: Time
    end: Time


class Order(Model):
    """What the runner is asked."""

    name: str
    spec: QualityGateSpec
    sources: dict[str, str] = Field(default={})
    args: dict[str, Json] = Field(default={})
    interval: Interval | None = None
    zone: str = "UTC"
    quarantine: str | None = None
    """Folder for rows that are set aside."""
    passing: str | None = None
    """Folder for the rest."""
    report: str | None = None
    """Folder for report.json and report.html."""
    run: str | None = None
    step: str | None = None


@dataclass(frozen=True)
class Settings:
    """The environment, read."""

    order: Order
    resources: Resources = field(default_factory=Resources)
    time_limit: float | None = None


class BadOrder(Exception):
    """The environment does not say what to evaluate: the message says what is wrong with it."""


def read_settings(environment: Mapping[str, str]) -> Settings:
    """What the environment asks for. Raises BadOrder."""
    text = environment.get("SLUICE_GATE")
    if not text:
        raise BadOrder("SLUICE_GATE is not set")
    try:
        order = Order.model_validate_json(text)
        ZoneInfo(order.zone)
        memory = environment.get("SLUICE_MEMORY_LIMIT")
        cores = environment.get("SLUICE_CPU_LIMIT")
        seconds = environment.get("SLUICE_GATE_TIMEOUT")
        spill = environment.get("SLUICE_SPILL")
        resources = Resources(
            memory=f"{int(MEMORY_SHARE * int(memory) / 1024)}KiB" if memory else DEFAULT_MEMORY,
            threads=max(1, math.ceil(float(cores))) if cores else os.cpu_count() or 1,
            spill=Path(spill) if spill else None,
        )
        return Settings(order, resources, float(seconds) if seconds else None)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, row['loc']))}: {row['msg']}" for row in error.errors()]
        raise BadOrder(f"SLUICE_GATE: {'; '.join(problems)}") from error
    except (ValueError, ZoneInfoNotFoundError) as error:
        raise BadOrder(f"the environment cannot be read: {error}") from error


def main(environment: Mapping[str, str], now: datetime, out: TextIO) -> int:
    """Evaluate the gate that the environment names: the exit code."""
    outputs = Path(environment.get("SLUICE_OUTPUTS", TERMINATION_LOG))
    try:
        settings = read_settings(environment)
    except BadOrder as error:
        return _fail(BAD_GATE, str(error), outputs, out)
    try:
        with tempfile.TemporaryDirectory(prefix="sluice-") as folder:
            report = _evaluate(settings, now, Path(folder))
    except Exception as error:  # noqa: BLE001 - whatever it is, the operator has to learn of it, and the code says so
        return _fail(BROKE_DOWN, f"{type(error).__name__}: {error}", outputs, out)
    place = _write_report(report, settings.order, out)
    print(*to_lines(report), sep="\n", file=out)
    print(REPORT_PREFIX + to_line(report), file=out, flush=True)
    outputs.write_text(to_short(report, place), encoding="utf-8")
    return 0


def _evaluate(settings: Settings, now: datetime, folder: Path) -> Report:
    order, resources = settings.order, settings.resources
    interval = order.interval
    start, end = (interval.start, interval.end) if interval is not None else (None, None)
    return evaluate(
        order.name,
        order.spec,
        order.sources,
        When(now, start, end, order.zone),
        Resources(resources.memory, resources.threads, resources.spill or folder),
        args=order.args,
        quarantine=order.quarantine,
        passing=order.passing,
        time_limit=settings.time_limit,
        score_lines=False,
    )


def _write_report(report: Report, order: Order, out: TextIO) -> str | None:
    """Write the report's files: the place of the page, None where there is none. That they cannot be written is told."""
    if order.report is None:
        return None
    document: dict[str, Any] = {**to_json(report), "run": order.run, "step": order.step}
    try:
        write_text(order.report, "report.json", json.dumps(document, ensure_ascii=False, indent=2) + "\n")
        return write_text(order.report, "report.html", to_html(document))
    except CannotWrite as error:
        print(f"the report was not kept: {error}", file=out)
        return None


def _fail(code: int, message: str, outputs: Path, out: TextIO) -> int:
    print(message, file=out, flush=True)
    text = json.dumps({"error": message}, ensure_ascii=False)
    while len(text.encode()) > MAX_SHORT_BYTES:
        message = message[: len(message) // 2]
        text = json.dumps({"error": message}, ensure_ascii=False)
    with suppress(OSError):  # the exit code and the log tell it as well
        outputs.write_text(text, encoding="utf-8")
    return code


def end_on_sigterm() -> None:
    """Make SIGTERM end the process at once, also as process 1 and while a query runs.

    A handler of Python's own would wait until DuckDB returns. Has to be called before other threads are started: they
    take over that the signal is blocked.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def wait() -> None:
        signal.sigwait({signal.SIGTERM})
        os._exit(TERMINATED)

    threading.Thread(target=wait, name="sigterm", daemon=True).start()


if __name__ == "__main__":
    end_on_sigterm()
    sys.exit(main(os.environ, datetime.now(UTC), sys.stdout))
