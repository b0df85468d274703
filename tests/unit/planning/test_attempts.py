"""The verdict on one attempt, from its pod."""

import json
from datetime import timedelta

import pytest

from sluice.api.base import Json
from sluice.api.pipeline import Step
from sluice.api.reasons import Reason
from sluice.planning.attempts import Attempt, State, judge, last_line, parse_outputs
from sluice.planning.observed import PodView
from tests.builders import NOW, after, ended_pod, pod_view, running_pod, step, waiting_pod

PENDING = timedelta(minutes=10)


def judged(pod: PodView, *, at: float = 60, running: timedelta | None = None, row: Step | None = None) -> Attempt:
    """The verdict `at` seconds after NOW."""
    return judge(pod, row or step("extract"), pending=PENDING, running=running, expected=set(), now=after(seconds=at))


# -- on its way -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pod", "at", "state", "reason", "message"),
    [
        pytest.param(pod_view(), 0, State.PENDING, None, "", id="just created"),
        pytest.param(waiting_pod("ContainerCreating"), 599, State.PENDING, None, "", id="its container is being made"),
        pytest.param(
            waiting_pod("ContainerCreating"), 600, State.OVERDUE, Reason.PENDING_TIMED_OUT,
            "not started within 10m", id="its container is being made for too long",
        ),
        pytest.param(
            waiting_pod("ImagePullBackOff", "Back-off\n pulling  image"), 599, State.PENDING, Reason.IMAGE_PULL_FAILED,
            "Back-off pulling image", id="the image cannot be pulled, within the clock",
        ),
        pytest.param(
            waiting_pod("ImagePullBackOff", "Back-off pulling image"), 600, State.OVERDUE, Reason.IMAGE_PULL_FAILED,
            "not started within 10m: Back-off pulling image", id="the image cannot be pulled, beyond the clock",
        ),
        pytest.param(
            waiting_pod("ErrImagePull"), 0, State.PENDING, Reason.IMAGE_PULL_FAILED, "ErrImagePull",
            id="the image could not be pulled just now",
        ),
        pytest.param(
            waiting_pod("ErrImageNeverPull", "not present with pull policy of Never"), 0, State.OVERDUE,
            Reason.IMAGE_PULL_FAILED, "not present with pull policy of Never", id="the image must never be pulled",
        ),
        pytest.param(
            waiting_pod("InvalidImageName"), 0, State.OVERDUE, Reason.IMAGE_PULL_FAILED, "InvalidImageName",
            id="the image has no valid name",
        ),
        pytest.param(
            waiting_pod("CreateContainerConfigError", 'secret "x" not found'), 1, State.PENDING,
            Reason.CONTAINER_CONFIG_ERROR, 'secret "x" not found', id="a secret is missing, within the clock",
        ),
        pytest.param(
            waiting_pod("CreateContainerConfigError", 'secret "x" not found'), 600, State.OVERDUE,
            Reason.CONTAINER_CONFIG_ERROR, 'not started within 10m: secret "x" not found',
            id="a secret is missing, beyond the clock",
        ),
        pytest.param(
            pod_view(unschedulable_message="0/3 nodes are available"), 1, State.PENDING, Reason.UNSCHEDULABLE,
            "0/3 nodes are available", id="no node fits, within the clock",
        ),
        pytest.param(
            pod_view(unschedulable_message="0/3 nodes are available"), 600, State.OVERDUE, Reason.UNSCHEDULABLE,
            "not started within 10m: 0/3 nodes are available", id="no node fits, beyond the clock",
        ),
        pytest.param(running_pod(), 90_000, State.RUNNING, None, "", id="runs without a clock"),
        pytest.param(pod_view(deleting=True), 9000, State.PENDING, None, "", id="deleted before it started"),
        pytest.param(running_pod(deleting=True), 9000, State.RUNNING, None, "", id="deleted while it runs"),
    ],
)  # fmt: skip
def test_an_attempt_on_its_way(pod: PodView, at: float, state: State, reason: Reason | None, message: str) -> None:
    found = judged(pod, at=at)
    assert (found.state, found.reason, found.message) == (state, reason, message)


def test_the_step_clock_begins_when_the_container_starts() -> None:
    pod = running_pod(created=after(hours=-1))
    limit = timedelta(minutes=5)
    within = judged(pod, at=299, running=limit)
    assert (within.state, within.deadline) == (State.RUNNING, after(minutes=5))
    beyond = judged(pod, at=300, running=limit)
    assert (beyond.state, beyond.reason, beyond.message) == (
        State.OVERDUE,
        Reason.STEP_TIMED_OUT,
        "ran for longer than 5m",
    )
    assert beyond.started_at == NOW


def test_the_pending_clock_begins_with_the_pod() -> None:
    assert judged(pod_view()).deadline == after(minutes=10)


# -- ended ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pod", "reason", "message", "exit_code"),
    [
        pytest.param(ended_pod(3), Reason.EXIT_CODE, "exit code 3", 3, id="exit code 3"),
        pytest.param(
            ended_pod(3, term_message="Traceback\n  File x\nValueError: no rows\n\n"), Reason.EXIT_CODE,
            "exit code 3: ValueError: no rows", 3, id="exit code 3 with its last words",
        ),
        pytest.param(
            ended_pod(3, phase="Running"), Reason.EXIT_CODE, "exit code 3", 3, id="the phase does not say so yet"
        ),
        pytest.param(
            ended_pod(137, term_reason="OOMKilled"), Reason.OOM_KILLED,
            "killed for memory (exit code 137); raise resources.limits.memory", 137, id="killed for memory",
        ),
        pytest.param(
            ended_pod(137, term_reason="OOMKilled", deleting=True), Reason.OOM_KILLED,
            "killed for memory (exit code 137); raise resources.limits.memory", 137,
            id="killed for memory, deleted since",
        ),
        pytest.param(
            pod_view(phase="Failed", reason="Evicted", message="low on memory"), Reason.EVICTED, "low on memory", None,
            id="evicted by its node",
        ),
        pytest.param(
            ended_pod(137, disruption="EvictionByEvictionAPI"), Reason.EVICTED, "EvictionByEvictionAPI", 137,
            id="evicted by a drain",
        ),
        pytest.param(
            ended_pod(137, disruption="TerminationByKubelet"), Reason.EVICTED, "TerminationByKubelet", 137,
            id="ended by its kubelet",
        ),
        pytest.param(
            ended_pod(143, disruption="PreemptionByScheduler", message="preempted by x"), Reason.PREEMPTED,
            "preempted by x", 143, id="preempted",
        ),
        pytest.param(
            ended_pod(137, disruption="DeletionByTaintManager"), Reason.NODE_LOST, "DeletionByTaintManager", 137,
            id="its node was tainted",
        ),
        pytest.param(
            pod_view(phase="Failed", disruption="DeletionByPodGC"), Reason.NODE_LOST, "DeletionByPodGC", None,
            id="its node is gone",
        ),
        pytest.param(
            pod_view(phase="Failed", reason="NodeLost"), Reason.NODE_LOST, "the node went away", None,
            id="its node is lost, as older clusters say it",
        ),
        pytest.param(
            pod_view(phase="Failed", reason="Terminated", message="Pod was terminated before shutdown"),
            Reason.NODE_LOST, "Pod was terminated before shutdown", None, id="its node shuts down",
        ),
        pytest.param(
            ended_pod(143, deleting=True), Reason.POD_LOST, "the pod was deleted before it ended (exit code 143)", 143,
            id="ended by its deletion",
        ),
        pytest.param(
            ended_pod(1, deleting=True), Reason.EXIT_CODE, "exit code 1", 1, id="failed by itself, deleted since"
        ),
        pytest.param(
            ended_pod(143), Reason.EXIT_CODE, "exit code 143", 143, id="ended by a signal that nobody here sent"
        ),
        pytest.param(
            ended_pod(0, phase="Failed", reason="DeadlineExceeded"), Reason.POD_FAILED, "DeadlineExceeded", 0,
            id="exit code 0 in a pod that failed",
        ),
        pytest.param(pod_view(phase="Failed"), Reason.POD_FAILED, "the pod failed", None, id="nobody says why"),
    ],
)  # fmt: skip
def test_an_attempt_failed(pod: PodView, reason: Reason, message: str, exit_code: int | None) -> None:
    found = judged(pod)
    assert (found.state, found.reason, found.message, found.exit_code) == (State.FAILED, reason, message, exit_code)


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param(ended_pod(), id="exit code 0"),
        pytest.param(ended_pod(phase="Running"), id="the phase does not say so yet"),
        pytest.param(ended_pod(deleting=True), id="deleted since"),
        pytest.param(ended_pod(exit_code=0, term_message="done"), id="words that are no outputs"),
        pytest.param(pod_view(phase="Succeeded"), id="a pod that succeeded and says no more"),
    ],
)
def test_an_attempt_succeeded(pod: PodView) -> None:
    found = judged(pod)
    assert (found.state, found.reason, found.exit_code, found.outputs) == (State.SUCCEEDED, None, 0, None)


def test_exit_code_0_after_the_order_to_stop_waits_for_the_phase_of_the_pod() -> None:
    pod = ended_pod(0, phase="Running", stopping=True)
    assert (judged(pod).state, judged(pod).started_at) == (State.RUNNING, NOW)
    assert judged(ended_pod(0, stopping=True)).state is State.SUCCEEDED
    assert judged(ended_pod(0, phase="Failed", reason="DeadlineExceeded", stopping=True)).state is State.FAILED


def test_a_clock_that_ran_out_does_not_undo_an_end() -> None:
    assert judged(ended_pod(), at=9000, running=timedelta(seconds=1)).state is State.SUCCEEDED


# -- outputs ----------------------------------------------------------------------------------------------------------

PROMISES = step("extract", outputs=[{"name": "rows", "type": "integer"}])
NO_OBJECT = "/dev/termination-log does not hold a JSON object: "
TOO_LARGE = "outputs are larger than 4096 bytes; hand on a URI instead"


def truncated(document: Json) -> str:
    """What the kubelet hands on of a long file: its last 4096 bytes."""
    return json.dumps(document).encode()[-4096:].decode()


@pytest.mark.parametrize(
    ("text", "reason", "message"),
    [
        pytest.param(
            truncated({"rows": 1, "text": "x" * 5000}), Reason.OUTPUT_TOO_LARGE, TOO_LARGE, id="cut off in a string"
        ),
        pytest.param(truncated({"rows": list(range(2000))}), Reason.OUTPUT_TOO_LARGE, TOO_LARGE, id="cut in a list"),
        pytest.param(" " * 4096, Reason.OUTPUT_TOO_LARGE, TOO_LARGE, id="the blanks behind a long file"),
        pytest.param("done", Reason.OUTPUT_INVALID, NO_OBJECT + "done", id="words"),
        pytest.param('{"rows": NaN}', Reason.OUTPUT_INVALID, NO_OBJECT + '{"rows": NaN}', id="NaN"),
        pytest.param('{"rows": -Infinity}', Reason.OUTPUT_INVALID, NO_OBJECT + '{"rows": -Infinity}', id="infinity"),
        pytest.param('{"rows": 1e400}', Reason.OUTPUT_INVALID, NO_OBJECT + '{"rows": 1e400}', id="too large a number"),
        pytest.param(
            '{"rows": 9223372036854775808}', Reason.OUTPUT_INVALID, NO_OBJECT + '{"rows": 9223372036854775808}',
            id="an integer beyond 64 bits",
        ),
        pytest.param(
            '{"rows": "\\ud800"}', Reason.OUTPUT_INVALID, NO_OBJECT + '{"rows": "\\ud800"}', id="half a character"
        ),
        pytest.param(
            '{"rows":' + "[" * 40 + "]" * 40 + "}", Reason.OUTPUT_INVALID,
            NO_OBJECT + '{"rows":' + "[" * 40 + "]" * 31 + "…", id="nested deeply",
        ),
        pytest.param(
            '{"rows":' + "[" * 1800 + "]" * 1800 + "}", Reason.OUTPUT_INVALID, NO_OBJECT + '{"rows":' + "[" * 71 + "…",
            id="nested beyond the recursion limit",
        ),
        pytest.param("[1]", Reason.OUTPUT_INVALID, NO_OBJECT + "[1]", id="a list"),
        pytest.param("null", Reason.OUTPUT_INVALID, NO_OBJECT + "null", id="null"),
        pytest.param(
            '{"rows": "many"}', Reason.OUTPUT_INVALID, 'output "rows" must be of type integer, not "many"',
            id="another type",
        ),
        pytest.param(
            '{"rows": true}', Reason.OUTPUT_INVALID, 'output "rows" must be of type integer, not true', id="true"
        ),
        pytest.param(
            '{"Rows": 1}', Reason.OUTPUT_MISSING,
            'the step did not write its output "rows" to /dev/termination-log', id="another key",
        ),
        pytest.param(
            " \n\t", Reason.OUTPUT_MISSING, 'the step did not write its output "rows" to /dev/termination-log',
            id="blanks",
        ),
        pytest.param(
            "", Reason.OUTPUT_MISSING, 'the step did not write its output "rows" to /dev/termination-log', id="nothing"
        ),
    ],
)  # fmt: skip
def test_outputs_are_refused(text: str, reason: Reason, message: str) -> None:
    assert parse_outputs(text, PROMISES, set()) == (None, reason, message)
    found = judged(ended_pod(term_message=text), row=PROMISES)
    assert (found.state, found.reason, found.exit_code) == (State.FAILED, reason, 0)


@pytest.mark.parametrize(
    ("text", "outputs"),
    [
        pytest.param('{"rows": 5}', {"rows": 5}, id="as promised"),
        pytest.param('\n {"rows": 5, "more": [null]}\n', {"rows": 5, "more": [None]}, id="more"),
        pytest.param('{"rows": 5.0}', {"rows": 5}, id="5.0 is 5, as the API server will say"),
        pytest.param('{"rows": 9223372036854775807}', {"rows": 2**63 - 1}, id="the largest integer"),
        pytest.param('{"rows": 1, "x": 1.5}', {"rows": 1, "x": 1.5}, id="a fraction"),
    ],
)
def test_outputs_are_read(text: str, outputs: dict[str, Json]) -> None:
    assert parse_outputs(text, PROMISES, set()) == (outputs, None, "")


def test_whole_numbers_are_read_as_the_api_server_gives_them_back() -> None:
    found, _, _ = parse_outputs('{"a": 1e6, "b": 1152921504606846976.0, "c": 1e21, "d": -0.0}', step("s"), set())
    assert json.dumps(found) == '{"a": 1000000, "b": 1152921504606847000, "c": 1e+21, "d": 0}'


def test_exactly_4096_bytes_are_not_too_many() -> None:
    text = json.dumps({"rows": 1, "x": "y" * (4096 - 20)})
    text = text.replace("y", "y" * (1 + 4096 - len(text)), 1)
    assert len(text) == 4096
    outputs, reason, _ = parse_outputs(text, PROMISES, set())
    assert (outputs is not None, reason) == (True, None)


def test_a_default_stands_in_for_a_promised_output() -> None:
    row = step("s", outputs=[{"name": "rows", "default": 0}])
    assert parse_outputs("", row, set()) == ({"rows": 0}, None, "")


def test_what_is_no_json_object_fails_only_where_outputs_are_wanted() -> None:
    assert parse_outputs("done", step("s"), set()) == (None, None, "")
    assert parse_outputs("[1]", step("s"), set()) == (None, None, "")
    assert parse_outputs("done", step("s"), {"uri"})[1] is Reason.OUTPUT_INVALID
    assert parse_outputs("[1]", step("s"), {"uri"})[1] is Reason.OUTPUT_INVALID


def test_outputs_that_nobody_asked_for_are_kept() -> None:
    assert parse_outputs('{"uri": "s3://x"}', step("s"), set()) == ({"uri": "s3://x"}, None, "")


@pytest.mark.parametrize(
    ("text", "line"),
    [("", ""), ("\n \n", ""), ("a\nb\n\n", "b"), ("  a   b ", "a b"), ("x" * 400, "x" * 299 + "…")],
)
def test_the_last_line_that_says_something(text: str, line: str) -> None:
    assert last_line(text) == line


def test_a_last_line_with_a_credential_is_redacted() -> None:
    assert last_line("starting\ncannot reach https://user:pa55@db.example.com/x\n") == (
        "cannot reach https://[redacted]@db.example.com/x"
    )


@pytest.mark.parametrize(
    ("asked", "state"),
    [(-1.0, State.FAILED), (0.0, State.FAILED), (1.0, State.SUCCEEDED), (None, State.SUCCEEDED)],
)
def test_an_exit_with_0_counts_only_when_it_came_before_somebody_deleted_the_pod(
    asked: float | None, state: State
) -> None:
    finished = after(seconds=60)
    deletion = None if asked is None else finished + timedelta(seconds=asked)
    pod = ended_pod(0, finished_at=finished, deleting=deletion is not None, deletion_asked=deletion)
    attempt = judge(pod, step("a"), pending=timedelta(minutes=1), running=None, expected=set(), now=after(seconds=90))
    assert attempt.state is state
    assert (attempt.reason is Reason.POD_LOST) == (state is State.FAILED)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("a long story " * 400, None, id="a log is no output"),
        pytest.param('x", "more": 1}'.rjust(5000), Reason.OUTPUT_TOO_LARGE, id="the end of an object was meant as one"),
    ],
)
def test_what_is_cut_off_fails_a_step_that_promised_nothing_only_when_it_looks_like_outputs(
    text: str, reason: Reason | None
) -> None:
    assert parse_outputs(text[-4096:], step("a"), set())[1] == reason
