"""How runs fail on a real node: each failure has a reason of its own, and it stands wherever a person may look for it."""

import pytest

from tests.cluster.kit import REPORT, Manifest, Namespace, pipeline, shell, steps_of

SOON = {"pending": "10s"}
"""A short wait for what never comes: long enough for a busy node to say why."""


@pytest.mark.parametrize(
    ("step", "reason", "message"),
    [
        pytest.param(
            shell("main", "echo no rows today; exit 3"), "ExitCode", "exit code 3: no rows today", id="an exit code"
        ),
        pytest.param(
            shell("main", "tail /dev/zero", resources={"limits": {"memory": "16Mi"}}),
            "OOMKilled",
            "killed for memory (exit code 137); raise resources.limits.memory",
            id="too much memory",
        ),
        pytest.param(
            shell("main") | {"command": ["/no/such/program"]},
            "ExitCode",
            "no such file",
            id="a program that is not there",
        ),
        pytest.param(
            shell("main") | {"image": "localhost/sluice/nowhere:1", "timeouts": SOON},
            "ImagePullFailed",
            "not started within 10s: ",
            id="an image that is not there",
        ),
        pytest.param(
            shell("main") | {"image": "localhost/sluice/nowhere:1", "imagePullPolicy": "Never"},
            "ImagePullFailed",
            'Container image "localhost/sluice/nowhere:1" is not present with pull policy of Never',
            id="an image that may not be pulled",
        ),
        pytest.param(
            shell("main", resources={"requests": {"cpu": "1000"}}, timeouts=SOON),
            "Unschedulable",
            "Insufficient cpu",
            id="more processors than there are",
        ),
        pytest.param(
            shell("main", podTemplate={"spec": {"nodeSelector": {"disk": "golden"}}}, timeouts=SOON),
            "Unschedulable",
            "didn't match Pod's node affinity/selector",
            id="a node that is not there",
        ),
        pytest.param(
            shell("main", envFrom=[{"configMapRef": {"name": "settings"}}], timeouts=SOON),
            "ContainerConfigError",
            'configmap "settings" not found',
            id="a ConfigMap that is not there",
        ),
        pytest.param(
            shell(
                "main",
                podTemplate={"spec": {"volumes": [{"name": "data", "secret": {"secretName": "s"}}]}},
                volumeMounts=[{"name": "data", "mountPath": "/data"}],
                timeouts=SOON,
            ),
            "PendingTimedOut",
            "not started within 10s",
            id="a Secret to mount that is not there",
        ),
        pytest.param(
            shell("main", securityContext={"privileged": True, "allowPrivilegeEscalation": True}),
            "PodRejected",
            "violates PodSecurity",
            id="more rights than the namespace gives",
        ),
        pytest.param(
            shell("main", volumeMounts=[{"name": "data", "mountPath": "/data"}]),
            "PodRejected",
            'spec.containers[0].volumeMounts[0].name: Not found: "data"',
            id="a volume that is not in the template",
        ),
        pytest.param(
            shell("main", podTemplate={"spec": {"serviceAccountName": "nobody"}}),
            "PodRejected",
            'serviceaccount "nobody" not found',
            id="an account that is not there",
        ),
    ],
)
def test_a_step_fails_for(namespace: Namespace, step: Manifest, reason: str, message: str) -> None:
    namespace.apply(pipeline("bad", step, **{"finally": [shell("report", REPORT)]}))
    status = namespace.ended(namespace.run("bad"))
    steps = steps_of(status)

    assert (steps["main"]["phase"], steps["main"]["reason"]) == ("Failed", reason)
    assert message in steps["main"]["message"]
    assert (status["phase"], status["reason"]) == ("Failed", "StepsFailed")
    assert status["message"].startswith(f"main: {reason}: ")
    assert message in status["message"]
    assert steps["report"]["outputs"] == {"seen": f"Failed StepsFailed Failed {reason}"}
    assert message in namespace.event("bad-run", reason)["message"]
    assert message in namespace.event("bad-run", "StepsFailed")["message"]
    assert f" StepsFailed   main: {reason}: " in namespace.kubectl("get", "pipelinerun", "bad-run", "-o", "wide").stdout


def test_what_does_not_depend_on_the_failed_step_goes_on(namespace: Namespace) -> None:
    namespace.apply(
        pipeline(
            "two-branches",
            shell("main", "exit 1"),
            shell("after", dependsOn=["main"]),
            shell("much-after", dependsOn=["after"]),
            shell("aside"),
            shell("after-aside", dependsOn=["aside"]),
        )
    )
    status = namespace.ended(namespace.run("two-branches"))
    assert {name: row["phase"] for name, row in steps_of(status).items()} == {
        "main": "Failed",
        "after": "UpstreamFailed",
        "much-after": "UpstreamFailed",
        "aside": "Succeeded",
        "after-aside": "Succeeded",
    }
    assert status["progress"] == "5/5"
    assert len(namespace.pods("two-branches-run")) == 3


def test_of_several_failures_the_run_names_the_first_and_counts_the_rest(namespace: Namespace) -> None:
    namespace.apply(pipeline("both", shell("one", "exit 1"), shell("two", "exit 2")))
    status = namespace.ended(namespace.run("both"))
    assert status["message"] == "one: ExitCode: exit code 1 (and 1 more)"


def test_the_log_of_a_failed_step_stays(namespace: Namespace) -> None:
    namespace.apply(pipeline("wordy", shell("main", "echo first line; echo last line; exit 1")))
    status = namespace.ended(namespace.run("wordy"))
    assert namespace.kubectl("logs", steps_of(status)["main"]["pod"]).stdout == "first line\nlast line\n"


def test_a_run_waits_for_room_in_the_quota_and_says_so(namespace: Namespace) -> None:
    namespace.kubectl("create", "quota", "none", "--hard=pods=0")
    namespace.apply(pipeline("modest", shell("main")))
    run = namespace.run("modest")
    assert "exceeded quota: none" in namespace.event(run, "QuotaExceeded")["message"]
    main = namespace.step(run, "main")
    assert (main["phase"], main["reason"]) == ("Pending", "QuotaExceeded")
    assert "exceeded quota: none" in main["message"]
    namespace.kubectl("delete", "quota", "none")
    assert namespace.ended(run)["phase"] == "Succeeded"


def test_a_run_that_waits_for_room_in_vain_ends_with_its_time(namespace: Namespace) -> None:
    namespace.kubectl("create", "quota", "none", "--hard=pods=0")
    namespace.apply(pipeline("modest", shell("main"), timeouts={"run": "3s"}))
    status = namespace.ended(namespace.run("modest"))
    assert (status["phase"], status["reason"]) == ("Failed", "RunTimedOut")
