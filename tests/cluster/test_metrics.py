"""What the operator tells of itself: real series after a real run, and nothing without a bound."""

import re

from tests.cluster.installation import Installation
from tests.cluster.kit import Namespace, pipeline, shell

RUN = "counted-by-its-run"


def test_a_run_is_in_the_metrics(namespace: Namespace, operator: Installation) -> None:
    namespace.apply(pipeline("counted", shell("first"), shell("second", dependsOn=["first"])))
    assert namespace.ended(namespace.run("counted", RUN))["phase"] == "Succeeded"
    here = {"namespace": namespace.name, "pipeline": "counted"}
    namespace.wait_for("the run", lambda: operator.value("sluice_runs_total", **here, phase="Succeeded") == 1)
    assert operator.value("sluice_run_duration_seconds_count", **here) == 1
    namespace.wait_for("its end", lambda: operator.value("sluice_run_active", **here) == 0)
    assert operator.value("sluice_steps_total", phase="Succeeded", reason="Completed") >= 2
    for launches in ("sluice_run_launch_seconds_count", "sluice_step_launch_seconds_count"):
        assert operator.value(launches) >= 1, launches
    assert operator.value("sluice_api_requests_total", verb="create", resource="pods", code="201") >= 2
    for kind in ("DataPipeline", "PipelineRun"):
        assert operator.value("sluice_queue_work_seconds_count", kind=kind) >= 1
        assert operator.value("sluice_reconcile_total", kind=kind, result="changed") >= 1
    assert operator.value("sluice_build_info") == 1

    namespace.kubectl("delete", "pipeline", "counted")
    namespace.wait_for(
        "the end of its series",
        lambda: (
            not [
                row
                for family in operator.metrics().values()
                for row in family.samples
                if here.items() <= row.labels.items()
            ]
        ),
    )


def test_every_metric_is_explained_and_no_label_is_without_a_bound(
    namespace: Namespace, operator: Installation
) -> None:
    namespace.apply(pipeline("bound", shell("only-step")))
    run = namespace.run("bound", RUN)
    assert namespace.ended(run)["phase"] == "Succeeded"
    names = {run, *(pod["metadata"]["name"] for pod in namespace.pods(run)), "only-step"}
    families = operator.metrics()
    assert not [name for name, family in families.items() if not family.documentation]
    values = {value for family in families.values() for row in family.samples for value in row.labels.values()}
    assert not values & names
    uid = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-")
    assert not [value for value in values if uid.search(value)]


def test_the_probes_answer(operator: Installation) -> None:
    assert operator.http("/healthz").strip() == "ok"
    assert operator.http("/readyz").strip() == "ok"
