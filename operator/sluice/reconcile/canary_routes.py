"""The routes of a canary: how they divide requests at this moment, and what a router is asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sluice.api import names
from sluice.api.canary import CanarySpec, Match
from sluice.kube.client import KubeClient
from sluice.kube.clock import Clock
from sluice.kube.errors import Forbidden, NotFound
from sluice.kube.resources import GATEWAY_CLASSES, GATEWAYS
from sluice.planning.canary_scene import CanaryView, RouteView, Share
from sluice.planning.canary_spec import mirrors, service_name, steered
from sluice.reconcile.caches import Caches
from sluice.routing import gateway_status
from sluice.routing.base import (
    Backend,
    Before,
    Condition,
    Cookie,
    Header,
    HeaderPattern,
    Pair,
    Router,
    RoutingError,
    Seen,
    Standing,
    Wish,
)
from sluice.routing.registry import ROUTERS

GATEWAY_SECONDS: Final = 60.0
"""How long what was read of a GatewayClass counts as current."""


@dataclass(frozen=True)
class _Claims:
    """What the class of a Gateway claims to be able to do."""

    gateway_class: Mapping[str, Any] | None = None
    """None where it is not there: the route's own status says so."""
    unreadable: str = ""
    """Why it is not known."""

    def lacking(self, needed: Sequence[str]) -> str:
        """What is claimed to be missing of what is needed; empty where nothing is."""
        if self.unreadable:
            return f"{self.unreadable}, so it is not known whether it supports {', '.join(needed)}"
        found = self.gateway_class
        missing = gateway_status.lacking(found, needed) if found is not None else ()
        if found is None or not missing:
            return ""
        return (
            f"GatewayClass {found['metadata']['name']} does not claim to support {', '.join(missing)} (if it does, state that in "
            f"its annotation {names.ANNOTATION_SUPPORTS})"
        )


@dataclass
class RouteMemory:
    """What is known of the routes of a canary beside the API server."""

    refused: dict[tuple[str, str], str] = field(default_factory=dict)
    """Why a route could not be changed, by kind and name."""
    gateways: dict[tuple[str, str], tuple[float, _Claims]] = field(default_factory=dict)
    """When the class of a Gateway was read, on the monotonic clock, and what it claims."""


class RouteObserver:
    """See the module."""

    def __init__(self, client: KubeClient, caches: Caches, clock: Clock) -> None:
        self._client = client
        self._caches = caches
        self._clock = clock

    async def look(self, view: CanaryView, memory: RouteMemory) -> list[RouteView]:
        """The routes that the canary steers, as far as they are there. Raises KubeError."""
        found = []
        for kind, name, rule, preview in steered(view.spec, view.status.routes):
            row = self._caches.routes(kind).get(view.namespace, name)
            if row is None:
                continue
            pair = self.pair(view, row.obj, rule)
            lacking = "" if preview else await self._lacking(view, memory, kind, row.obj)
            found.append(self._route(view, memory, kind, row.obj, pair, preview=preview, lacking=lacking))
        return found

    def _route(
        self,
        view: CanaryView,
        memory: RouteMemory,
        kind: str,
        route: Mapping[str, Any],
        pair: Pair | None,
        *,
        preview: bool,
        lacking: str,
    ) -> RouteView:
        router, name = ROUTERS[kind], route["metadata"]["name"]
        record = next((row.before for row in view.status.routes if (row.kind, row.name) == (kind, name)), None)
        said = router.answer(route)
        message = memory.refused.get((kind, name), "") or (said.message if said.standing is Standing.REFUSED else "")
        before, seen, as_matched = None, None, False
        if pair is not None:
            try:
                untouched = router.remember(route, pair)
                before = untouched.dump()
                if record is None:  # what cannot be done is said before anything is
                    router.steer(route, pair, wish(Share(0, matched=True), view.spec), untouched)
            except RoutingError as error:
                if record is None and router.seen(route, pair).weights:
                    message = message or str(error)
            known = before_of(record or before)
            seen = router.seen(route, pair, known)
            as_matched = seen.matched > 0 and _as_matched(router, route, pair, seen, view.spec, known)
        share = round(seen.most) if seen is not None and seen.weights else None
        mirrors = set(seen.mirrors) if seen is not None else set()
        return RouteView(
            name=name,
            kind=kind,
            preview=preview,
            resource_version=route["metadata"]["resourceVersion"],
            stable=None if share is None else 100 - share,
            candidate=None if share is None else share,
            settled=said.standing is Standing.ACCEPTED and not message,
            even=seen is not None and len(set(seen.weights)) <= 1,
            matched=seen is not None and seen.matched > 0,
            as_matched=as_matched,
            mirror=None if len(mirrors) > 1 else next(iter(mirrors), 0),
            lacking=lacking,
            before=before,
            message=message,
        )

    async def _lacking(self, view: CanaryView, memory: RouteMemory, kind: str, route: Mapping[str, Any]) -> str:
        """What a gateway of the route does not claim, of what the spec asks for. Raises KubeError."""
        wishes = [] if view.spec is None else [Wish(mirror=percent) for percent in mirrors(view.spec)]
        needed = sorted({feature for one in wishes for feature in ROUTERS[kind].features(one)})
        if not needed:
            return ""
        now = self._clock.monotonic()
        for parent in (route.get("spec") or {}).get("parentRefs") or ():
            if (parent.get("kind") or "Gateway") != "Gateway":
                continue
            gateway = parent.get("namespace") or view.namespace, parent["name"]
            known = memory.gateways.get(gateway)
            if known is None or now - known[0] >= GATEWAY_SECONDS:
                known = memory.gateways[gateway] = now, await self._claims(*gateway)
            if missing := known[1].lacking(needed):
                return missing
        return ""

    async def _claims(self, namespace: str, name: str) -> _Claims:
        """What the class of a Gateway claims. Raises KubeError."""
        try:
            gateway = await self._client.get(GATEWAYS, namespace, name)
            return _Claims(await self._client.get(GATEWAY_CLASSES, None, gateway["spec"]["gatewayClassName"]))
        except NotFound:
            return _Claims()
        except Forbidden:
            return _Claims(unreadable=f"the GatewayClass of Gateway {namespace}/{name} cannot be read")

    def pair(self, view: CanaryView, route: Mapping[str, Any], rule: str | None) -> Pair | None:
        """Between whom a route divides requests: by the port at which it names the target's Service."""
        if view.spec is None:
            service, candidate = self._names_without_spec(view)
        else:
            service, candidate = service_name(view.spec), names.candidate_name(view.spec.target.name)
        for row in (route.get("spec") or {}).get("rules") or ():
            for backend in row.get("backendRefs") or ():
                if backend.get("name") == service and backend.get("port"):
                    port = int(backend["port"])
                    return Pair(Backend(service, port), Backend(candidate, port), rule)
        return None

    def _names_without_spec(self, view: CanaryView) -> tuple[str, str]:
        target = self._caches.target_of(view)
        name = target.name if target is not None else ""
        return name, names.candidate_name(name)


def wish(share: Share, spec: CanarySpec | None) -> Wish:
    """What a router is asked for."""
    matches = spec.canary.match if share.matched and spec is not None and spec.canary is not None else ()
    return Wish(share.weight, tuple(_condition(one) for one in matches), share.mirror)


def _condition(match: Match) -> Condition:
    if match.cookie is not None:
        return Cookie(match.cookie.name, match.cookie.value)
    if match.header is None:
        raise ValueError("neither header nor cookie")  # refused at admission
    if match.header.pattern is not None:
        return HeaderPattern(match.header.name, match.header.pattern)
    return Header(match.header.name, match.header.value or "")


def _as_matched(
    router: Router, route: Mapping[str, Any], pair: Pair, seen: Seen, spec: CanarySpec | None, before: Before
) -> bool:
    """Whether the rules for what matches are those of the spec: with them, and all else as it is, nothing is to be changed."""
    if seen.weight is None or len(set(seen.mirrors)) > 1:
        return False
    asked = Share(seen.weight, matched=True, mirror=next(iter(seen.mirrors), 0))
    try:
        return not router.steer(route, pair, wish(asked, spec), before)
    except RoutingError:
        return False


def before_of(text: str | None) -> Before:
    """How a route was, as far as it is on record."""
    return Before.load(text) if text else Before(())
