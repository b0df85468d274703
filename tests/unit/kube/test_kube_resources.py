"""Paths of resources in the API."""

from __future__ import annotations

import pytest

from sluice.kube.resources import CONTROLLER_REVISIONS, NAMESPACES, PIPELINE_RUNS, PODS, VALIDATING_WEBHOOKS, Resource


@pytest.mark.parametrize(
    ("resource", "arguments", "path"),
    [
        (PODS, (), "/api/v1/pods"),
        (PODS, ("team-a",), "/api/v1/namespaces/team-a/pods"),
        (PODS, ("team-a", "x"), "/api/v1/namespaces/team-a/pods/x"),
        (PODS, ("team-a", "x", "log"), "/api/v1/namespaces/team-a/pods/x/log"),
        (NAMESPACES, (None, "team-a"), "/api/v1/namespaces/team-a"),
        (CONTROLLER_REVISIONS, ("team-a",), "/apis/apps/v1/namespaces/team-a/controllerrevisions"),
        (
            PIPELINE_RUNS,
            ("team-a", "r", "status"),
            "/apis/sluice.dev/v1alpha1/namespaces/team-a/pipelineruns/r/status",
        ),
        (
            VALIDATING_WEBHOOKS,
            (None, "w"),
            "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/w",
        ),
        (PODS, ("a/../b", "c?d"), "/api/v1/namespaces/a%2F..%2Fb/pods/c%3Fd"),
    ],
)
def test_path(resource: Resource, arguments: tuple[str | None, ...], path: str) -> None:
    assert resource.path(*arguments) == path


@pytest.mark.parametrize(
    ("resource", "arguments", "complaint"),
    [
        (NAMESPACES, ("team-a", "x"), "cluster-scoped"),
        (PODS, (None, "x"), "needs a namespace"),
        (PODS, ("team-a", None, "log"), "needs a name"),
    ],
)
def test_a_path_that_cannot_be_is_refused(
    resource: Resource, arguments: tuple[str | None, ...], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        resource.path(*arguments)


def test_names_in_objects_and_in_messages() -> None:
    assert (PODS.api_version, PODS.label) == ("v1", "pods")
    assert (PIPELINE_RUNS.api_version, PIPELINE_RUNS.label) == ("sluice.dev/v1alpha1", "pipelineruns.sluice.dev")
