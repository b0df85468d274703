"""Cancelling a run at each moment of its life."""

from tests.cluster.kit import HELD, Namespace, pipeline, shell, steps_of


def test_a_run_is_cancelled_while_it_runs(namespace: Namespace) -> None:
    namespace.apply(
        pipeline(
            "long",
            shell("done"),
            shell("main", f"echo here; {HELD}", dependsOn=["done"]),
            shell("after", dependsOn=["main"]),
        )
    )
    run = namespace.run("long")
    namespace.running(run, "main")
    namespace.cancel(run)
    status = namespace.ended(run)
    steps = steps_of(status)
    assert (status["phase"], status["reason"], status["progress"]) == ("Cancelled", "Cancelled", "3/3")
    assert {name: row["phase"] for name, row in steps.items()} == {
        "done": "Succeeded",
        "main": "Cancelled",
        "after": "Cancelled",
    }
    assert namespace.kubectl("logs", steps["main"]["pod"]).stdout == "here\n"
    assert {row["status"]["phase"] for row in namespace.pods(run)} == {"Succeeded", "Failed"}
    namespace.event(run, "Cancelled")


def test_a_run_is_cancelled_before_any_pod_could_start(namespace: Namespace) -> None:
    namespace.apply(pipeline("stuck", shell("main", podTemplate={"spec": {"nodeSelector": {"disk": "golden"}}})))
    run = namespace.run("stuck")
    namespace.wait_for("its pod", lambda: namespace.pods(run))
    namespace.cancel(run)
    status = namespace.ended(run)
    assert (status["phase"], steps_of(status)["main"]["phase"]) == ("Cancelled", "Cancelled")
    namespace.wait_for("the end of its pod", lambda: not namespace.pods(run))


def test_a_run_is_cancelled_while_it_waits_for_another(namespace: Namespace) -> None:
    namespace.apply(
        pipeline("queue", shell("main", HELD), concurrency={"policy": "Queue"}, **{"finally": [shell("report")]})
    )
    first = namespace.run("queue", "first")
    namespace.running(first, "main")
    second = namespace.run("queue", "second")
    namespace.wait_for(
        "the queue", lambda: namespace.get("pipelinerun", second).get("status", {}).get("reason") == "Queued"
    )
    namespace.cancel(second)
    status = namespace.ended(second)
    assert (status["phase"], status["reason"]) == ("Cancelled", "Cancelled")
    assert status["message"] == "cancelled before it started"
    assert not namespace.pods(second)
    assert namespace.get("pipelinerun", first)["status"]["phase"] == "Running"


def test_a_run_that_is_made_cancelled_never_starts(namespace: Namespace) -> None:
    namespace.apply(pipeline("long", shell("main")))
    run = namespace.run("long", cancel=True)
    assert namespace.ended(run)["phase"] == "Cancelled"
    assert not namespace.pods(run)


def test_a_cancel_while_finally_steps_run_comes_too_late(namespace: Namespace) -> None:
    namespace.apply(pipeline("late", shell("main"), **{"finally": [shell("report", HELD)]}))
    run = namespace.run("late")
    namespace.running(run, "report")
    namespace.cancel(run)
    namespace.release(run, "report")
    status = namespace.ended(run)
    assert (status["phase"], status["outcome"]) == ("Succeeded", "Succeeded")
    assert steps_of(status)["report"]["phase"] == "Succeeded"


def test_a_run_that_is_deleted_takes_its_pods_with_it(namespace: Namespace) -> None:
    namespace.apply(pipeline("long", shell("main", HELD)))
    run = namespace.run("long")
    namespace.running(run, "main")
    namespace.kubectl("delete", "pipelinerun", run, "--wait=false")
    namespace.wait_for("the end of its pod", lambda: not namespace.pods(run))
