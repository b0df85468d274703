"""The pods that sluice makes: restricted, without a token, shaped by the templates, and theirs to whom they belong."""

from tests.cluster.kit import Manifest, Namespace, pipeline, shell, steps_of


def pod_of(namespace: Namespace, run: str, step: str) -> Manifest:
    """The real pod of a step of a run that has ended."""
    return namespace.get("pod", steps_of(namespace.ended(run))[step]["pod"])


def test_a_pod_keeps_to_the_restricted_profile_by_itself(namespace: Namespace) -> None:
    namespace.apply(pipeline("plain", shell("main", "id -u; id -g; test ! -e /var/run/secrets/kubernetes.io")))
    pod = pod_of(namespace, namespace.run("plain"), "main")
    (container,) = pod["spec"]["containers"]
    assert namespace.kubectl("logs", pod["metadata"]["name"]).stdout == "65532\n65532\n"
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert "initContainers" not in pod["spec"]


def test_no_token_of_a_service_account_is_mounted(namespace: Namespace) -> None:
    namespace.kubectl("create", "serviceaccount", "reader")
    namespace.apply(pipeline("plain", shell("main", podTemplate={"spec": {"serviceAccountName": "reader"}})))
    pod = pod_of(namespace, namespace.run("plain"), "main")
    assert pod["spec"]["serviceAccountName"] == "reader"
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert "volumeMounts" not in pod["spec"]["containers"][0]


def test_a_pod_belongs_to_its_run_and_says_so(namespace: Namespace) -> None:
    namespace.apply(pipeline("plain", shell("main")))
    run = namespace.run("plain")
    pod = pod_of(namespace, run, "main")
    uid = namespace.get("pipelinerun", run)["metadata"]["uid"]
    assert pod["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "PipelineRun",
            "name": run,
            "uid": uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    assert pod["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "sluice",
        "sluice.dev/pipeline": "plain",
        "sluice.dev/run": run,
        "sluice.dev/run-uid": uid,
        "sluice.dev/step": "main",
        "sluice.dev/attempt": "1",
    }
    assert pod["metadata"]["name"].startswith("plain-run-main-1-")
    assert pod["spec"]["restartPolicy"] == "Never"


def test_the_templates_of_pipeline_and_step_are_merged(namespace: Namespace) -> None:
    namespace.apply(
        pipeline(
            "shaped",
            shell(
                "main",
                "echo data > /scratch/file; cat /scratch/file",
                volumeMounts=[{"name": "scratch", "mountPath": "/scratch"}],
                securityContext={"readOnlyRootFilesystem": True},
                resources={"requests": {"cpu": "10m"}, "limits": {"memory": "32Mi"}},
                podTemplate={
                    "metadata": {
                        "labels": {"tier": "step", "own": "yes"},
                        "annotations": {"acme.example/note": "step"},
                    },
                    "spec": {
                        "tolerations": [{"key": "step", "operator": "Exists"}],
                        "terminationGracePeriodSeconds": 5,
                        "securityContext": {"runAsUser": 1001},
                    },
                },
            ),
            shell("other", dependsOn=["main"]),
            podTemplate={
                "metadata": {"labels": {"tier": "pipeline", "team": "flights"}},
                "spec": {
                    "volumes": [{"name": "scratch", "emptyDir": {}}],
                    "tolerations": [{"key": "pipeline", "operator": "Exists"}],
                    "nodeSelector": {"kubernetes.io/os": "linux"},
                    "terminationGracePeriodSeconds": 60,
                },
            },
        )
    )
    run = namespace.run("shaped")
    main, other = pod_of(namespace, run, "main"), pod_of(namespace, run, "other")
    labels = main["metadata"]["labels"]
    assert (labels["tier"], labels["team"], labels["own"], labels["sluice.dev/step"]) == (
        "step",
        "flights",
        "yes",
        "main",
    )
    assert main["metadata"]["annotations"]["acme.example/note"] == "step"
    assert [row["key"] for row in main["spec"]["tolerations"]][:2] == ["pipeline", "step"]
    assert main["spec"]["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert main["spec"]["terminationGracePeriodSeconds"] == 5
    assert main["spec"]["securityContext"]["runAsUser"] == 1001
    assert main["spec"]["securityContext"]["runAsNonRoot"] is True
    (container,) = main["spec"]["containers"]
    assert container["resources"]["limits"] == {"memory": "32Mi"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert other["metadata"]["labels"]["tier"] == "pipeline"
    assert other["spec"]["terminationGracePeriodSeconds"] == 60
    assert namespace.kubectl("logs", main["metadata"]["name"]).stdout == "data\n"


def test_environment_comes_from_configmaps_and_secrets(namespace: Namespace) -> None:
    namespace.kubectl("create", "configmap", "settings", "--from-literal=COLOUR=blue")
    namespace.kubectl("create", "secret", "generic", "keys", "--from-literal=password=open sesame")
    namespace.apply(
        pipeline(
            "configured",
            shell(
                "main",
                'test "$MY_COLOUR" = blue; test ${#PASSWORD} = 11; test "$GREETING" = "hello main"',
                envFrom=[{"prefix": "MY_", "configMapRef": {"name": "settings"}}],
                env=[
                    {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "password"}}},
                    {"name": "GREETING", "value": "hello $(SLUICE_STEP)"},
                ],
            ),
        )
    )
    run = namespace.run("configured")
    assert namespace.ended(run)["phase"] == "Succeeded"
    everything = namespace.kubectl("get", "pipelineruns,pipelines,events,controllerrevisions", "-o", "yaml").stdout
    assert "sesame" not in everything


def test_names_of_the_greatest_length_still_fit(namespace: Namespace) -> None:
    long_pipeline, long_step, long_run = "p" * 42, "s" * 40, "r" * 63
    namespace.apply(pipeline(long_pipeline, shell(long_step)))
    pod = pod_of(namespace, namespace.run(long_pipeline, long_run), long_step)
    assert len(pod["metadata"]["name"]) <= 63
    assert pod["metadata"]["labels"]["sluice.dev/run"] == long_run


def test_a_step_that_finds_no_spot_node_goes_to_another(namespace: Namespace) -> None:
    spot = {"nodeSelector": {"capacity": "spot"}, "wait": "2s"}
    namespace.apply(pipeline("cheap", shell("main", spot=spot)))
    status = namespace.ended(namespace.run("cheap"))
    main = steps_of(status)["main"]
    assert (status["phase"], main["attempt"], "retries" in main) == ("Succeeded", 2, False)
    assert main["failures"][0]["reason"] == "Unschedulable"
