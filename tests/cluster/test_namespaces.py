"""Namespaces do not mix, however alike the names in them are."""

from collections.abc import Callable

from tests.cluster.kit import Namespace, pipeline, shell


def test_two_namespaces_with_the_same_names_stay_apart(namespaces: Callable[[], Namespace]) -> None:
    both = [namespaces() for _ in range(2)]
    for number, namespace in enumerate(both):
        tell = shell("tell", f"echo '{{\"n\": {number}}}' > /dev/termination-log")
        hear = shell("hear", f'test "$(steps.tell.outputs.n)" = {number}', dependsOn=["tell"])
        namespace.apply(pipeline("twin", tell, hear, concurrency={"policy": "Forbid"}))
    for namespace in both:
        namespace.run("twin")
    for number, namespace in enumerate(both):
        status = namespace.ended("twin-run")
        assert status["phase"] == "Succeeded", "neither stood in the other's way"
        assert status["steps"][0]["outputs"] == {"n": number}
        assert {pod["metadata"]["namespace"] for pod in namespace.pods("twin-run")} == {namespace.name}
        assert len(namespace.all_of("controllerrevisions")) == 1
    first, second = both
    first.kubectl("delete", "pipeline", "twin")
    first.wait_for("the end of its run", lambda: not first.all_of("pipelineruns") or None)
    assert [row["metadata"]["name"] for row in second.all_of("pipelineruns")] == ["twin-run"]


def test_a_run_in_a_namespace_that_was_made_this_moment_does_not_fail(namespaces: Callable[[], Namespace]) -> None:
    namespace = namespaces()
    # The default service account, without which no pod is let in, may not be there yet.
    namespace.kubectl("delete", "serviceaccount", "default")
    namespace.apply(pipeline("early", shell("main")))
    assert namespace.ended(namespace.run("early"))["phase"] == "Succeeded"
