"""The tree of a run, letter by letter, and the lines that stand for it where there is no terminal."""

import io
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from rich.console import Console

from sluice.api.pipeline import DataPipelineSpec
from sluice.cli.run_state import RunState
from sluice.cli.tree import Place, changes, lay_out, lay_out_flat, render
from tests.unit.cli.runs import at, ended, live, run_state

NOW = datetime(2026, 3, 1, 12, 1, 0, tzinfo=UTC)


def spec(*steps: tuple[str, list[str]], final: tuple[str, ...] = ()) -> DataPipelineSpec:
    rows = [{"name": name, "image": "i", "dependsOn": needs} for name, needs in steps]
    return DataPipelineSpec.model_validate({"steps": rows, "finally": [{"name": name, "image": "i"} for name in final]})


FLIGHTS = spec(
    ("extract", []),
    ("clean", ["extract"]),
    ("enrich", ["clean"]),
    ("delays", ["clean"]),
    ("publish", ["enrich", "delays"]),
    final=("report",),
)


def text(run: RunState, places: tuple[Place, ...], *, width: int = 100, rows: int | None = None, **kw: bool) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, color_system=None, force_terminal=False)
    console.print(render(run, places, NOW, zone=UTC, rows=rows, **kw))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def test_a_run_under_way() -> None:
    run = run_state(
        "Running",
        ended("extract", end=12, reason="Completed"),
        ended("clean", begin=14, end=22),
        live("enrich", 57, attempt=2, failures=[{"attempt": 1, "reason": "ExitCode", "message": "exit code 1: boom"}]),
        {"name": "delays", "phase": "Retrying", "attempt": 1, "reason": "OOMKilled", "message": "x", "retryAt": at(68)},
        {"name": "publish", "phase": "Waiting"},
        {"name": "report", "phase": "Waiting"},
        startedAt=at(0),
        progress="2/6",
        reason="Running",
        message="enrich; delays will be retried",
        interval={"start": "2026-02-27T18:30:00Z", "end": "2026-02-28T18:30:00Z"},
    )
    assert text(run, lay_out(FLIGHTS)) == (
        "flights-x7k2p  Running  2/6 steps  1m\n"
        "  enrich; delays will be retried\n"
        "  interval 2026-02-27 18:30 to 2026-02-28 18:30 UTC; started 2026-03-01 12:00:00 UTC\n"
        "  ✔ extract        Succeeded            12s\n"
        "    ✔ clean        Succeeded             8s\n"
        "      ● enrich     Running (attempt 2)   3s  before: ExitCode: exit code 1: boom\n"
        "      ↻ delays     Retrying                  OOMKilled: x; again in 8s\n"
        "        · publish  Waiting                   after enrich, delays\n"
        "  finally\n"
        "    · report       Waiting"
    )


def test_a_run_that_failed() -> None:
    run = run_state(
        "Failed",
        ended("extract", "Failed", end=0.4, reason="ExitCode", message="exit code 3:\n\x1b[31mno such day\x07"),
        *(
            {"name": name, "phase": "UpstreamFailed", "reason": "UpstreamFailed", "message": "extract failed"}
            for name in ("clean", "enrich", "delays", "publish")
        ),
        ended("report", begin=2, end=3),
        startedAt=at(0),
        finishedAt=at(3.5),
        duration="3.5s",
        progress="6/6",
        reason="StepsFailed",
        message="extract: ExitCode: exit code 3",
    )
    assert text(run, lay_out(FLIGHTS), width=76) == (
        "flights-x7k2p  Failed  6/6 steps  3.5s\n"
        "  StepsFailed: extract: ExitCode: exit code 3\n"
        "  started 2026-03-01 12:00:00 UTC\n"
        "  ✖ extract        Failed          <1s  ExitCode: exit code 3:  [31mno such\n"
        "                                        day\n"
        "    ⊘ clean        UpstreamFailed       extract failed\n"
        "      ⊘ enrich     UpstreamFailed       extract failed\n"
        "      ⊘ delays     UpstreamFailed       extract failed\n"
        "        ⊘ publish  UpstreamFailed       extract failed\n"
        "  finally\n"
        "    ✔ report       Succeeded        1s"
    )


def test_while_it_is_painted_a_step_keeps_to_its_line() -> None:
    run = run_state("Running", ended("extract", "Failed", reason="ExitCode", message="exit code 1: " + "long " * 20))
    assert text(run, lay_out_flat(run), width=60, rows=5, ascii_only=True) == (
        "flights-x7k2p  Running\n  x extract  Failed  12s  ExitCode: exit code 1: long long …"
    )


def test_a_run_that_nobody_has_looked_at() -> None:
    assert text(run_state(None), ()) == "flights-x7k2p  Pending"


def test_a_run_that_waits_for_others() -> None:
    run = run_state("Pending", reason="Queued", message="waits for flights-a")
    assert text(run, ()) == "flights-x7k2p  Pending\n  Queued: waits for flights-a"


def test_a_pod_that_cannot_start_says_why() -> None:
    step = {"name": "extract", "phase": "Pending", "attempt": 1, "pod": "p", "launchedAt": at(18)}
    run = run_state("Running", {**step, "reason": "Unschedulable", "message": "0/1 nodes are available"})
    assert text(run, lay_out_flat(run), ascii_only=True) == (
        "flights-x7k2p  Running\n  o extract  Pending  42s  Unschedulable: 0/1 nodes are available"
    )


def test_a_run_that_is_cancelled_says_so() -> None:
    run = run_state("Running", live("extract", 30, stopping="Cancelled"), startedAt=at(30))
    run = RunState(run.name, run.uid, run.pipeline, run.created, cancelling=True, status=run.status)
    assert text(run, lay_out_flat(run), ascii_only=True) == (
        "flights-x7k2p  Running  30s  cancelling\n"
        "  started 2026-03-01 12:00:30 UTC\n"
        "  * extract  Running  30s  stopping: Cancelled"
    )


def test_many_steps_on_a_small_terminal_leave_what_matters() -> None:
    names = [f"step-{n}" for n in range(50)]
    steps = [ended(name) for name in names[:40]] + [{"name": name, "phase": "Waiting"} for name in names[40:]]
    steps[3] = ended("step-3", "Failed", reason="ExitCode")
    steps[20] = live("step-20", 50)
    run = run_state("Running", *steps)
    assert text(run, lay_out_flat(run), rows=4, ascii_only=True) == (
        "flights-x7k2p  Running\n"
        "  x step-3   Failed   12s  ExitCode\n"
        "  * step-20  Running  10s\n"
        "  . step-40  Waiting\n"
        "  . step-41  Waiting\n"
        "  and 46 more that have ended well or are waiting"
    )


# -- the order of steps -----------------------------------------------------------------------------------------------


def shape(found: tuple[Place, ...]) -> str:
    return " ".join(f"{place.name}{place.depth}{'!' if place.final else ''}" for place in found)


def test_a_join_stands_below_the_last_of_its_steps() -> None:
    assert shape(lay_out(FLIGHTS)) == "extract0 clean1 enrich2 delays2 publish3 report0!"


def test_chains_beside_each_other_stay_together() -> None:
    graph = spec(("a", []), ("b", []), ("b2", ["b"]), ("a2", ["a"]), ("join", ["a2", "b2"]))
    assert shape(lay_out(graph)) == "a0 a21 b0 b21 join2"


def test_a_step_that_stands_before_its_dependency_in_the_spec_comes_after_it() -> None:
    assert shape(lay_out(spec(("z", ["a"]), ("a", [])))) == "a0 z1"


def test_no_step_is_lost_in_a_broken_graph() -> None:
    assert shape(lay_out(spec(("a", ["b"]), ("b", ["a"]), ("c", ["gone"])))) == "c0 a0 b0"


def test_a_long_chain_goes_straight_down_in_the_end() -> None:
    names = [f"s{n}" for n in range(30)]
    graph = spec(*((name, names[index - 1 : index] if index else []) for index, name in enumerate(names)))
    run = run_state("Running", *({"name": name, "phase": "Waiting"} for name in names))
    lines = text(run, lay_out(graph), ascii_only=True).splitlines()
    assert lines[-1].index(". s29") == lines[-2].index(". s28") == 26


# -- lines ------------------------------------------------------------------------------------------------------------


def test_each_change_is_a_line() -> None:
    started = {"startedAt": at(1)}
    waiting = [{"name": "extract", "phase": "Waiting"}, {"name": "tidy", "phase": "Waiting"}]
    pending = {"name": "extract", "phase": "Pending", "attempt": 1, "pod": "p", "launchedAt": at(1)}
    retrying = {"name": "extract", "phase": "Retrying", "attempt": 1, "reason": "ExitCode", "message": "exit code 1"}
    states = [
        run_state(None),
        run_state("Pending", reason="Queued", message="waits for flights-a"),
        run_state("Running", pending, waiting[1], **started),
        run_state("Running", live("extract", 3), waiting[1], **started),
        run_state("Running", retrying, waiting[1], **started),
        run_state("Running", {**pending, "attempt": 2, "launchedAt": at(20)}, waiting[1], **started),
        run_state(
            "Finalizing", ended("extract", begin=21, end=25, attempt=2), waiting[1], finalizingAt=at(26), **started
        ),
        run_state(
            "Succeeded",
            ended("extract", begin=21, end=25, attempt=2),
            ended("tidy", begin=27, end=28),
            finishedAt=at(29),
            duration="28s",
            reason="Succeeded",
            **started,
        ),
    ]
    lines: list[str] = []
    before: RunState | None = None
    for state in states:
        lines += changes(before, state, NOW, UTC)
        before = state
    assert lines == [
        "12:01:00  flights-x7k2p  Pending",
        "12:01:00  flights-x7k2p  Pending  Queued: waits for flights-a",
        "12:00:01  flights-x7k2p  Running",
        "12:00:01  extract  Pending",
        "12:00:03  extract  Running",
        "12:01:00  extract  Retrying  ExitCode: exit code 1",
        "12:00:20  extract  Pending (attempt 2)",
        "12:00:25  extract  Succeeded (attempt 2)  after 4s",
        "12:00:26  flights-x7k2p  Finalizing",
        "12:00:28  tidy     Succeeded  after 1s",
        "12:00:29  flights-x7k2p  Succeeded  after 28s",
    ]


def test_what_is_said_later_of_a_step_is_said_at_that_time() -> None:
    run = run_state("Running", live("extract", 3))
    other = run_state("Running", live("extract", 3, reason="Cancelled", message="the run was cancelled"))
    assert changes(run, other, NOW, UTC) == ["12:01:00  extract  Running  the run was cancelled"]


def test_what_has_not_changed_makes_no_line() -> None:
    run = run_state("Running", live("extract"), message="extract")
    other = run_state("Running", live("extract", podUid="x"), message="something else")
    assert changes(run, other, NOW, UTC) == []


def test_the_first_look_at_a_run_under_way_begins_with_the_run() -> None:
    run = run_state("Running", ended("extract"), live("clean", 13), startedAt=at(0))
    assert changes(None, run, NOW, UTC) == [
        "12:00:00  flights-x7k2p  Running",
        "12:00:12  extract  Succeeded  after 12s",
        "12:00:13  clean    Running",
    ]


def test_the_first_look_at_an_ended_run_tells_all_of_it() -> None:
    run = run_state("Cancelled", ended("extract", "Cancelled"), finishedAt=at(13), reason="Cancelled", duration="13s")
    assert changes(None, run, NOW + timedelta(hours=1), ZoneInfo("Asia/Kolkata")) == [
        "17:30:12  extract  Cancelled  after 12s",
        "17:30:13  flights-x7k2p  Cancelled  after 13s",
    ]
