"""Runs of one pipeline beside each other, and steps of one run, on a real cluster."""

from tests.cluster.kit import HELD, REPORT, Namespace, moment, pipeline, shell, steps_of


def queued(namespace: Namespace, run: str) -> dict[str, object]:
    """The status of a run once it waits for others."""

    def look() -> dict[str, object] | None:
        status = namespace.get("pipelinerun", run).get("status", {})
        return status if status.get("reason") == "Queued" else None

    return namespace.wait_for(f"the queue of {run}", look)


def test_runs_are_beside_each_other_unless_told_otherwise(namespace: Namespace) -> None:
    namespace.apply(pipeline("free", shell("main", HELD)))
    first, second = namespace.run("free", "first"), namespace.run("free", "second")
    namespace.running(first, "main")
    namespace.running(second, "main")
    assert namespace.get("pipeline", "free")["status"]["activeRuns"] == 2
    for run in (first, second):
        namespace.release(run, "main")
        assert namespace.ended(run)["phase"] == "Succeeded"


def test_a_queued_run_waits_its_turn(namespace: Namespace) -> None:
    namespace.apply(pipeline("queue", shell("main", HELD), concurrency={"policy": "Queue"}))
    first = namespace.run("queue", "first")
    namespace.running(first, "main")
    second = namespace.run("queue", "second")
    status = queued(namespace, second)
    assert (status["phase"], status["message"]) == ("Pending", "waits for first")
    assert not namespace.pods(second)
    namespace.release(first, "main")
    namespace.release(second, "main")
    ended_first, ended_second = namespace.ended(first), namespace.ended(second)
    assert ended_second["phase"] == "Succeeded"
    assert moment(ended_second["startedAt"]) >= moment(ended_first["finishedAt"])


def test_as_many_runs_as_are_allowed_are_beside_each_other(namespace: Namespace) -> None:
    namespace.apply(pipeline("queue", shell("main", HELD), concurrency={"policy": "Queue", "maxActiveRuns": 2}))
    for name in ("first", "second"):
        namespace.running(namespace.run("queue", name), "main")
    third = namespace.run("queue", "third")
    queued(namespace, third)
    assert not namespace.pods(third)
    namespace.release("first", "main")
    namespace.release(third, "main")
    assert namespace.ended(third)["phase"] == "Succeeded"
    assert namespace.get("pipelinerun", "second")["status"]["phase"] == "Running"


def test_a_forbidden_run_never_starts(namespace: Namespace) -> None:
    namespace.apply(pipeline("single", shell("main", HELD), concurrency={"policy": "Forbid"}))
    first = namespace.run("single", "first")
    namespace.running(first, "main")
    second = namespace.run("single", "second")
    status = namespace.ended(second)
    assert (status["phase"], status["reason"]) == ("Cancelled", "ConcurrencyForbidden")
    assert status["message"] == "other runs are under way: first"
    assert not namespace.pods(second)
    namespace.event(second, "ConcurrencyForbidden")
    namespace.release(first, "main")
    assert namespace.ended(first)["phase"] == "Succeeded"


def test_a_newer_run_replaces_the_older_one_once_that_has_tidied_up(namespace: Namespace) -> None:
    namespace.apply(
        pipeline(
            "newest",
            shell("main", f'test "$(run.name)" = second || {{ {HELD}; }}'),
            concurrency={"policy": "Replace"},
            **{"finally": [shell("report", REPORT)]},
        )
    )
    first = namespace.run("newest", "first")
    namespace.running(first, "main")
    second = namespace.ended(namespace.run("newest", "second"))
    replaced = namespace.ended(first)
    assert (replaced["phase"], second["phase"]) == ("Cancelled", "Succeeded")
    assert steps_of(replaced)["report"]["outputs"] == {"seen": "Cancelled Cancelled Cancelled Cancelled"}
    assert moment(second["startedAt"]) >= moment(replaced["finishedAt"])


def test_no_more_pods_of_a_run_are_alive_than_it_may_have(namespace: Namespace) -> None:
    namespace.apply(
        pipeline("narrow", *(shell(name, HELD) for name in ("a", "b", "c")), concurrency={"maxActiveSteps": 2})
    )
    run = namespace.run("narrow")
    namespace.running(run, "a")
    namespace.running(run, "b")
    assert namespace.step(run, "c")["phase"] == "Waiting"
    assert len(namespace.pods(run)) == 2
    for name in ("a", "b", "c"):
        namespace.release(run, name)
    status = namespace.ended(run)
    assert status["phase"] == "Succeeded"
    assert moment(steps_of(status)["c"]["launchedAt"]) >= moment(steps_of(status)["a"]["finishedAt"])
