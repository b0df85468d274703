"""The frame around every step: its arguments, its outputs, its exit code.

The operator reads a step's outputs from the container's termination message, which Kubernetes limits to 4096 bytes;
so outputs are names and counts, and the data itself stays on the volume.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from types import FrameType

import duckdb

from flights.errors import BadRequestError, StepError

Outputs = Mapping[str, str | int]

TERMINATION_LOG = Path("/dev/termination-log")
OUTPUTS_LIMIT = 4096


def parser(module: str, description: str) -> argparse.ArgumentParser:
    """Return a parser with the options that all steps share. `module` is the step's name, e.g. ``extract``."""
    made = argparse.ArgumentParser(prog=f"python -m flights.{module}", description=description)
    made.add_argument("--out", type=Path, required=True, help="folder of this run; the step writes below it")
    made.add_argument("--memory-limit", help="memory for DuckDB, e.g. 300MB (default: 65 %% of the container's)")
    return made


def parse_day(text: str) -> date:
    """Return the day written as YYYY-MM-DD, or raise BadRequestError."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadRequestError(f"{text!r} is not a day: write it as YYYY-MM-DD, e.g. 2013-01-01") from None


def say(line: str) -> None:
    """Print one line of progress at once, so that it is in the pod's log even if the step is killed next."""
    print(line, flush=True)


def main(name: str, work: Callable[[argparse.Namespace], Outputs], args: argparse.Namespace) -> int:
    """Do the step's work, hand over its outputs, and return the exit code."""
    started = time.monotonic()
    try:
        write_outputs(work(args))
    except StepError as error:
        print(f"{name}: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    except (duckdb.Error, OSError) as error:
        print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return StepError.exit_code
    say(f"{name}: done in {time.monotonic() - started:.2f} s")
    return 0


def run(entry: Callable[[Sequence[str]], int]) -> None:
    """Run a step as a program. As process 1 of a container it would not hear SIGTERM without a handler of its own."""
    signal.signal(signal.SIGTERM, _stop)
    sys.exit(entry(sys.argv[1:]))


def write_outputs(outputs: Outputs) -> None:
    """Write the outputs as one JSON object to ``$SLUICE_OUTPUTS``, by default the container's termination log.

    Outside of a container there is no termination log, and the outputs are only printed.
    """
    text = json.dumps(outputs)
    size = len(text.encode())
    if size > OUTPUTS_LIMIT:
        raise StepError(f"the outputs take {size} bytes, {OUTPUTS_LIMIT} are allowed: leave data on the volume")
    say(f"outputs: {text}")
    chosen = os.environ.get("SLUICE_OUTPUTS")
    if chosen:
        Path(chosen).write_text(text)
    elif TERMINATION_LOG.exists():
        TERMINATION_LOG.write_text(text)


def _stop(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
