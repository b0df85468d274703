"""Plays examples/flights/pipeline.yaml without a cluster: its steps in order, in this process, with its own arguments.

So a misspelt argument, a missing output or a wrong reference in the file is found here.
"""

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from sluice.api.base import Json
from sluice.planning.references import substitute

EXAMPLE = Path(__file__).parents[3] / "examples" / "flights"
NEW_YEAR, INDEPENDENCE = date(2013, 1, 1), date(2013, 7, 4)
BLIZZARD, AFTER_BLIZZARD = date(2013, 2, 8), date(2013, 2, 9)
SUMMER_TIME_BEGINS, SUMMER_TIME_ENDS = date(2013, 3, 10), date(2013, 11, 3)
DAYS = (NEW_YEAR, INDEPENDENCE, BLIZZARD, AFTER_BLIZZARD, SUMMER_TIME_BEGINS, SUMMER_TIME_ENDS)


@dataclass(frozen=True)
class Play:
    """A finished run: its folder, what each step wrote as outputs, and where the published tables are."""

    folder: Path
    outputs: Mapping[str, Mapping[str, Any]]
    volume: Path

    def partition(self, table: str, day: date) -> Path:
        """Return the one file of a published table's partition."""
        return self.volume / "flights" / table / f"year={day.year}/month={day.month}/day={day.day}/part-0.parquet"

    def files(self) -> dict[str, bytes]:
        """Return the content of every file on the volume, by its path."""
        return {str(p.relative_to(self.volume)): p.read_bytes() for p in self.volume.rglob("*") if p.is_file()}


def rows_of(path: Path | str) -> list[dict[str, Any]]:
    """Return the rows of a Parquet file. Instants become datetimes in UTC (DuckDB itself would need pytz for that)."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        file = connection.sql(f"FROM read_parquet('{path}')")
        types = {name: str(kind) for name, kind in zip(file.columns, file.types, strict=True)}
        instants = [name for name, kind in types.items() if kind == "TIMESTAMP WITH TIME ZONE"]
        columns = [f"CAST({name} AS VARCHAR) AS {name}" if name in instants else name for name in types]
        values = connection.sql(f"SELECT {', '.join(columns)} FROM read_parquet('{path}')").fetchall()
    rows: list[dict[str, Any]] = [dict(zip(types, row, strict=True)) for row in values]
    for row in rows:
        row.update({name: datetime.fromisoformat(row[name]) for name in instants})
    return rows


def pipeline() -> dict[str, Any]:
    """Return the spec of pipeline.yaml."""
    spec: dict[str, Any] = yaml.safe_load((EXAMPLE / "pipeline.yaml").read_text())["spec"]
    return spec


def play(day: date, source: Path, volume: Path) -> Play:
    """Run every step of pipeline.yaml for a day; each has to succeed."""
    known = facts(day, source)
    outputs: dict[str, Mapping[str, Any]] = {}
    spec = pipeline()
    known["run.outcome"], known["run.reason"] = "Succeeded", ""
    for declared in (*spec["steps"], *spec["finally"]):
        name = declared["name"]
        code, outputs[name] = run_step(declared, known, volume)
        assert code == 0, f"{name} ended with {code}"
        known[f"steps.{name}.phase"], known[f"steps.{name}.reason"] = "Succeeded", ""
        known |= {f"steps.{name}.outputs.{key}": value for key, value in outputs[name].items()}
    return Play(volume / "flights" / "runs" / str(known["run.name"]), outputs, volume)


def facts(day: date, source: Path) -> dict[str, Json]:
    """Return what references stand for at the start of a run."""
    return {
        "params.source": str(source),
        "interval.start.date": day.isoformat(),
        "run.name": f"flights-{day}",
        "run.pipeline": "flights-daily",
        "run.revision": "flights-daily-5f2c",
    }


def run_step(declared: Mapping[str, Any], known: Mapping[str, Json], volume: Path) -> tuple[int, Mapping[str, Any]]:
    """Run one step as the file declares it; return its exit code and its outputs."""
    python, flag, module = declared["command"]
    assert (python, flag) == ("python3", "-m")
    written = volume / "outputs.json"
    written.unlink(missing_ok=True)
    arguments = [substitute(argument.replace("=/data/", f"={volume}/"), known) for argument in declared["args"]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLUICE_OUTPUTS", str(written))
        code: int = importlib.import_module(module).main(arguments)
    outputs = json.loads(written.read_text()) if written.exists() else {}
    written.unlink(missing_ok=True)
    return code, outputs
