"""Ends the operator at every boundary of what it does: after each write for a namespace, and after each call of a hook.

A server of the test stands between the operator's pod and the API server and passes on what comes. Once the API server has
done a write for the namespace, the operator is ended before it hears of it, and nothing more is taken from its address: for
the API server it has died between this write and the next. The pod that follows goes on from what is there. Writes pass one at a
time, so that in a rollout every boundary between two of them is met once.
"""

import asyncio
import base64
import json
import ssl
import threading
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import aiohttp
import yaml
from aiohttp import web
from yarl import URL

from sluice.kube.client import KubeClient
from sluice.kube.errors import NotFound
from sluice.kube.resources import LEASES, PODS
from tests.cluster.installation import LEASE, SELECTOR, Installation
from tests.cluster.kit import OPERATOR_NAMESPACE, Manifest, Namespace
from tests.cluster.prometheus import address_for_nodes

MOST: Final = 60
"""Ends in one rollout. With more of them it makes no progress."""
ASIDE: Final = ("events", "metricsources/status", "qualitygates/status")
CONFIG: Final = "sluice-boundaries"
MOUNT: Final = "/etc/boundaries"
_PASSED_ON: Final = ("Accept", "Content-Type", "User-Agent")
_SECONDS: Final = 60.0

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Boundary:
    """What the operator had done last."""

    method: str
    resource: str
    """The plural, with the subresource: `canaries/status`. `hooks` for a call of a hook."""
    name: str
    said: Manifest = field(compare=False)
    """The object as the API server stored it; what a hook was told."""

    def __str__(self) -> str:
        status = self.said.get("status") or {}
        what = f" {status.get('phase')} {status.get('weight')}" if self.resource == "canaries/status" else ""
        return f"{self.method} {self.resource} {self.name}{what}"

    @property
    def key(self) -> tuple[str, str, str]:
        """Without what was said."""
        return self.method, self.resource, self.name


class Boundaries:
    """See the module. Use `between`."""

    def __init__(self, kubeconfig: Path, address: str, token: str) -> None:
        self.met: list[Boundary] = []
        """What was done, in order, since the last `watch`."""
        self.effects: Counter[str] = Counter()
        """How often each key of a hook took effect: a repeated call is answered as before, and does nothing."""
        self.ends = 0
        self.problems: list[str] = []
        self._kubeconfig = kubeconfig
        self._namespace = ""
        self._address = address
        self._token = token
        self._ending = False
        self._writing = asyncio.Lock()
        self._barred: set[str] = set()
        """Addresses of pods that are at their end."""
        self._open: dict[str, set[asyncio.Transport]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server, self._authorities = _upstream(kubeconfig)
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self._kube: KubeClient | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._runner is not None
        return f"http://{self._address}:{self._runner.addresses[0][1]}"

    def begin(self, namespace: Namespace) -> None:
        """A test begins, in this namespace."""
        self._namespace = namespace.name
        self.effects, self.problems = Counter(), []
        self.watch(ending=False)

    def watch(self, *, ending: bool) -> None:
        """From now on note what is done, and end the operator each time if that is asked for."""
        self.met, self.ends = [], 0
        self._ending = ending

    def rest(self) -> None:
        """End the operator no more."""
        self._ending = False

    def weights(self) -> list[int]:
        """Weights of the candidate in the route, as they were written one after the other; 0 where it is not named."""
        routes = [one.said["spec"]["rules"][0]["backendRefs"] for one in self.met if one.resource == "httproutes"]
        return [
            next((row.get("weight", 1) for row in refs if row["name"].endswith("-candidate")), 0) for refs in routes
        ]

    def status(self) -> Manifest:
        """The last status of the canary that was written; {} before there was one."""
        written = [one.said["status"] for one in list(self.met) if one.resource == "canaries/status"]
        return written[-1] if written else {}

    def done(self) -> list[Boundary]:
        """What was done for the canary: without Events and what was noted of its gate and source, all of which is said at
        leisure and may be lost."""
        return [one for one in self.met if one.resource not in ASIDE]

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        self._await(self._start())

    def stop(self) -> None:
        """Close everything."""
        self._await(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_SECONDS)
        self._loop.close()

    def _await(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_SECONDS)

    async def _start(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._authorities, limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
            auto_decompress=False,
        )
        self._kube = await KubeClient.connect(kubeconfig=str(self._kubeconfig))
        app = web.Application(client_max_size=16 << 20)
        app.router.add_post("/hooks/{name}", self._hook)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, host=self._address, port=0).start()

    async def _stop(self) -> None:
        for client in list(self._open):
            self._cut(client)
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()
        if self._kube is not None:
            await self._kube.aclose()

    # -- requests ---------------------------------------------------------------------------------------

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self._let_in(request)
        if request.query.get("watch") == "true":
            return await self._stream(request)
        if request.method == "GET" or f"/namespaces/{self._namespace}/" not in request.path:
            return await self._pass(request)
        async with self._writing:
            self._let_in(request)
            answer = await self._pass(request)
            if answer.status < 300:
                await self._boundary(request, _boundary(request, answer))
            return answer

    async def _hook(self, request: web.Request) -> web.Response:
        async with self._writing:
            self._let_in(request)
            key, told = request.headers["Idempotency-Key"], await request.json()
            if not self.effects[key]:
                self.effects[key] += 1
                await self._boundary(request, Boundary("POST", "hooks", request.match_info["name"], told))
            return web.json_response({"message": "done"})

    async def _pass(self, request: web.Request) -> web.Response:
        body = await request.read()
        async with self._asked(request, body) as answer:
            headers = {name: answer.headers[name] for name in ("Content-Type", "Retry-After") if name in answer.headers}
            return web.Response(status=answer.status, body=await answer.read(), headers=headers)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        async with self._asked(request, None) as answer:
            if answer.status != 200:
                return web.Response(status=answer.status, body=await answer.read(), content_type=answer.content_type)
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            await response.prepare(request)
            with suppress(ConnectionError, aiohttp.ClientError):
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
            return response

    def _asked(self, request: web.Request, body: bytes | None) -> Any:
        assert self._session is not None
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        headers |= {"Authorization": f"Bearer {self._token}", "Accept-Encoding": "identity"}
        url = URL(f"{self._server}{request.raw_path}", encoded=True)
        return self._session.request(request.method, url, data=body or None, headers=headers, allow_redirects=False)

    # -- the end of the operator ------------------------------------------------------------------------

    def _let_in(self, request: web.Request) -> None:
        """Nothing is taken from a pod that is at its end."""
        client, transport = request.remote or "", request.transport
        if transport is not None:
            self._open.setdefault(client, set()).add(transport)
        if client in self._barred:
            self._cut(client)
            raise web.HTTPServiceUnavailable

    def _cut(self, client: str) -> None:
        for transport in self._open.pop(client, ()):
            transport.abort()

    async def _boundary(self, request: web.Request, met: Boundary) -> None:
        self.met.append(met)
        if not self._ending or self.ends >= MOST:
            return
        self.ends += 1
        self._barred.add(request.remote or "")
        await self._end()
        self._let_in(request)

    async def _end(self) -> None:
        """Delete the operator's pod; Kubernetes makes another one at once. There is only one: those before it are gone already."""
        assert self._kube is not None
        pods = (await self._kube.list(PODS, OPERATOR_NAMESPACE, label_selector=SELECTOR)).items
        names = [pod["metadata"]["name"] for pod in pods]
        if len(names) != 1:
            self.problems.append(f"the operator should have one pod: {names}")
        for name in names:
            await self._kube.delete(PODS, OPERATOR_NAMESPACE, name, grace_seconds=0)
        # As fifteen seconds would: who held it is heard no more.
        with suppress(NotFound):
            await self._kube.delete(LEASES, OPERATOR_NAMESPACE, LEASE)


def _boundary(request: web.Request, answer: web.Response) -> Boundary:
    """What was done, by the path `.../namespaces/NAMESPACE/PLURAL[/NAME[/SUBRESOURCE]]`."""
    said = json.loads(bytes(answer.body or b"{}"))  # type: ignore[arg-type]
    plural, *rest = request.path.partition("/namespaces/")[2].split("/")[1:]
    name = rest[0] if rest else (said.get("metadata") or {}).get("name", "")
    return Boundary(request.method, "/".join((plural, *rest[1:])), name, said)


def _upstream(kubeconfig: Path) -> tuple[str, ssl.SSLContext]:
    """Where the API server is, and whom to trust."""
    cluster = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]
    if data := cluster.get("certificate-authority-data"):
        trust = ssl.create_default_context(cadata=base64.b64decode(data).decode())
    else:
        trust = ssl.create_default_context(cafile=cluster["certificate-authority"])
    return cluster["server"].rstrip("/"), trust


def _kubeconfig(server: str) -> str:
    named = {"name": "boundaries", "context": {"cluster": "boundaries", "user": "operator"}}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "boundaries", "cluster": {"server": server}}],
            "users": [{"name": "operator", "user": {}}],
            "contexts": [named],
            "current-context": "boundaries",
        }
    )


@contextmanager
def between(operator: Installation) -> Iterator[Boundaries]:
    """Let the operator reach the API server by way of the test; at the end as before."""
    system = operator.namespace
    token = system.kubectl("create", "token", "sluice", "--duration=1h").stdout.strip()
    made = Boundaries(system.kubeconfig, address_for_nodes(system), token)
    made.start()
    try:
        config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": CONFIG}}
        system.apply({**config, "data": {"kubeconfig": _kubeconfig(made.url)}})
        mount = {"name": CONFIG, "mountPath": MOUNT, "readOnly": True}
        with operator.patched(
            volumes=[{"name": CONFIG, "configMap": {"name": CONFIG}}],
            containers=[
                {
                    "name": "operator",
                    "env": [{"name": "KUBECONFIG", "value": f"{MOUNT}/kubeconfig"}],
                    "volumeMounts": [mount],
                }
            ],
        ):
            try:
                yield made
            finally:
                made.rest()
                operator.pod()  # a pod that has just begun to start would not hear that it is to end
    finally:
        system.kubectl("delete", "configmap", CONFIG, "--ignore-not-found", check=False)
        made.stop()
