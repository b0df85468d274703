"""Finally steps on a real node: they run whatever became of the others, and are told what it was."""

import pytest

from tests.cluster.kit import HELD, REPORT, Namespace, moment, pipeline, shell, steps_of


@pytest.mark.parametrize(
    ("script", "seen"),
    [("true", "Succeeded Succeeded Succeeded "), ("exit 1", "Failed StepsFailed Failed ExitCode")],
    ids=["success", "failure"],
)
def test_finally_steps_run_after(namespace: Namespace, script: str, seen: str) -> None:
    namespace.apply(pipeline("tidy", shell("main", script), **{"finally": [shell("report", REPORT)]}))
    status = namespace.ended(namespace.run("tidy"))
    assert steps_of(status)["report"]["outputs"] == {"seen": seen}
    assert status["phase"] == seen.split()[0]


def test_finally_steps_run_after_a_cancel(namespace: Namespace) -> None:
    namespace.apply(
        pipeline(
            "tidy", shell("main", HELD), shell("after", dependsOn=["main"]), **{"finally": [shell("report", REPORT)]}
        )
    )
    run = namespace.run("tidy")
    namespace.running(run, "main")
    namespace.cancel(run)
    status = namespace.ended(run)
    assert (status["phase"], status["reason"]) == ("Cancelled", "Cancelled")
    assert steps_of(status)["report"]["outputs"] == {"seen": "Cancelled Cancelled Cancelled Cancelled"}


def test_finally_steps_keep_their_own_order(namespace: Namespace) -> None:
    namespace.apply(
        pipeline(
            "tidy",
            shell("main"),
            **{
                "finally": [
                    shell("last", 'test "$(steps.first.outputs.n ?? none)" = 3', dependsOn=["first"]),
                    shell("first", "echo '{\"n\": 3}' > $SLUICE_OUTPUTS"),
                ]
            },
        )
    )
    status = namespace.ended(namespace.run("tidy"))
    steps = steps_of(status)
    assert status["phase"] == "Succeeded"
    assert moment(steps["main"]["finishedAt"]) <= moment(steps["first"]["startedAt"])
    assert moment(steps["first"]["finishedAt"]) <= moment(steps["last"]["startedAt"])


def test_a_finally_step_sees_outputs_or_their_defaults(namespace: Namespace) -> None:
    namespace.apply(
        pipeline(
            "tidy",
            shell("good", "echo '{\"rows\": 842}' > $SLUICE_OUTPUTS"),
            shell("bad", "exit 1"),
            **{
                "finally": [
                    shell(
                        "report",
                        'test "$(steps.good.outputs.rows ?? none) $(steps.bad.outputs.rows ?? none)" = "842 none"',
                    )
                ]
            },
        )
    )
    assert steps_of(namespace.ended(namespace.run("tidy")))["report"]["phase"] == "Succeeded"


def test_a_finally_step_that_fails_makes_a_good_run_fail(namespace: Namespace) -> None:
    namespace.apply(
        pipeline(
            "tidy",
            shell("main"),
            **{"finally": [shell("report", "exit 4"), shell("after", dependsOn=["report"]), shell("aside")]},
        )
    )
    status = namespace.ended(namespace.run("tidy"))
    assert (status["phase"], status["reason"], status["outcome"]) == ("Failed", "FinallyFailed", "Succeeded")
    assert status["message"] == "report: ExitCode: exit code 4"
    phases = {name: row["phase"] for name, row in steps_of(status).items()}
    assert phases == {"main": "Succeeded", "report": "Failed", "after": "UpstreamFailed", "aside": "Succeeded"}
    namespace.event("tidy-run", "FinallyFailed")


def test_a_finally_step_that_fails_does_not_hide_why_the_run_failed(namespace: Namespace) -> None:
    namespace.apply(pipeline("tidy", shell("main", "exit 3"), **{"finally": [shell("report", "exit 4")]}))
    status = namespace.ended(namespace.run("tidy"))
    assert (status["phase"], status["reason"]) == ("Failed", "StepsFailed")
    assert status["message"] == "main: ExitCode: exit code 3"
