"""The operator is killed in the middle of a run, and nothing is done twice or left undone."""

import pytest

from tests.cluster.installation import Installation
from tests.cluster.kit import Namespace, pipeline, shell

FAN = ("b1", "b2", "b3")
STEPS = ("a", *FAN, "c", "d")


def _apply(namespace: Namespace) -> str:
    """A run of six steps with a fan-out."""
    second = "sleep 1"
    namespace.apply(
        pipeline(
            "fan",
            shell("a", second),
            *(shell(name, second, dependsOn=["a"]) for name in FAN),
            shell("c", second, dependsOn=list(FAN)),
            shell("d", second, dependsOn=["c"]),
        )
    )
    return namespace.run("fan")


def _launched(namespace: Namespace, run: str, step: str) -> None:
    namespace.wait_for(f"the launch of {step}", lambda: namespace.step(run, step).get("attempt"))


def _require_each_step_once(namespace: Namespace, run: str) -> None:
    status = namespace.ended(run, seconds=240)
    assert (status["phase"], status["progress"]) == ("Succeeded", "6/6")
    assert [row["attempt"] for row in status["steps"]] == [1] * 6
    pods = namespace.pods(run)
    assert sorted(pod["metadata"]["labels"]["sluice.dev/step"] for pod in pods) == sorted(STEPS)
    assert {pod["metadata"]["labels"]["sluice.dev/attempt"] for pod in pods} == {"1"}
    containers = [row for pod in pods for row in pod["status"]["containerStatuses"]]
    assert [(row["restartCount"], row["state"]["terminated"]["exitCode"]) for row in containers] == [(0, 0)] * 6

    # The kubelet tells of every container that it ever started, also of pods that are gone. It tells late when it has much to tell.
    def started() -> int:
        return sum(row.get("count", 1) for row in namespace.all_of("events") if row["reason"] == "Started")

    namespace.wait_for("the kubelet to tell of six containers", lambda: started() >= 6 or None, seconds=120)
    assert started() == 6


@pytest.mark.parametrize("options", [(), ("--force", "--grace-period=0")], ids=["stopped", "killed"])
def test_each_step_runs_once_however_often_the_operator_goes(
    namespace: Namespace, operator: Installation, options: tuple[str, ...]
) -> None:
    run = _apply(namespace)
    operator.kill(*options)
    for step in ("b1", "c"):
        _launched(namespace, run, step)
        operator.kill(*options)
    _require_each_step_once(namespace, run)


def test_a_run_goes_on_after_the_operator_was_away(namespace: Namespace, operator: Installation) -> None:
    run = _apply(namespace)
    _launched(namespace, run, "b1")
    with operator.down():
        namespace.wait_for(
            "the end of the pods",
            lambda: all(pod["status"]["phase"] == "Succeeded" for pod in namespace.pods(run)),
        )
        assert namespace.get("pipelinerun", run)["status"]["phase"] == "Running"
    _require_each_step_once(namespace, run)


def test_the_operator_ends_by_itself_when_it_is_told_to(operator: Installation) -> None:
    before = operator.pod()
    restarts = before["status"]["containerStatuses"][0]["restartCount"]
    operator.python("import os, signal; os.kill(1, signal.SIGTERM)")

    def restarted() -> bool:
        found = operator.namespace.get("pod", before["metadata"]["name"])["status"]["containerStatuses"][0]
        return bool(found["restartCount"] == restarts + 1 and found["ready"])

    operator.namespace.wait_for("the restart of the container", restarted)
    ended = operator.pod()["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (0, "Completed")


def test_authorities_of_earlier_operators_stay_trusted_beside_the_new_one(
    namespace: Namespace, operator: Installation
) -> None:
    before = operator.authorities()
    operator.kill()
    after = operator.authorities()
    assert after[-1] not in before
    assert set(before[-7:]) <= set(after)
    assert len(after) <= 8
    refused = namespace.apply(pipeline("loop", shell("a", dependsOn=["a"])), check=False)
    assert "a step cannot depend on itself" in refused.stderr, "the webhook answers with the new authority"
