"""gateway: Gateway API by a real Traefik, as a process of this machine, which sends requests straight to the pods.

Routes of any namespace name the Gateway `sluice-gateway` of the namespace `sluice-gateway` as their parent. Requests go to the
address in the status of that Gateway and the port of its listener: from this machine and from pods. Pods may as well use the
Service `traefik` there, whose port `metrics` has the proxy's own series, such as
`traefik_service_requests_total{service="NAMESPACE-SERVICE-http-PORT@kubernetesgateway", code="200"}`.

Traefik listens on the bridge of the local cluster, which nothing but this machine reaches. On other clusters pods have no
addresses that this machine reaches, so there somebody else's Gateway of that name has to be there.
"""

from __future__ import annotations

from pathlib import Path
from string import Template

from dev.cluster import network, progress
from dev.cluster.addons.context import Context
from dev.cluster.cluster import load_missing
from dev.cluster.commands import wait_until
from dev.cluster.errors import ClusterError
from dev.cluster.kubectl import Kubectl
from dev.cluster.settings import Ports
from dev.cluster.small_images import SmallImages
from dev.cluster.tools import module_folder

NAMESPACE = "sluice-gateway"
GATEWAY = "sluice-gateway"
PROXY_LABEL = "sluice.dev/proxy"
"""Label of a GatewayClass: the name of the proxy that serves it."""
_MANIFEST = Path(__file__).parent / "gateway.yaml"
_CRD_MODULE = "sigs.k8s.io/gateway-api"


def up(context: Context) -> None:
    """Install the standard CRDs of Gateway API, start Traefik, give it its Gateway, and bring what gRPC tests call to the nodes."""
    kubectl = context.kubectl
    if context.cluster.name != "local":
        _require_given(kubectl)
        return
    ports = context.settings.ports
    install_crds(kubectl)
    with progress.part("start Traefik and its Gateway"):
        kubectl.apply(
            Template(_MANIFEST.read_text()).substitute(
                address=network.NODE_ADDRESS, port=ports.gateway, metrics_port=ports.gateway_metrics
            )
        )
        context.processes.start(
            "traefik",
            [context.toolbox.path("traefik"), *flags(ports)],
            env={"KUBECONFIG": str(context.cluster.kubeconfig)},
            reads=[context.cluster.kubeconfig],
        )
        wait_until(
            "Traefik's Gateway to be programmed",
            lambda: kubectl.condition("Programmed", "gateway", GATEWAY, f"--namespace={NAMESPACE}"),
            timeout=60,
            alive=lambda: context.processes.require("traefik"),
        )
    load_missing(context.cluster, [SmallImages(context.settings.cache, context.toolbox).grpc_caller()])


def flags(ports: Ports, proxy: str = "main") -> list[str]:
    """What a Traefik is started with. It serves the GatewayClasses that are labelled with its name: there may be several."""
    return [
        "--global.checkNewVersion=false",
        "--global.sendAnonymousUsage=false",
        f"--entryPoints.web.address={network.NODE_ADDRESS}:{ports.gateway}",
        f"--entryPoints.metrics.address={network.NODE_ADDRESS}:{ports.gateway_metrics}",
        "--providers.kubernetesGateway=true",
        f"--providers.kubernetesGateway.labelSelector={PROXY_LABEL}={proxy}",
        f"--providers.kubernetesGateway.statusAddress.ip={network.NODE_ADDRESS}",
        # How long a change of a route waits for others; the default of 2 s would be most of the time of a rollback.
        "--providers.providersThrottleDuration=100ms",
        "--metrics.prometheus.entryPoint=metrics",
        "--metrics.prometheus.addServicesLabels=true",
        # Finer than the default (0.1, 0.3, 1.2, 5), so that a quantile of the latency can be judged.
        "--metrics.prometheus.buckets=0.005,0.01,0.025,0.05,0.1,0.25,0.5,1,2.5,5",
        "--log.level=WARN",
    ]


def install_crds(kubectl: Kubectl) -> None:
    """Install the standard CRDs of Gateway API, of the version that Traefik is built with."""
    with progress.part("install the CRDs of Gateway API"):
        folder = module_folder("traefik", _CRD_MODULE) / "config" / "crd" / "standard"
        kubectl.apply(folder)
        kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", folder, timeout=70)


def _require_given(kubectl: Kubectl) -> None:
    if not kubectl.condition("Programmed", "gateway", GATEWAY, f"--namespace={NAMESPACE}"):
        raise ClusterError(
            f"the add-on gateway runs Traefik beside the local cluster only: have a Gateway {GATEWAY} with routes of all "
            f"namespaces allowed in the namespace {NAMESPACE} of this cluster, with an address that this machine reaches"
        )
