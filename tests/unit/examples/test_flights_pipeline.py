"""pipeline.yaml and its neighbours say what the steps do; the report says what became of the run."""

import importlib
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from sluice.api.durations import parse_duration
from sluice.planning.validation import check_manifest
from tests.unit.examples.flights_by_csv import midnight
from tests.unit.examples.flights_play import BLIZZARD, EXAMPLE, NEW_YEAR, Play, facts, gates, pipeline, run_step

Played = Callable[[date], Play]
ALL_STEPS = [*pipeline()["steps"], *pipeline()["finally"]]
GATE_STEPS = [step for step in ALL_STEPS if "gate" in step]
OWN_STEPS = [step for step in ALL_STEPS if step not in GATE_STEPS]
TYPES = {"string": str, "integer": int}
each_step = pytest.mark.parametrize("declared", OWN_STEPS, ids=lambda declared: str(declared["name"]))


def document(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((EXAMPLE / name).read_text())
    return loaded


@each_step
def test_a_step_writes_the_outputs_that_it_declares(declared: Mapping[str, Any], played: Played) -> None:
    written = played(NEW_YEAR).outputs[declared["name"]]
    assert {key: type(value) for key, value in written.items()} == {
        output["name"]: TYPES[output["type"]] for output in declared["outputs"]
    }


def test_gates_write_the_outputs_that_other_steps_refer_to(played: Played) -> None:
    outputs = played(NEW_YEAR).outputs
    assert outputs["screen"] == {
        "verdict": "Pass",
        "score": 100.0,
        "rows": 842,
        "uri": str(played(NEW_YEAR).folder / "screen" / "flights.parquet"),
        "quarantined": 0,
        "quarantineUri": str(played(NEW_YEAR).folder / "screen" / "quarantine" / "flights.parquet"),
        "reportUri": str(played(NEW_YEAR).folder / "screen" / "report.html"),
    }
    assert (outputs["audit"]["verdict"], outputs["audit"]["score"]) == ("Pass", 100.0)


def test_nothing_is_published_but_what_both_gates_let_pass() -> None:
    after = {step["name"]: step.get("dependsOn", []) for step in pipeline()["steps"]}
    assert after["publish"] == ["audit"]
    assert after["clean"] == ["screen"]
    assert [name for name, before in after.items() if "extract" in before] == ["screen"]


def test_every_gate_is_there_and_is_applied_with_the_pipeline() -> None:
    assert {step["gate"]["name"] for step in GATE_STEPS} == gates().keys()
    files = {str(path.relative_to(EXAMPLE)) for path in (EXAMPLE / "gates").iterdir()}
    assert files <= set(document("kustomization.yaml")["resources"])


@pytest.mark.parametrize("name", ["pipeline.yaml", "run.yaml", "gates/raw.yaml", "gates/clean.yaml"])
def test_the_manifests_would_be_admitted(name: str) -> None:
    assert check_manifest(document(name)) == []


def test_kustomize_can_set_every_image() -> None:
    [image] = document("kustomization.yaml")["images"]
    assert {step["image"] for step in OWN_STEPS} == {image["name"]}
    assert [spec["path"] for spec in document("kustomizeconfig.yaml")["images"]] == [
        "spec/steps/image",
        "spec/finally/image",
    ]


def test_every_step_mounts_the_claim() -> None:
    [volume] = pipeline()["podTemplate"]["spec"]["volumes"]
    assert volume["persistentVolumeClaim"]["claimName"] == document("pvc.yaml")["metadata"]["name"]
    assert all(step["volumeMounts"] == [{"name": volume["name"], "mountPath": "/data"}] for step in ALL_STEPS)


def test_the_example_run_is_an_interval_of_the_schedule_and_starts_on_its_day() -> None:
    run, schedule = document("run.yaml"), pipeline()["schedule"]
    zone = ZoneInfo(schedule["timeZone"])
    start, end = (datetime.fromisoformat(run["spec"]["interval"][side]).astimezone(zone) for side in ("start", "end"))
    minute, hour, *rest = schedule["cron"][0].split()
    assert rest == ["*", "*", "*"]
    assert [(moment.hour, moment.minute) for moment in (start, end)] == [(int(hour), int(minute))] * 2
    assert (end.date() - start.date()).days == 1
    assert start.date() == NEW_YEAR
    assert run["metadata"]["name"] == f"flights-{start.date()}"


def test_at_the_tick_the_day_is_over_in_new_york_all_year_round() -> None:
    schedule = pipeline()["schedule"]
    minute, hour = (int(field) for field in schedule["cron"][0].split()[:2])
    for month in range(1, 13):
        tick = datetime(2013, month, 15, hour, minute, tzinfo=ZoneInfo(schedule["timeZone"]))
        in_new_york = tick.astimezone(ZoneInfo("America/New_York"))
        assert (in_new_york.day, in_new_york.hour) >= (15, 6)


@pytest.mark.parametrize(
    "clock", [("Asia/Kolkata", 18), ("Asia/Kolkata", 0), ("UTC", 0), ("America/New_York", 0)], ids=str
)
def test_a_day_in_new_york_lies_in_its_interval_with_the_slack_of_the_audit(clock: tuple[str, int]) -> None:
    """The interval of the schedule, of a run that is started for a day, and of the others that the README names."""
    spec = gates()["flights-clean"].spec
    assert spec is not None
    [rule] = [check.on_data.window for check in spec.data_checks() if check.on_data.window is not None]
    assert rule.slack is not None
    slack, (zone, hour) = parse_duration(rule.slack), clock
    for day in (date(2013, 1, 1) + timedelta(days=number) for number in range(365)):
        start = datetime(day.year, day.month, day.day, hour, tzinfo=ZoneInfo(zone))
        assert start.astimezone(UTC) - slack <= midnight(day).astimezone(UTC)
        assert midnight(day + timedelta(days=1)).astimezone(UTC) <= (start + timedelta(days=1)).astimezone(UTC) + slack


def test_the_report_tells_the_day_in_a_few_lines(played: Played) -> None:
    play = played(BLIZZARD)
    report = Path(play.outputs["report"]["uri"]).read_text()
    lines = report.splitlines()
    assert lines[0] == "flights-daily, flights of 2013-02-08: Succeeded"
    assert play.outputs["report"]["headline"] == lines[0]
    assert "  extract  Succeeded      930 flights scheduled" in lines
    assert "  clean    Succeeded      458 flown, 472 cancelled" in lines
    assert lines[-6] == "Carriers with the greatest mean delay at arrival (minutes):"
    assert len(report.encode()) < 2000


def test_the_report_of_a_failed_run_says_which_step_failed(source: Path, tmp_path: Path) -> None:
    known = facts(NEW_YEAR, source) | {"run.outcome": "Failed", "run.reason": "StepFailed"}
    ends = {"extract": ("Succeeded", ""), "screen": ("Succeeded", ""), "clean": ("Failed", "OOMKilled")}
    for name in ("extract", "screen", "clean", "enrich", "delays", "audit", "publish"):
        known[f"steps.{name}.phase"], known[f"steps.{name}.reason"] = ends.get(name, ("UpstreamFailed", ""))
    known["steps.extract.outputs.rows"], known["steps.screen.outputs.quarantined"] = "842", "2"
    [declared] = pipeline()["finally"]
    code, outputs = run_step(declared, known, tmp_path)
    assert code == 0
    assert Path(outputs["uri"]).read_text().splitlines() == [
        "flights-daily, flights of 2013-01-01: Failed (StepFailed)",
        "run flights-2013-01-01, revision flights-daily-5f2c",
        "",
        "  extract  Succeeded      842 flights scheduled",
        "  screen   Succeeded      2 set aside",
        "  clean    Failed (OOMKilled)",
        "  enrich   UpstreamFailed",
        "  delays   UpstreamFailed",
        "  audit    UpstreamFailed",
        "  publish  UpstreamFailed",
    ]


def test_the_report_needs_no_more_than_the_outcome(tmp_path: Path) -> None:
    arguments = ["--pipeline=p", "--run=r", "--day=2013-01-01", "--outcome=Cancelled", f"--out={tmp_path}"]
    assert importlib.import_module("flights.report").main(arguments) == 0
    assert (tmp_path / "report.txt").read_text().startswith("p, flights of 2013-01-01: Cancelled\n")
