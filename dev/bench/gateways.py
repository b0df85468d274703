"""Gateways for the benchmark of rollbacks: the add-on's, and more proxies beside it, each with a Gateway of its own.

Traefik tells the API server of every route that changed, five a second after the first ten, before it acts on any of them
(client-go's own limit, which it gives no setting for). Thirty routes that change in one moment are so served by three.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from dev.bench.recorder import TooSlow
from dev.cluster import network
from dev.cluster.addons import gateway as addon
from dev.cluster.settings import Settings
from dev.cluster.tools import Toolbox
from sluice.kube.client import KubeClient
from sluice.kube.errors import KubeError
from sluice.kube.resources import GATEWAY_CLASSES, GATEWAYS

FIRST_PORT = 20320
PROGRAMMED_WITHIN = 60.0
_API = "gateway.networking.k8s.io/v1"


@dataclass(frozen=True)
class Gateway:
    """A Gateway, and the proxy behind it."""

    name: str
    namespace: str
    address: str
    port: int
    metrics: str
    """URL of the proxy's own series."""


async def of_addon(client: KubeClient) -> Gateway:
    """The add-on's. Raises LookupError where it is not up."""
    path = f"/apis/{_API}/namespaces/{addon.NAMESPACE}/gateways/{addon.GATEWAY}"
    try:
        found = json.loads(await client.get_raw(path))
        address, port = str(found["status"]["addresses"][0]["value"]), int(found["spec"]["listeners"][0]["port"])
    except (KubeError, KeyError, IndexError) as error:
        raise LookupError("no Gateway: python3 -m dev.cluster up --addons metrics,gateway") from error
    return Gateway(addon.GATEWAY, addon.NAMESPACE, address, port, "http://traefik.sluice-gateway.svc:9100/metrics")


@asynccontextmanager
async def gateways(client: KubeClient, namespace: str, count: int) -> AsyncIterator[list[Gateway]]:
    """So many, the add-on's first; the others are there until the end of the block. Raises LookupError, TooSlow."""
    found, processes = [await of_addon(client)], list[subprocess.Popen[bytes]]()
    try:
        for number in range(1, count):
            name, port = f"bench-{os.getpid()}-{number}", FIRST_PORT + 2 * number
            found.append(await _made(client, namespace, name, port))
            processes.append(_started(name, port))
        for gateway in found[1:]:
            await _programmed(client, gateway)
        yield found
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            await asyncio.to_thread(process.wait, 30)
        for gateway in found[1:]:
            with contextlib.suppress(KubeError):
                await client.delete(GATEWAY_CLASSES, None, gateway.name)


async def _made(client: KubeClient, namespace: str, name: str, port: int) -> Gateway:
    labels = {addon.PROXY_LABEL: name}
    spec = {"controllerName": "traefik.io/gateway-controller"}
    await client.create(
        GATEWAY_CLASSES,
        None,
        {"apiVersion": _API, "kind": "GatewayClass", "metadata": {"name": name, "labels": labels}, "spec": spec},
    )
    listener = {"name": "web", "port": port, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "Same"}}}
    body = {
        "apiVersion": _API,
        "kind": "Gateway",
        "metadata": {"name": name},
        "spec": {"gatewayClassName": name, "listeners": [listener]},
    }
    await client.create(GATEWAYS, namespace, body)
    return Gateway(name, namespace, network.NODE_ADDRESS, port, f"http://{network.NODE_ADDRESS}:{port + 1}/metrics")


def _started(name: str, port: int) -> subprocess.Popen[bytes]:
    settings = Settings.from_environment()
    ports = replace(settings.ports, gateway=port, gateway_metrics=port + 1)
    program = Toolbox(settings.cache).bin / "traefik"
    return subprocess.Popen(
        [program, *addon.flags(ports, proxy=name)],
        env={**os.environ, "KUBECONFIG": str(settings.kubeconfig)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


async def _programmed(client: KubeClient, gateway: Gateway) -> None:
    deadline = time.monotonic() + PROGRAMMED_WITHIN
    while True:
        status = (await client.get(GATEWAYS, gateway.namespace, gateway.name)).get("status") or {}
        if any(row["type"] == "Programmed" and row["status"] == "True" for row in status.get("conditions") or ()):
            return
        if time.monotonic() > deadline:
            raise TooSlow(f"Gateway {gateway.name} is not programmed within {PROGRAMMED_WITHIN:g} s")
        await asyncio.sleep(0.25)
