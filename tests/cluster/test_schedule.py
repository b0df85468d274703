"""Runs by schedule on the real clock. A minute is the shortest interval there is, so these tests take their time, side by side."""

import json
from datetime import UTC, datetime, timedelta

from sluice.api.names import run_name
from tests.cluster.installation import Installation
from tests.cluster.kit import Manifest, Namespace, pipeline, shell

MINUTE = timedelta(minutes=1)
SECONDS = 150
"""How long the next minute is waited for at most, on a machine with much else to do."""


def _ticking(name: str = "tick", script: str = "true", **schedule: object) -> Manifest:
    """A pipeline that runs every minute."""
    every_minute = {"cron": ["* * * * *"], "timeZone": "Asia/Kolkata", **schedule}
    return pipeline(name, shell("main", script), schedule=every_minute)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _runs(namespace: Namespace, number: int) -> list[Manifest]:
    """The runs of the schedule by interval, once there are so many."""

    def look() -> list[Manifest] | None:
        runs = namespace.all_of("pipelineruns", "sluice.dev/trigger=schedule")
        return sorted(runs, key=_end) if len(runs) >= number else None

    return namespace.wait_for(f"{number} runs by schedule", look, SECONDS)


def _end(run: Manifest) -> datetime:
    return _moment(run["spec"]["interval"]["end"])


def _next(namespace: Namespace) -> datetime:
    """The next tick, once the pipeline has been looked at."""
    text = namespace.wait_for(
        "the next run", lambda: namespace.get("pipeline", "tick").get("status", {}).get("nextRun"), SECONDS
    )
    return _moment(text)


def test_every_minute_has_its_run_and_an_edit_right_after_the_tick_does_not_double_it(namespace: Namespace) -> None:
    namespace.apply(_ticking(), _ticking("asleep", suspend=True))
    tick = _next(namespace)
    (first,) = _runs(namespace, 1)
    namespace.apply(_ticking(script="exit 0"))
    end = _end(first)
    assert end == tick
    assert _moment(first["spec"]["interval"]["start"]) == end - MINUTE
    assert first["metadata"]["labels"]["sluice.dev/trigger"] == "schedule"
    assert first["metadata"]["name"] == run_name("tick", end - MINUTE, end, first["spec"]["revision"])

    runs = _runs(namespace, 2)
    assert [_end(run) for run in runs] == [end, end + MINUTE], "one for each minute"
    assert runs[1]["spec"]["revision"] != first["spec"]["revision"], "the edit took effect"
    for run in runs:
        assert namespace.ended(run["metadata"]["name"])["phase"] == "Succeeded"
    status = namespace.get("pipeline", "tick")["status"]
    assert _moment(status["nextRun"]) - _moment(status["lastTick"]) == MINUTE
    assert not [run for run in namespace.all_of("pipelineruns") if run["spec"]["pipeline"]["name"] == "asleep"]
    asleep = namespace.get("pipeline", "asleep")["status"]
    assert (asleep["health"], asleep.get("nextRun")) == ("Suspended", None)


def test_of_the_ticks_of_a_long_sleep_only_the_newest_is_run(namespace: Namespace) -> None:
    namespace.apply(_ticking(suspend=True))
    namespace.wait_for("the first look", lambda: namespace.get("pipeline", "tick").get("status", {}).get("health"))
    asleep_since = datetime.now(UTC).replace(second=0, microsecond=0) - 5 * MINUTE
    _remember(namespace, asleep_since)
    namespace.apply(_ticking(suspend=False))
    newest = _end(_runs(namespace, 1)[0])
    assert newest >= asleep_since + 5 * MINUTE
    skipped = namespace.event("tick", "IntervalSkipped")
    assert "missed ticks are not run (catchUp Latest)" in skipped["message"]
    namespace.apply(_ticking(suspend=True))
    assert not [run for run in _runs(namespace, 1) if _end(run) < newest]


def _remember(namespace: Namespace, tick: datetime) -> None:
    """Make `tick` the newest one that was dealt with."""
    patch = json.dumps({"status": {"lastTick": tick.strftime("%Y-%m-%dT%H:%M:%SZ")}})
    namespace.kubectl("patch", "pipeline", "tick", "--subresource=status", "--type=merge", "-p", patch)


def test_an_operator_that_was_down_at_the_tick_makes_the_run_once(namespace: Namespace, operator: Installation) -> None:
    namespace.apply(_ticking())
    tick = _next(namespace)
    namespace.wait_for("the last seconds before the tick", lambda: datetime.now(UTC) > tick - timedelta(seconds=5), 90)
    with operator.down():
        namespace.wait_for("the tick", lambda: datetime.now(UTC) > tick)
    runs = _runs(namespace, 1)
    operator.kill("--force", "--grace-period=0")
    assert _end(runs[0]) == tick
    status = namespace.wait_for(
        "the next look",
        lambda: next(
            (row for row in [namespace.get("pipeline", "tick").get("status", {})] if row.get("lastTick")), None
        ),
    )
    assert _moment(status["lastTick"]) >= tick
    assert [_end(run) for run in _runs(namespace, 1)].count(tick) == 1
