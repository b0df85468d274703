"""The resources that the operator reads or writes, and their paths in the API."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from sluice.api.names import GROUP, VERSION


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of one API version."""

    group: str
    """Empty for the core group."""
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As in an object's `apiVersion`: `v1`, `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def label(self) -> str:
        """As in messages and metrics: `pods`, `pipelineruns.sluice.dev`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The URL path of the collection, of one object, or of a subresource of it.

        Without a namespace, the path of a namespaced resource is that of its objects in all namespaces.
        """
        if namespace is not None and not self.namespaced:
            raise ValueError(f"{self.label} is cluster-scoped and has no namespace, but {namespace!r} was given")
        if name is not None and namespace is None and self.namespaced:
            raise ValueError(f"{self.label} is namespaced: {name!r} needs a namespace")
        if subresource is not None and name is None:
            raise ValueError(f"the subresource {subresource!r} of {self.label} needs a name")
        path = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        if namespace is not None:
            path += f"/namespaces/{quote(namespace, safe='')}"
        path += f"/{self.plural}"
        if name is not None:
            path += f"/{quote(name, safe='')}"
        if subresource is not None:
            path += f"/{subresource}"
        return path


PODS = Resource("", "v1", "pods", "Pod")
EVENTS = Resource("", "v1", "events", "Event")
SECRETS = Resource("", "v1", "secrets", "Secret")
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
SERVICES = Resource("", "v1", "services", "Service")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
REPLICA_SETS = Resource("apps", "v1", "replicasets", "ReplicaSet")
AUTOSCALERS = Resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
JOBS = Resource("batch", "v1", "jobs", "Job")
CONTROLLER_REVISIONS = Resource("apps", "v1", "controllerrevisions", "ControllerRevision")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
VALIDATING_WEBHOOKS = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    namespaced=False,
)
MUTATING_WEBHOOKS = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "mutatingwebhookconfigurations",
    "MutatingWebhookConfiguration",
    namespaced=False,
)
HTTP_ROUTES = Resource("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute")
GRPC_ROUTES = Resource("gateway.networking.k8s.io", "v1", "grpcroutes", "GRPCRoute")
GATEWAYS = Resource("gateway.networking.k8s.io", "v1", "gateways", "Gateway")
GATEWAY_CLASSES = Resource("gateway.networking.k8s.io", "v1", "gatewayclasses", "GatewayClass", namespaced=False)
APPLICATIONS = Resource("argoproj.io", "v1alpha1", "applications", "Application")
DATA_PIPELINES = Resource(GROUP, VERSION, "datapipelines", "DataPipeline")
PIPELINE_RUNS = Resource(GROUP, VERSION, "pipelineruns", "PipelineRun")
CANARIES = Resource(GROUP, VERSION, "canaries", "Canary")
QUALITY_GATES = Resource(GROUP, VERSION, "qualitygates", "QualityGate")
METRIC_SOURCES = Resource(GROUP, VERSION, "metricsources", "MetricSource")
CLUSTER_METRIC_SOURCES = Resource(GROUP, VERSION, "clustermetricsources", "ClusterMetricSource", namespaced=False)
