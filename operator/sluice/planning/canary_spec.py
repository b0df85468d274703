"""What the spec of a Canary names: its Service, gates and routes."""

from collections.abc import Iterable, Sequence

from sluice.api.canary import CanarySpec
from sluice.api.canary_status import RouteRecord


def service_name(spec: CanarySpec) -> str:
    """The Service of the target."""
    return spec.service.name if spec.service is not None else spec.target.name


def is_routed(spec: CanarySpec) -> bool:
    """Whether a router divides the requests."""
    return spec.routing.gateway_api is not None


def mirrors(spec: CanarySpec) -> list[int]:
    """The shares of requests that its steps ask copies of, in percent."""
    return [step.mirror for step in spec.canary.steps if step.mirror] if spec.canary is not None else []


def gate_names(spec: CanarySpec | None) -> set[str]:
    """The gates that a Canary is judged by at some point."""
    if spec is None:
        return set()
    steps = spec.canary.steps if spec.canary is not None else ()
    uses = [*spec.gates, *(use for step in steps for use in step.gates or ())]
    if spec.blue_green is not None:
        uses += spec.blue_green.checks
    return {use.name for use in uses}


def steered(spec: CanarySpec | None, records: Iterable[RouteRecord]) -> Sequence[tuple[str, str, str | None, bool]]:
    """Kind, name, rule and whether it is the preview, of each route that a Canary steers, or has steered."""
    given: dict[tuple[str, str], tuple[str | None, bool]] = {}
    if spec is not None and spec.routing.gateway_api is not None:
        for route in spec.routing.gateway_api.routes:
            given[route.kind or "HTTPRoute", route.name] = (route.rule, False)
        if spec.blue_green is not None and spec.blue_green.preview is not None:
            preview = spec.blue_green.preview
            given[preview.kind or "HTTPRoute", preview.name] = (preview.rule, True)
    for row in records:
        given.setdefault((row.kind, row.name), (None, False))
    return [(kind, name, rule, preview) for (kind, name), (rule, preview) in given.items()]
