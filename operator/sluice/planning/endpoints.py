"""Whether a Service leads to its pods yet. Pure.

A pod that is ready is not there for a router until an EndpointSlice of the Service names it. Kubernetes writes those on its
own, mostly within milliseconds; where pods have just come and gone it waits a second before it tries again
(k8s.io/kubernetes/pkg/controller/endpointslice: what its cache does not show yet is taken up later). A weight that is given
meanwhile sends requests to nobody, and they fail.
"""

from collections.abc import Iterable, Mapping
from typing import Any

Object = Mapping[str, Any]


def unnamed(pods: Iterable[Object], slices: Iterable[Object]) -> tuple[str, ...]:
    """The names of pods that are ready, and that no slice says to be ready."""
    endpoints = [endpoint for one in slices for endpoint in one.get("endpoints") or ()]
    named = {(endpoint.get("targetRef") or {}).get("uid") for endpoint in endpoints if _is_ready(endpoint)}
    waiting = (pod["metadata"] for pod in pods if _serves(pod) and pod["metadata"]["uid"] not in named)
    return tuple(sorted(str(metadata["name"]) for metadata in waiting))


def _is_ready(endpoint: Object) -> bool:
    """As Kubernetes has it: what is not said counts as ready."""
    return (endpoint.get("conditions") or {}).get("ready") is not False


def _serves(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    ready = any(row["type"] == "Ready" and row["status"] == "True" for row in conditions)
    return ready and not pod["metadata"].get("deletionTimestamp")
