"""`python -m dev.bench.gates [--rows N]`: a gate of nine checks over a large Parquet file, on two threads.

Makes the file once, in the user's cache, under a name that depends on what is in it. Then the gate is evaluated in a
process of its own, several times, and the same nine checks as nine queries of their own. Printed are the median of the
seconds that the evaluation took, rows per second, and the peak of the whole process' memory: DuckDB's memory limit
counts its buffers only. Ends with 1 when the gate takes longer, or more memory, than it should.

The file is in the page cache of the system when it is read: what is measured is the work, not the disk.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROWS = 50_000_000
MAX_SECONDS = 6.0
MAX_MIB = 256.0
THREADS = 2
MEMORY = "128MB"
REPEAT = 3
CACHE = Path.home() / ".cache" / "sluice" / "bench"

PAYMENTS = """
SELECT
    i AS id,
    CASE WHEN i % 997 = 0 THEN 'unknown'
         ELSE (6 + hash(i) % 4)::VARCHAR || lpad((hash(i + 1) % 1000000000)::VARCHAR, 9, '0') END AS phone,
    (110000 + hash(i + 2) % 19000)::VARCHAR AS pincode,
    round(10 + (hash(i + 3) % 5000000) / 100.0, 2)::DOUBLE AS amount,
    CASE WHEN hash(i + 4) % 100 < 90 THEN 'captured' WHEN hash(i + 4) % 100 < 96 THEN 'failed'
         WHEN hash(i + 4) % 100 < 99 THEN 'refunded' ELSE 'pending' END AS status,
    TIMESTAMP '2026-01-01' + to_microseconds((i * 86400000000) // {rows}) AS created_at,
    'M' || lpad((hash(i + 5) % 100000)::VARCHAR, 6, '0') AS merchant,
    'c' || (hash(i + 6) % 20000000)::VARCHAR || '@'
        || CASE hash(i + 7) % 3 WHEN 0 THEN 'okaxis' WHEN 1 THEN 'ybl' ELSE 'upi' END AS upi,
    CASE WHEN hash(i + 8) % 10 < 7 THEN NULL ELSE 'order ' || (hash(i + 9) % 1000)::VARCHAR END AS note
FROM range({rows}) r(i)
"""
CHECKS: dict[str, dict[str, Any]] = {
    "rows": {"rowCount": {"min": 1}},
    "complete": {"notNull": {"columns": ["id", "created_at", "merchant"]}},
    "phone": {"regex": {"column": "phone", "pattern": "[6-9][0-9]{9}"}, "mostly": 0.99},
    "amount": {"range": {"column": "amount", "min": 0, "max": 60000}},
    "status": {"inSet": {"column": "status", "values": ["captured", "failed", "refunded", "pending"]}},
    "day": {"window": {"column": "created_at"}},
    "average": {"aggregate": {"column": "amount", "function": "mean", "min": 20000, "max": 30000}},
    "failed": {"ratio": {"numerator": "status = 'failed'", "max": 0.1}},
    "refunds": {"conditional": {"when": "status = 'refunded'", "then": "amount > 0"}},
}


@dataclass(frozen=True)
class Measured:
    """One process' evaluation."""

    seconds: float
    cpu: float
    """Seconds of processor time: what a busy machine changes least."""
    mib: float
    outcomes: tuple[str, ...]


def data_file(rows: int, cache: Path = CACHE) -> Path:
    """The file of payments with so many rows, made where it is not there yet."""
    sql = PAYMENTS.format(rows=rows)
    path = cache / f"payments-{hashlib.sha256(sql.encode()).hexdigest()[:12]}.parquet"
    if not path.exists():
        print(f"making {path}", file=sys.stderr)
        path.parent.mkdir(parents=True, exist_ok=True)
        _child("make", str(path), str(rows))
    return path


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and say whether the target is met."""
    parser = argparse.ArgumentParser(prog="python -m dev.bench.gates", description="Measure a gate over a large file.")
    parser.add_argument("--rows", type=int, default=ROWS, help=f"rows of the file, by default {ROWS:,}")
    options = parser.parse_args(argv)
    path = data_file(options.rows)
    fused = [_measure("gate", path) for _ in range(REPEAT)]
    alone = _measure("separate", path)
    seconds, mib = statistics.median(run.seconds for run in fused), max(run.mib for run in fused)
    print(
        f"rows: {options.rows:,}; file: {path.stat().st_size / 1e6:,.0f} MB; threads: {THREADS}; checks: {len(CHECKS)}"
    )
    print(_row("one gate", seconds, mib, options.rows))
    print(_row("nine queries", alone.seconds, alone.mib, options.rows))
    print(f"each run of the gate: {', '.join(f'{run.seconds:.2f} s ({run.cpu:.2f} s of processor)' for run in fused)}")
    if any(run.outcomes != ("Pass",) * len(CHECKS) for run in (*fused, alone)):
        print(f"gates: the checks should pass, and came to {fused[0].outcomes} and {alone.outcomes}")
        return 1
    met = seconds <= MAX_SECONDS and mib <= MAX_MIB
    print(f"gates: {seconds:.2f} s of {MAX_SECONDS:g}, {mib:.0f} MiB of {MAX_MIB:g}: {'met' if met else 'short of it'}")
    return 0 if met else 1


def _row(name: str, seconds: float, mib: float, rows: int) -> str:
    return f"{name:13} {seconds:7.2f} s {rows / seconds / 1e6:7.1f} million rows/s {mib:6.0f} MiB peak"


def _measure(what: str, path: Path) -> Measured:
    found = json.loads(_child(what, str(path)))
    return Measured(found["seconds"], found["cpu"], found["mib"], tuple(found["outcomes"]))


def _child(*arguments: str) -> str:
    command = [sys.executable, "-c", "import sys; from dev.bench.gates import child; child(sys.argv[1:])", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def child(arguments: Sequence[str]) -> None:
    """What the processes do that are started: make FILE ROWS, gate FILE, or separate FILE."""
    what, path = arguments[0], arguments[1]
    if what == "make":
        import duckdb

        with duckdb.connect(config={"memory_limit": "1GB", "threads": THREADS}) as connection:
            connection.execute(f"COPY ({PAYMENTS.format(rows=int(arguments[2]))}) TO '{path}.part' (FORMAT parquet)")
        Path(f"{path}.part").replace(path)
        return
    names = [list(CHECKS)] if what == "gate" else [[name] for name in CHECKS]
    start, cpu = time.perf_counter(), time.process_time()
    outcomes = [outcome for group in names for outcome in _evaluate(path, group)]
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "cpu": cpu, "mib": mib, "outcomes": outcomes}))


def _evaluate(path: str, names: Sequence[str]) -> list[str]:
    from sluice.api.gate import QualityGateSpec
    from sluice.checks.engine import evaluate
    from sluice.checks.sources import Resources
    from sluice.checks.sql import When

    checks = [{"name": name, "data": {"source": "payments", **CHECKS[name]}} for name in names]
    day = datetime(2026, 1, 1, tzinfo=UTC)
    end = datetime(2026, 1, 2, tzinfo=UTC)
    spec = QualityGateSpec.model_validate({"checks": checks})
    report = evaluate("bench", spec, {"payments": path}, When(end, day, end), Resources(MEMORY, THREADS))
    return [finding.outcome for finding in report.findings]


if __name__ == "__main__":
    sys.exit(main())
