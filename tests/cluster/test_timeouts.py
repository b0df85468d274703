"""The clocks of a run, on a real node: of a step, of its pod's start, of the run, of its queue and of its finally steps."""

from datetime import timedelta

from tests.cluster.kit import HELD, REPORT, Namespace, moment, pipeline, shell, steps_of


def test_a_step_that_overruns_is_stopped_and_keeps_its_log(namespace: Namespace) -> None:
    namespace.apply(
        pipeline(
            "slow",
            shell("main", f"echo here; {HELD}", timeouts={"step": "2s"}),
            **{"finally": [shell("report", REPORT)]},
        )
    )
    status = namespace.ended(namespace.run("slow"))
    steps = steps_of(status)
    assert (steps["main"]["phase"], steps["main"]["reason"]) == ("Failed", "StepTimedOut")
    assert steps["main"]["message"] == "ran for longer than 2.0s"
    assert status["message"] == "main: StepTimedOut: ran for longer than 2.0s"
    assert steps["report"]["outputs"] == {"seen": "Failed StepsFailed Failed StepTimedOut"}
    assert namespace.kubectl("logs", steps["main"]["pod"]).stdout == "here\n"
    namespace.event("slow-run", "StepTimedOut")


def test_a_step_has_the_clock_of_its_pipeline_and_may_have_its_own(namespace: Namespace) -> None:
    namespace.apply(
        pipeline("clocks", shell("main", HELD), shell("other", HELD, timeouts={"step": "1h"}), timeouts={"step": "1s"})
    )
    run = namespace.run("clocks")
    assert namespace.in_phase(run, "main", "Failed")["reason"] == "StepTimedOut"
    namespace.release(run, "other")
    assert steps_of(namespace.ended(run))["other"]["phase"] == "Succeeded"


def test_a_run_that_overruns_is_stopped_and_tidies_up(namespace: Namespace) -> None:
    namespace.apply(
        pipeline(
            "long",
            shell("main", HELD),
            shell("after", dependsOn=["main"]),
            timeouts={"run": "3s"},
            **{"finally": [shell("report", REPORT)]},
        )
    )
    status = namespace.ended(namespace.run("long"))
    steps = steps_of(status)
    assert (status["phase"], status["reason"]) == ("Failed", "RunTimedOut")
    assert status["message"] == "the run lasted longer than 3.0s"
    assert (steps["main"]["phase"], steps["main"]["reason"]) == ("Failed", "RunTimedOut")
    assert (steps["after"]["phase"], steps["after"]["reason"]) == ("Cancelled", "RunTimedOut")
    assert steps["report"]["outputs"] == {"seen": "Failed RunTimedOut Failed RunTimedOut"}
    assert moment(status["finalizingAt"]) - moment(status["startedAt"]) >= timedelta(seconds=3)
    namespace.event("long-run", "RunTimedOut")
    assert " RunTimedOut " in namespace.kubectl("get", "pipelinerun", "long-run").stdout


def test_a_run_of_which_no_step_could_start_in_time_is_stopped(namespace: Namespace) -> None:
    namespace.apply(
        pipeline(
            "stuck", shell("main", podTemplate={"spec": {"nodeSelector": {"disk": "golden"}}}), timeouts={"run": "2s"}
        )
    )
    run = namespace.run("stuck")
    status = namespace.ended(run)
    assert (status["phase"], status["reason"]) == ("Failed", "RunTimedOut")
    namespace.wait_for("the end of its pod", lambda: not namespace.pods(run))


def test_a_run_that_waits_too_long_for_others_ends(namespace: Namespace) -> None:
    namespace.apply(pipeline("queue", shell("main", HELD), concurrency={"policy": "Queue"}, timeouts={"queue": "2s"}))
    first, second = namespace.run("queue", "first"), ""
    namespace.running(first, "main")
    second = namespace.run("queue", "second")
    status = namespace.ended(second)
    assert (status["phase"], status["reason"]) == ("Failed", "QueueTimedOut")
    assert status["message"] == "not started within 2.0s, behind first"
    assert not namespace.pods(second)
    assert namespace.get("pipelinerun", first)["status"]["phase"] == "Running"


def test_finally_steps_that_overrun_are_stopped(namespace: Namespace) -> None:
    namespace.apply(pipeline("tidy", shell("main"), timeouts={"finally": "2s"}, **{"finally": [shell("report", HELD)]}))
    status = namespace.ended(namespace.run("tidy"))
    assert (status["phase"], status["reason"], status["outcome"]) == ("Failed", "FinallyTimedOut", "Succeeded")
    report = steps_of(status)["report"]
    assert (report["phase"], report["reason"]) == ("Failed", "FinallyTimedOut")
