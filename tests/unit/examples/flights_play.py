"""Plays examples/flights/pipeline.yaml without a cluster: its steps in order, in this process, with its own arguments.

Gates are evaluated by the program of the gate's pod, with the environment that the operator gives it, and judged as the
operator judges them. So a misspelt argument, a missing output or a wrong reference in the file is found here.
"""

import importlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from sluice.api.base import Json
from sluice.api.gate import QualityGateSpec, QualityGateStatus
from sluice.api.pipeline import DataPipelineSpec
from sluice.api.run import Interval, StepPhase, StepStatus
from sluice.checks import runner
from sluice.planning import gate_pods, gate_steps
from sluice.planning.actions import Settings
from sluice.planning.pods import RunIdentity
from sluice.planning.references import substitute
from sluice.planning.scene import Progress, Scene
from sluice.planning.views import GateView

EXAMPLE = Path(__file__).parents[3] / "examples" / "flights"
NEW_YEAR, INDEPENDENCE = date(2013, 1, 1), date(2013, 7, 4)
BLIZZARD, AFTER_BLIZZARD = date(2013, 2, 8), date(2013, 2, 9)
SUMMER_TIME_BEGINS, SUMMER_TIME_ENDS = date(2013, 3, 10), date(2013, 11, 3)
DAYS = (NEW_YEAR, INDEPENDENCE, BLIZZARD, AFTER_BLIZZARD, SUMMER_TIME_BEGINS, SUMMER_TIME_ENDS)


EVALUATED = datetime(2014, 1, 1, tzinfo=UTC)
"""When gates are evaluated."""


@dataclass(frozen=True)
class End:
    """How a step ended."""

    phase: str
    reason: str = ""
    message: str = ""


@dataclass(frozen=True)
class Play:
    """An ended run: its folder, what each step wrote as outputs and how it ended, and where the published tables are."""

    folder: Path
    outputs: Mapping[str, Mapping[str, Any]]
    volume: Path
    ends: Mapping[str, End] = field(default_factory=dict)

    @property
    def failed(self) -> list[str]:
        """The steps that failed themselves, in order."""
        return [name for name, end in self.ends.items() if end.phase == "Failed"]

    @property
    def set_aside(self) -> list[dict[str, Any]]:
        """The rows in quarantine, each with the names of the checks that it fails; none where there is no file."""
        file = self.folder / "screen" / "quarantine" / "flights.parquet"
        return rows_of(file) if file.exists() else []

    def published(self) -> dict[str, bytes]:
        """The content of every published file, by its path."""
        return {path: content for path, content in self.files().items() if path.startswith("flights/published")}

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


def gates() -> dict[str, GateView]:
    """The gates of the example by name, as the operator sees them."""
    views = {}
    for path in sorted((EXAMPLE / "gates").glob("*.yaml")):
        manifest = yaml.safe_load(path.read_text())
        name, spec = manifest["metadata"]["name"], manifest["spec"]
        views[name] = GateView(
            namespace="flights",
            name=name,
            uid=name,
            generation=1,
            deleting=False,
            raw_spec=spec,
            spec=QualityGateSpec.model_validate(spec),
            problem="",
            status=QualityGateStatus(),
        )
    return views


def play(day: date, source: Path, volume: Path) -> Play:
    """Run every step of pipeline.yaml for a day; each has to succeed."""
    played = play_to_its_end(day, source, volume)
    assert not played.failed, {name: played.ends[name] for name in played.failed}
    return played


def play_to_its_end(day: date, source: Path, volume: Path, run: str = "") -> Play:
    """Run the steps of pipeline.yaml for a day as far as they get, and the finally steps."""
    known = facts(day, source, run)
    outputs: dict[str, Mapping[str, Any]] = {}
    ends: dict[str, End] = {}

    def run_one(declared: Mapping[str, Any]) -> None:
        name, written = declared["name"], dict[str, Any]()
        if any(ends[before].phase != "Succeeded" for before in declared.get("dependsOn", ())):
            ends[name] = End("UpstreamFailed")
        elif "gate" in declared:
            ends[name], written = run_gate(declared, known, volume)
        else:
            code, written = run_step(declared, known, volume)
            ends[name] = End("Failed", "ExitCode", f"ended with {code}") if code else End("Succeeded")
        if written:
            outputs[name] = written
        known[f"steps.{name}.phase"], known[f"steps.{name}.reason"] = ends[name].phase, ends[name].reason
        known.update({f"steps.{name}.outputs.{key}": value for key, value in written.items()})

    spec = pipeline()
    for declared in spec["steps"]:
        run_one(declared)
    well = all(end.phase == "Succeeded" for end in ends.values())
    known["run.outcome"], known["run.reason"] = ("Succeeded", "") if well else ("Failed", "StepsFailed")
    for declared in spec["finally"]:
        run_one(declared)
    return Play(volume / "flights" / "runs" / str(known["run.name"]), outputs, volume, ends)


def facts(day: date, source: Path, run: str = "") -> dict[str, Json]:
    """What references stand for at the start of a run, with the interval that the schedule gives."""
    return {
        "params.source": str(source),
        "interval.start": f"{day}T12:30:00Z",
        "interval.end": f"{day + timedelta(days=1)}T12:30:00Z",
        "interval.start.date": day.isoformat(),
        "run.name": run or f"flights-{day}",
        "run.pipeline": "flights-daily",
        "run.revision": "flights-daily-5f2c",
    }


def run_gate(declared: Mapping[str, Any], known: Mapping[str, Json], volume: Path) -> tuple[End, dict[str, Any]]:
    """Evaluate a gate step as the file declares it; return how it ended and its outputs."""
    spec = DataPipelineSpec.model_validate(pipeline())
    [step] = [one for one in spec.steps if one.name == declared["name"]]
    scene = Scene(
        identity=RunIdentity("flights", str(known["run.name"]), "run-1", "flights-daily", "flights-daily-5f2c"),
        spec=spec,
        pods={},
        refusals={},
        gates=gates(),
        tallies={},
        interval=Interval.model_validate({side: known[f"interval.{side}"] for side in ("start", "end")}),
        siblings=(),
        values=lambda _: known,
        settings=Settings(),
        now=EVALUATED,
    )
    begun = StepStatus(name=step.name, phase=StepPhase.RUNNING, attempt=1, pod="gate")
    begun = gate_steps.launch(begun, step, scene, None)
    [container] = gate_pods.pod_of(step, begun, scene, known)["spec"]["containers"]
    given = {row["name"]: row["value"] for row in container["env"] if "value" in row}
    written = volume / "outputs.json"
    environment = {
        "SLUICE_GATE": given["SLUICE_GATE"].replace("$$", "$").replace('"/data/', f'"{volume}/'),
        "SLUICE_CPU_LIMIT": "1",
        "SLUICE_OUTPUTS": str(written),
    }
    assert runner.main(environment, EVALUATED, io.StringIO()) == 0, written.read_text()
    said = json.loads(written.read_text())
    written.unlink()
    ended = gate_steps.follow(step, gate_steps.after_pod(begun, said, scene), scene, Progress({}))
    return End(str(ended.phase), str(ended.reason or ""), ended.message or ""), dict(ended.outputs or {})


def run_step(declared: Mapping[str, Any], known: Mapping[str, Json], volume: Path) -> tuple[int, dict[str, Any]]:
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
