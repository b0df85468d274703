"""Attempts on a real node: a step that fails is tried again as often as it may, and what became of each attempt is known."""

from datetime import timedelta

from tests.cluster.kit import HELD, Namespace, moment, pipeline, shell, steps_of

AT_ONCE = {"duration": "10ms", "jitter": 0}


def test_a_step_that_succeeds_at_last_was_worth_its_retries(namespace: Namespace) -> None:
    script = 'echo attempt $SLUICE_ATTEMPT; test "$SLUICE_ATTEMPT" = 3'
    namespace.apply(
        pipeline(
            "stubborn",
            shell("main", script, retry={"limit": 5, "backoff": AT_ONCE}),
            shell("after", dependsOn=["main"]),
        )
    )
    status = namespace.ended(namespace.run("stubborn"))
    main = steps_of(status)["main"]
    assert (status["phase"], main["phase"], main["attempt"], main["retries"]) == ("Succeeded", "Succeeded", 3, 2)
    assert [(row["attempt"], row["reason"], row["exitCode"], row["message"]) for row in main["failures"]] == [
        (1, "ExitCode", 1, "exit code 1: attempt 1"),
        (2, "ExitCode", 1, "exit code 1: attempt 2"),
    ]
    pods = {row["metadata"]["labels"]["sluice.dev/attempt"] for row in namespace.pods("stubborn-run")}
    assert pods == {"1", "2", "3"}


def test_a_step_fails_when_its_retries_are_used_up(namespace: Namespace) -> None:
    namespace.apply(pipeline("hopeless", shell("main", "exit 7", retry={"limit": 2, "backoff": AT_ONCE})))
    status = namespace.ended(namespace.run("hopeless"))
    main = steps_of(status)["main"]
    assert (main["phase"], main["reason"], main["exitCode"], main["attempt"]) == ("Failed", "ExitCode", 7, 3)
    assert [row["attempt"] for row in main["failures"]] == [1, 2]
    assert (
        "failed (ExitCode: exit code 7); the next one follows" in namespace.event("hopeless-run", "Retrying")["message"]
    )


def test_the_time_before_a_retry_is_on_record(namespace: Namespace) -> None:
    namespace.apply(
        pipeline(
            "patient",
            shell("main", "exit 1", retry={"limit": 1, "backoff": {"duration": "1h", "jitter": 0, "cap": "2h"}}),
        )
    )
    run = namespace.run("patient")
    main = namespace.in_phase(run, "main", "Retrying")
    failed_at = moment(main["failures"][0]["finishedAt"])
    assert moment(main["retryAt"]) >= failed_at + timedelta(hours=1)
    assert namespace.get("pipelinerun", run)["status"]["message"] == "main will be retried"

    namespace.cancel(run)
    assert steps_of(namespace.ended(run))["main"]["phase"] == "Cancelled"


def test_a_failure_that_would_come_again_is_not_retried(namespace: Namespace) -> None:
    namespace.apply(
        pipeline("barred", shell("main", securityContext={"privileged": True}, retry={"limit": 5, "backoff": AT_ONCE}))
    )
    main = steps_of(namespace.ended(namespace.run("barred")))["main"]
    assert (main["reason"], main["attempt"]) == ("PodRejected", 1)


def test_a_step_that_overran_is_retried(namespace: Namespace) -> None:
    script = f'test "$SLUICE_ATTEMPT" = 2 || {{ {HELD}; }}'
    namespace.apply(
        pipeline("slow", shell("main", script, timeouts={"step": "5s"}, retry={"limit": 1, "backoff": AT_ONCE}))
    )
    status = namespace.ended(namespace.run("slow"))
    main = steps_of(status)["main"]
    assert (status["phase"], main["attempt"], main["failures"][0]["reason"]) == ("Succeeded", 2, "StepTimedOut")


def test_a_running_pod_that_somebody_deletes_is_replaced(namespace: Namespace) -> None:
    namespace.apply(pipeline("robust", shell("main", f'test "$SLUICE_ATTEMPT" = 2 || {{ {HELD}; }}')))
    run = namespace.run("robust")
    namespace.kubectl("delete", "pod", namespace.running(run, "main"), "--wait=false")
    status = namespace.ended(run)
    main = steps_of(status)["main"]
    assert (status["phase"], main["attempt"], main["infrastructureRetries"]) == ("Succeeded", 2, 1)
    assert main["failures"][0]["reason"] == "PodLost"
    assert "retries" not in main


def test_a_pod_that_is_deleted_by_force_is_replaced(namespace: Namespace) -> None:
    namespace.apply(pipeline("robust", shell("main", f'test "$SLUICE_ATTEMPT" = 2 || {{ {HELD}; }}')))
    run = namespace.run("robust")
    namespace.kubectl("delete", "pod", namespace.running(run, "main"), "--force", "--grace-period=0")
    main = steps_of(namespace.ended(run))["main"]
    assert (main["phase"], main["attempt"], main["failures"][0]["reason"]) == ("Succeeded", 2, "PodLost")


def test_a_pod_that_is_deleted_after_its_end_is_not_missed(namespace: Namespace) -> None:
    namespace.apply(pipeline("done", shell("main"), shell("after", HELD, dependsOn=["main"])))
    run = namespace.run("done")
    namespace.running(run, "after")
    namespace.kubectl("delete", "pod", namespace.step(run, "main")["pod"])
    namespace.release(run, "after")
    status = namespace.ended(run)
    assert (status["phase"], steps_of(status)["main"]["attempt"]) == ("Succeeded", 1)


def test_a_pod_that_exits_with_0_because_somebody_deletes_it_has_not_done_its_work(namespace: Namespace) -> None:
    polite = "trap 'exit 0' USR1 TERM; while :; do sleep 0.2; done"
    namespace.apply(pipeline("polite", shell("main", polite)))
    run = namespace.run("polite")
    namespace.kubectl("delete", "pod", namespace.running(run, "main"), "--wait=false")
    namespace.wait_for("the second attempt", lambda: namespace.step(run, "main").get("attempt") == 2)
    namespace.release(run, "main")
    status = namespace.ended(run)
    assert status["phase"] == "Succeeded"
    assert [row["reason"] for row in namespace.step(run, "main")["failures"]] == ["PodLost"]
