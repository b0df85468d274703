"""What a person sees with kubectl alone: short names, columns, conditions that kstatus and Argo CD read."""

import re

from tests.cluster.kit import HELD, Manifest, Namespace, pipeline, shell


def headers(table: str) -> list[str]:
    return re.split(r" {2,}", table.splitlines()[0].strip())


def conditions(thing: Manifest) -> dict[str, str]:
    """{type: status} of the conditions of an object, all of which must speak of its newest generation."""
    rows = thing["status"]["conditions"]
    assert {row["observedGeneration"] for row in rows} == {thing["metadata"]["generation"]}
    return {row["type"]: row["status"] for row in rows}


def test_pipelines_and_runs_have_telling_columns(namespace: Namespace) -> None:
    namespace.apply(pipeline("good", shell("main"), schedule={"cron": ["0 6 * * *"], "timeZone": "Asia/Kolkata"}))
    namespace.ended(namespace.run("good"))
    namespace.wait_for(
        "the run in the pipeline's status",
        lambda: namespace.get("pipeline", "good").get("status", {}).get("lastRun", {}).get("phase") == "Succeeded",
    )

    pipelines = namespace.kubectl("get", "pipelines").stdout
    assert headers(pipelines) == [
        "NAME", "SCHEDULE", "HEALTH", "LAST RUN", "RESULT", "ACTIVE", "NEXT RUN", "REVISION", "AGE",
    ]  # fmt: skip
    row = re.split(r" {2,}", pipelines.splitlines()[1])
    assert row[:6] == ["good", "0 6 * * * Asia/Kolkata", "Healthy", "good-run", "Succeeded", "0"]
    assert (row[6][10:], row[7]) == (" 06:00 IST", "1")

    runs = namespace.kubectl("get", "pipelineruns").stdout
    assert headers(runs) == ["NAME", "PIPELINE", "PHASE", "PROGRESS", "INTERVAL", "DURATION", "REASON", "AGE"]
    row = re.split(r" {2,}", runs.splitlines()[1])
    assert row[:4] == ["good-run", "good", "Succeeded", "1/1"]
    assert row[6] == "Succeeded"


def test_kubectl_get_sluice_lists_all_that_is_ours(namespace: Namespace) -> None:
    namespace.apply(pipeline("good", shell("main")))
    namespace.ended(namespace.run("good"))
    listed = namespace.kubectl("get", "sluice", "-o", "name").stdout.split()
    assert listed == ["datapipeline.sluice.dev/good", "pipelinerun.sluice.dev/good-run"]


def test_every_short_name_works(namespace: Namespace) -> None:
    namespace.apply(pipeline("good", shell("main")))
    namespace.ended(namespace.run("good"))
    for name in ("dp", "pipeline", "pipelines", "datapipelines"):
        assert namespace.kubectl("get", name, "-o", "name").stdout.strip() == "datapipeline.sluice.dev/good"
    for name in ("prun", "pipelinerun", "pipelineruns"):
        assert namespace.kubectl("get", name, "-o", "name").stdout.strip() == "pipelinerun.sluice.dev/good-run"


def test_the_conditions_of_a_run_follow_its_life(namespace: Namespace) -> None:
    namespace.apply(pipeline("good", shell("main", HELD)))
    run = namespace.run("good")
    namespace.running(run, "main")
    assert conditions(namespace.get("pipelinerun", run)) == {
        "Succeeded": "Unknown",
        "Reconciling": "True",
        "Stalled": "False",
    }
    namespace.release(run, "main")
    namespace.kubectl("wait", "pipelinerun", run, "--for=condition=Succeeded", "--timeout=60s")
    assert conditions(namespace.get("pipelinerun", run)) == {
        "Succeeded": "True",
        "Reconciling": "False",
        "Stalled": "False",
    }


def test_a_failed_run_is_stalled_and_its_pipeline_is_failing(namespace: Namespace) -> None:
    namespace.apply(pipeline("bad", shell("main", "exit 3")))
    run = namespace.run("bad")
    namespace.kubectl("wait", "pipelinerun", run, "--for=condition=Stalled", "--timeout=60s")
    found = namespace.get("pipelinerun", run)
    assert conditions(found) == {"Succeeded": "False", "Reconciling": "False", "Stalled": "True"}
    (succeeded,) = (row for row in found["status"]["conditions"] if row["type"] == "Succeeded")
    assert (succeeded["reason"], succeeded["message"]) == ("StepsFailed", "main: ExitCode: exit code 3")

    owner = namespace.wait_for("a failing pipeline", lambda: failing(namespace.get("pipeline", "bad")))
    assert conditions(owner) == {"Ready": "True", "Reconciling": "False", "Stalled": "False"}
    (ready,) = (row for row in owner["status"]["conditions"] if row["type"] == "Ready")
    assert (ready["reason"], ready["message"]) == ("LastRunFailed", "bad-run: main: ExitCode: exit code 3")


def failing(thing: Manifest) -> Manifest | None:
    return thing if thing["status"]["health"] == "Failing" else None


def test_a_pipeline_is_ready_once_its_revision_is_recorded(namespace: Namespace) -> None:
    namespace.apply(pipeline("good", shell("main")))
    namespace.kubectl("wait", "pipeline", "good", "--for=condition=Ready", "--timeout=60s")
    found = namespace.get("pipeline", "good")
    assert conditions(found) == {"Ready": "True", "Reconciling": "False", "Stalled": "False"}
    assert found["status"]["observedGeneration"] == found["metadata"]["generation"]
    assert namespace.get("controllerrevision", found["status"]["revision"]["name"])["revision"] == 1
