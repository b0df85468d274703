"""Reruns on a real node: what failed is mended outside, and only that and what is downstream of it runs again."""

import pytest

from tests.cluster.kit import Manifest, Namespace, pipeline, shell, steps_of

MENDED = {"name": "MENDED", "valueFrom": {"configMapKeyRef": {"name": "world", "key": "mended"}}}
FLOW = pipeline(
    "flow",
    shell("extract", 'printf \'{"uri": "%s"}\' "$SLUICE_RUN" > $SLUICE_OUTPUTS'),
    shell(
        "clean",
        'test "$MENDED" = yes; printf \'{"from": "%s"}\' "$URI" > $SLUICE_OUTPUTS',
        dependsOn=["extract"],
        env=[MENDED, {"name": "URI", "value": "$(steps.extract.outputs.uri)"}],
    ),
    shell("load", 'test "$(steps.clean.outputs.from)" = first', dependsOn=["clean"]),
    shell("beside", dependsOn=["extract"]),
    params=[{"name": "carrier", "default": "ALL"}],
    **{"finally": [shell("tidy", "echo tidied $(run.outcome)")]},
)


def world(*, mended: bool) -> Manifest:
    """What the step `clean` needs and the pipeline does not state."""
    data = {"mended": "yes" if mended else "no"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "world"}, "data": data}


@pytest.fixture
def failed(namespace: Namespace) -> Namespace:
    """A namespace with a run `first` whose step `clean` has failed, and the cause of it mended since."""
    namespace.apply(world(mended=False), FLOW)
    status = namespace.ended(namespace.run("flow", "first", params={"carrier": "AA"}))
    assert {name: row["phase"] for name, row in steps_of(status).items()} == {
        "extract": "Succeeded",
        "clean": "Failed",
        "load": "UpstreamFailed",
        "beside": "Succeeded",
        "tidy": "Succeeded",
    }
    namespace.apply(world(mended=True))
    return namespace


def pods_of(namespace: Namespace, run: str) -> set[str]:
    """The steps of a run that have a pod of its own."""
    return {pod["metadata"]["labels"]["sluice.dev/step"] for pod in namespace.pods(run)}


def taken(status: Manifest) -> dict[str, str]:
    """{step: run that it was taken over from}."""
    return {row["name"]: row["takenFrom"] for row in status["steps"] if "takenFrom" in row}


def test_only_what_failed_and_what_is_downstream_runs_again(failed: Namespace) -> None:
    before = failed.get("pipelinerun", "first")
    changed = {**FLOW, "spec": {**FLOW["spec"], "description": "Another revision"}}
    failed.apply(changed)
    status = failed.ended(failed.run("flow", "second", rerun={"of": "first"}))
    assert (status["phase"], status["progress"]) == ("Succeeded", "5/5")
    assert pods_of(failed, "second") == {"clean", "load", "tidy"}
    assert taken(status) == {"extract": "first", "beside": "first"}
    old, steps = steps_of(before["status"]), steps_of(status)
    assert steps["extract"]["outputs"] == {"uri": "first"}
    assert steps["clean"]["outputs"] == {"from": "first"}
    assert {**steps["extract"], "takenFrom": None} == {**old["extract"], "takenFrom": None}
    assert {key: status[key] for key in ("revision", "params", "interval")} == {
        key: before["status"][key] for key in ("revision", "params", "interval")
    }
    assert status["rerunOf"] == {"name": "first", "uid": before["metadata"]["uid"]}

    after = failed.get("pipelinerun", "first")
    assert (after["metadata"]["resourceVersion"], after["status"]) == (
        before["metadata"]["resourceVersion"],
        before["status"],
    )
    labels = failed.get("pipelinerun", "second")["metadata"]["labels"]
    assert labels["sluice.dev/rerun-of"] == "first"
    header, row = failed.kubectl("get", "pipelinerun", "second", "-o", "wide").stdout.splitlines()
    assert "RERUN OF" in header
    assert "first" in row.split()


def test_a_rerun_of_a_rerun_from_a_step_on_by_the_command_line(failed: Namespace) -> None:
    made = failed.cli("rerun", "first", "--name", "second", "--watch", "--timeout", "2m")
    assert made.returncode == 0, made.stdout + made.stderr
    assert made.stdout.splitlines()[:3] == [
        "pipelinerun.sluice.dev/second created",
        "runs again: clean, load, tidy",
        "taken over from first: extract, beside",
    ]
    assert "Succeeded  after" in made.stdout
    assert "taken over from first" in made.stdout.split("beside\n", 1)[1]
    third = failed.cli("rerun", "second", "--from", "load", "--name", "third", "--watch", "--timeout", "2m")
    assert third.returncode == 0, third.stdout + third.stderr
    assert taken(failed.get("pipelinerun", "third")["status"]) == {
        "extract": "first",
        "beside": "first",
        "clean": "second",
    }
    assert pods_of(failed, "third") == {"load", "tidy"}
    assert failed.cli("logs", "third", "tidy", check=True).stdout == "tidied Succeeded\n"


def test_what_cannot_be_run_again_is_refused_at_once_with_the_reason(failed: Namespace) -> None:
    failed.apply(pipeline("other", shell("main")))
    failed.ended(failed.run("other", "well"))
    for name, of, spec, words in (
        ("a", "nobody", {}, 'spec.rerun.of: Not found: "nobody": no such PipelineRun'),
        ("b", "well", {}, 'is a run of pipeline "other"; it must be one of "flow"'),
        ("c", "first", {"params": {"carrier": "UA"}}, 'a rerun has that of run "first", which is "AA"'),
        ("d", "first", {"revision": "flow-0000000000"}, "spec.revision: Invalid value"),
    ):
        manifest = {
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "PipelineRun",
            "metadata": {"name": name},
            "spec": {"pipeline": {"name": "flow"}, "rerun": {"of": of}, **spec},
        }
        done = failed.apply(manifest, check=False)
        assert done.returncode != 0
        assert words in done.stderr
    wrong = failed.cli("rerun", "first", "--from", "laod")
    assert wrong.returncode == 1
    assert 'spec.rerun.from[0]: Not found: "laod"' in wrong.stderr
    nothing = failed.cli("rerun", "well")
    assert nothing.returncode == 1
    assert "there is nothing to run again" in nothing.stderr
    assert {run["metadata"]["name"] for run in failed.all_of("pipelineruns")} == {"first", "well"}


def test_a_run_under_way_cannot_be_run_again(namespace: Namespace) -> None:
    namespace.apply(pipeline("slow", shell("main", "sleep 300")))
    run = namespace.run("slow")
    namespace.running(run, "main")
    refused = namespace.cli("rerun", run)
    assert refused.returncode == 1
    assert "is Running; only a run that has ended can be run again" in refused.stderr
