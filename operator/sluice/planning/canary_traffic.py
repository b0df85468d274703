"""Where the requests go: what weight the candidate has, how it is changed, and how it is put right.

A weight rises only when the side that receives more is ready, and the candidate's pods go only when it has none. Both
rules are here and nowhere else: every change of a weight and every removal of the candidate is made by these functions.
"""

from dataclasses import dataclass
from datetime import datetime

from sluice.api.canary_status import CanaryPhase
from sluice.planning.canary_actions import (
    ApplyAutoscaler,
    ApplyCandidate,
    CanaryAction,
    DeleteCandidate,
    ScaleTarget,
    SetWeights,
)
from sluice.planning.canary_scene import DRAIN, FULL, NOTHING, Moment, RouteView, Share


@dataclass(frozen=True)
class Traffic:
    """What has to be done for the weights, and why it cannot be done yet."""

    actions: tuple[CanaryAction, ...] = ()
    waits: str = ""
    wake_at: datetime | None = None


def main_routes(moment: Moment) -> list[RouteView]:
    """The routes that users come by."""
    return [route for route in moment.scene.routes if not route.preview]


def missing_routes(moment: Moment) -> list[str]:
    """Routes of the spec that do not exist, or do not name the target's Service."""
    spec = moment.spec
    if spec is None or spec.routing.gateway_api is None:
        return []
    there = {(route.kind, route.name, route.preview) for route in moment.scene.routes if route.stable is not None}
    wanted = [(route.kind or "HTTPRoute", route.name, False) for route in spec.routing.gateway_api.routes]
    if spec.blue_green is not None and spec.blue_green.preview is not None:
        preview = spec.blue_green.preview
        wanted.append((preview.kind or "HTTPRoute", preview.name, True))
    return [f"{kind} {name}" for kind, name, is_preview in wanted if (kind, name, is_preview) not in there]


def unsettled(moment: Moment) -> str:
    """Why a route is not as it is stated yet; empty when all are."""
    route = next((route for route in moment.scene.routes if not route.settled), None)
    return "" if route is None else f"{route.kind} {route.name}: {route.message or 'not accepted yet'}"


def refused(moment: Moment) -> str:
    """What a router says against a route, or what is against the weights in it; empty when nothing is."""
    return next((route.message for route in moment.scene.routes if not route.settled and route.message), "")


def seen(moment: Moment) -> int | None:
    """The weight that the candidate has: of the routes when all agree and are accepted, else of the pods."""
    if moment.routed:
        routes = main_routes(moment)
        shares = {round(route.share) for route in routes}
        return shares.pop() if len(shares) == 1 and all(route.settled for route in routes) else None
    target, candidate = moment.scene.target, moment.scene.candidate
    ours = candidate.available if candidate is not None else 0
    total = ours + (target.available if target is not None else 0)
    return round(FULL * ours / total) if total else 0


def reached(moment: Moment) -> bool:
    """Whether the requests are divided as the status asks."""
    if not moment.routed:
        return moment.up(moment.status.weight)
    asked = all(route.says(moment.preview_share if route.preview else moment.share) for route in moment.scene.routes)
    return asked and not missing_routes(moment) and not unsettled(moment)


def any_share(moment: Moment) -> bool:
    """Whether a route, a preview too, states that the candidate gets requests."""
    return any(route.reaches_candidate for route in moment.scene.routes)


def move(moment: Moment, share: Share) -> Traffic:
    """Bring every route to `share` (a preview route to its own), as far as the receiving side is ready."""
    waits = ""
    actions: list[CanaryAction] = []
    if not moment.routed:
        return scale(moment, share.weight)
    for route in moment.scene.routes:
        wanted = moment.preview_share if route.preview else share
        if route.says(wanted) or route.stable is None:
            continue
        if route.gives_more(wanted) and not (moment.up(share.weight) and moment.scene.services.candidate_fits):
            waits = "the candidate is not ready"
        elif route.gives_less(wanted) and not _stable_takes(moment):
            waits = "the target has no pods that could take the requests"
        else:
            before = moment.route_before(route)
            actions.append(SetWeights(route.name, route.kind, wanted, route.resource_version, before))
    return Traffic(tuple(actions), waits or unsettled(moment))


def scale(moment: Moment, weight: int) -> Traffic:
    """Bring the candidate to the number of pods that `weight` needs. It is never made of another revision in place."""
    target, candidate, revision = moment.scene.target, moment.scene.candidate, moment.status.candidate_revision
    if target is None or revision is None:
        return Traffic(waits="the target is missing")
    if candidate is not None and (candidate.deleting or candidate.revision != revision):
        if candidate.deleting or any_share(moment):
            return Traffic(waits="the earlier candidate is not gone")
        return Traffic((DeleteCandidate(candidate.uid),), "the earlier candidate is removed")
    replicas = moment.replicas(weight)
    waits = "" if moment.up(weight) else "the candidate is not ready"
    fits = candidate is not None and (
        candidate.replicas == replicas or (moment.routed and candidate.replicas > replicas)
    )
    if fits or target.revision != revision:
        return Traffic(_autoscaled(moment, replicas), waits)
    apply = ApplyCandidate(
        revision, target.resource_version, replicas, candidate.uid if candidate is not None else None
    )
    return Traffic((apply,), "the candidate is not ready")


def _autoscaled(moment: Moment, replicas: int) -> tuple[CanaryAction, ...]:
    """The candidate grows by the rules of the target's autoscaler, and never below what the weight needs."""
    candidate, autoscaler, spec = moment.scene.candidate, moment.scene.autoscaler, moment.spec
    fixed = spec is not None and spec.candidate is not None and spec.candidate.replicas is not None
    if candidate is None or autoscaler is None or fixed or not moment.routed:
        return ()
    floor = min(replicas, autoscaler.most)
    if autoscaler.floor is not None and autoscaler.floor >= floor:
        return ()
    return (ApplyAutoscaler(candidate.uid, autoscaler.name, floor),)


def grow_target(moment: Moment) -> tuple[CanaryAction, ...]:
    """The target is as large as it has to be to take the requests back."""
    target, wanted = moment.scene.target, moment.wanted_of_target
    if target is None or not any_share(moment) or target.replicas >= wanted:
        return ()
    return (ScaleTarget(target.name, target.uid, target.resource_version, wanted),)


def out(moment: Moment) -> bool:
    """Whether the candidate has no requests, and is gone."""
    return not any_share(moment) and not unsettled(moment) and moment.scene.candidate is None


def withdraw(moment: Moment) -> Traffic:
    """Take the candidate out: first its requests, then, once they have drained, its pods."""
    if moment.scene.target is None:
        return _without_target(moment)
    if any_share(moment):
        return move(moment, NOTHING)
    candidate = moment.scene.candidate
    if candidate is None or unsettled(moment):
        return Traffic(waits=unsettled(moment))
    if candidate.deleting:
        return Traffic(waits="the candidate's pods are ending")
    if not _stable_has_taken_over(moment):
        return Traffic(waits="the target is not ready to do without the candidate")
    drained = moment.since + DRAIN
    if moment.routed and moment.now < drained:
        return Traffic(waits="the candidate's last requests are ending", wake_at=drained)
    return Traffic((DeleteCandidate(candidate.uid),), "the candidate is removed")


def _without_target(moment: Moment) -> Traffic:
    """Somebody deleted the target: the candidate may be all that answers, until the Canary goes too."""
    candidate = moment.scene.candidate
    if moment.phase is CanaryPhase.LEAVING and candidate is not None and not candidate.deleting:
        return Traffic((DeleteCandidate(candidate.uid),), "the candidate is removed")
    return Traffic(waits="the target is missing")


def _stable_takes(moment: Moment) -> bool:
    """Whether the target can be given requests: a candidate that is no good is left for any pod that is available."""
    target = moment.scene.target
    if target is None:
        return False
    urgent = moment.phase is CanaryPhase.ROLLING_BACK or not moment.candidate_alive
    if target.replicas == 0:
        return True
    if urgent:
        return target.available > 0
    return target.serving and target.named and target.replicas >= moment.wanted_of_target


def _stable_has_taken_over(moment: Moment) -> bool:
    target = moment.scene.target
    if target is None:
        return False
    if moment.phase is CanaryPhase.RETURNING and not target.rolled_out:
        return False
    return target.replicas == 0 or target.serving
