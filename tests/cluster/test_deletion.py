"""What is deleted takes all that is its own with it, in whatever moment and order."""

import pytest

from tests.cluster.kit import HELD, Namespace, pipeline, shell

OURS = "pipelines,pipelineruns,controllerrevisions,pods"


def _under_way(namespace: Namespace) -> str:
    """A run of `long` whose only step is running."""
    namespace.apply(pipeline("long", shell("main", HELD)))
    run = namespace.run("long")
    namespace.running(run, "main")
    return run


def _nothing_left(namespace: Namespace, kinds: str = OURS) -> None:
    namespace.wait_for(f"the end of all {kinds}", lambda: not namespace.all_of(kinds) or None)


@pytest.mark.parametrize("cascade", ["background", "foreground"])
def test_a_pipeline_takes_everything_with_it(namespace: Namespace, cascade: str) -> None:
    _under_way(namespace)
    namespace.kubectl("delete", "pipeline", "long", f"--cascade={cascade}")
    _nothing_left(namespace)


def test_a_pipeline_can_be_made_again_at_once(namespace: Namespace) -> None:
    _under_way(namespace)
    namespace.kubectl("delete", "pipeline", "long")
    namespace.apply(pipeline("long", shell("main", HELD)))
    run = namespace.run("long", "second")
    namespace.release(run, "main")
    assert namespace.ended(run)["phase"] == "Succeeded"
    uid = namespace.get("pipeline", "long")["metadata"]["uid"]

    def only_new() -> bool:
        found = [row for kind in ("pipelineruns", "controllerrevisions") for row in namespace.all_of(kind)]
        return len(found) == 2 and all(row["metadata"]["ownerReferences"][0]["uid"] == uid for row in found)

    namespace.wait_for("the end of what was the first pipeline's", only_new)


def test_a_pipeline_that_spares_its_children_finds_them_again(namespace: Namespace) -> None:
    run = _under_way(namespace)
    namespace.kubectl("delete", "pipeline", "long", "--cascade=orphan")
    namespace.wait_for(
        "the release of the run", lambda: not namespace.get("pipelinerun", run)["metadata"].get("ownerReferences")
    )
    namespace.apply(pipeline("long", shell("main", HELD)))
    namespace.release(run, "main")
    assert namespace.ended(run)["phase"] == "Succeeded"

    def adopted() -> bool:
        owners = namespace.get("pipelinerun", run)["metadata"].get("ownerReferences", [])
        return [row["uid"] for row in owners] == [namespace.get("pipeline", "long")["metadata"]["uid"]]

    namespace.wait_for("the adoption of the run", adopted)
    health = namespace.wait_for("the health", lambda: namespace.get("pipeline", "long").get("status", {}).get("health"))
    assert health == "Healthy"


def test_a_run_takes_its_pods_with_it(namespace: Namespace) -> None:
    run = _under_way(namespace)
    namespace.kubectl("delete", "pipelinerun", run)
    _nothing_left(namespace, "pipelineruns,pods")
    status = namespace.wait_for(
        "the pipeline without runs",
        lambda: next(
            (row for row in [namespace.get("pipeline", "long").get("status", {})] if row.get("activeRuns") == 0), None
        ),
    )
    assert status["health"] == "Healthy"


def test_a_namespace_goes_in_the_middle_of_a_run(namespace: Namespace) -> None:
    _under_way(namespace)
    namespace.kubectl("delete", "namespace", namespace.name, "--wait=false")

    def gone() -> bool:
        return "NotFound" in namespace.kubectl("get", "namespace", namespace.name, check=False).stderr

    namespace.wait_for("the end of the namespace", gone)
