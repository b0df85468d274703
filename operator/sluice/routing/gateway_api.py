"""Gateway API: HTTPRoute and GRPCRoute.

A rule takes part when one of its backends is the stable Service and some of its traffic goes to the pair. Of such a rule only
the weights of the pair change, and the candidate is added after the stable backend, with the same filters, where it is missing.
A rule that has no other backends gets weights that sum to 100. Beside other backends the pair goes on having the sum that it
has, so that the others keep their share.

Requests that are told apart by a header or a cookie get a rule of their own before all others; see `matching`. A mirror is a
filter of the rules that take part. All other rules, filters, matches, time limits and backends are the user's.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sluice.routing import gateway_status
from sluice.routing.base import (
    ALL,
    NEVER_TOUCHED,
    AlreadyMatched,
    Answer,
    Backend,
    Before,
    CandidateInUse,
    NotDivisible,
    NotRouted,
    Object,
    Pair,
    Patch,
    RouteFull,
    RuleBefore,
    Seen,
    Wish,
)
from sluice.routing.json_patch import Draft
from sluice.routing.matching import narrowed

_DEFAULT_WEIGHT: Final = 1
_MOST_RULES: Final = 16
_MOST_BACKENDS: Final = 16
_MOST_FILTERS: Final = 16
_MOST_MATCHES: Final = 64
_MOST_MATCHES_IN_ALL: Final = 128
_MOST_HEADERS: Final = 16

Json = Mapping[str, Any]


@dataclass(frozen=True)
class _Place:
    """A rule that names the stable backend, and where in it the pair stands."""

    rule: int
    key: str
    stable: int
    candidate: int | None
    backends: Sequence[Json]

    @property
    def stable_weight(self) -> int:
        return _weight(self.backends[self.stable])

    @property
    def candidate_weight(self) -> int:
        return 0 if self.candidate is None else _weight(self.backends[self.candidate])

    @property
    def sum(self) -> int:
        return self.stable_weight + self.candidate_weight

    @property
    def shared(self) -> bool:
        """Whether other backends get traffic from this rule."""
        pair = (self.stable, self.candidate)
        return any(_weight(backend) for position, backend in enumerate(self.backends) if position not in pair)


@dataclass(frozen=True)
class GatewayRoute:
    """A kind of route of the Gateway API."""

    everything: tuple[Json, ...]
    """The matches of a rule that states none."""

    def remember(self, route: Object, pair: Pair) -> Before:
        """What `restore` will need. Raises NotRouted, CandidateInUse."""
        places = _taking_part(route, pair)
        rules = route["spec"]["rules"]
        for place in places:
            if place.candidate_weight or _mirrors(rules[place.rule], pair.candidate):
                raise CandidateInUse(
                    f"{_label(route)}, rule {place.rule + 1}: Service {pair.candidate} already gets traffic from it. Set its "
                    "weight to 0 and take out mirrors to it"
                )
        return Before(
            tuple(
                RuleBefore(
                    key=place.key,
                    stable=place.backends[place.stable].get("weight"),
                    candidate=None if place.candidate is None else place.backends[place.candidate].get("weight"),
                    named=place.candidate is not None,
                    filters="filters" in rules[place.rule],
                )
                for place in places
            ),
            tuple(key for key, rule in _keyed(rules) if _only(rule, pair.candidate)),
        )

    def steer(self, route: Object, pair: Pair, wish: Wish, before: Before) -> Patch:
        """The patch that makes the route do as wished. Raises NotRouted, NotDivisible, AlreadyMatched, RouteFull."""
        _taking_part(route, pair)
        draft = Draft(route)
        self._tell_apart(draft, pair, wish, before)
        for place in _places(draft.document, pair):
            if place.sum:
                _divide(draft, place, pair, wish.weight)
                _mirror(draft, place, pair, wish.mirror, before.rule(place.key))
        if draft.patch:
            _require_room(draft.document)
        return draft.patch

    def restore(self, route: Object, pair: Pair, before: Before) -> Patch:
        """The patch that takes out what was added and gives back the weights."""
        draft = Draft(route)
        for position in reversed(self._added(draft.document, pair, before)):
            draft.remove("spec", "rules", position)
        for place in _places(draft.document, pair):
            rule = before.rule(place.key)
            _mirror(draft, place, pair, 0, rule)
            _give_back(draft, place, rule, before)
        return draft.patch

    def seen(self, route: Object, pair: Pair, before: Before = NEVER_TOUCHED) -> Seen:
        """How the route divides traffic as it is."""
        rules = (route.get("spec") or {}).get("rules") or ()
        places = [place for place in _places(route, pair) if place.sum]
        return Seen(
            tuple(place.candidate_weight * ALL / place.sum for place in places),
            tuple(
                sum(_percent(rules[place.rule]["filters"][at]) for at in _mirrors(rules[place.rule], pair.candidate))
                for place in places
            ),
            len(self._added(route, pair, before)),
            bool(places) and all(place.candidate is not None for place in places),
        )

    def answer(self, route: Object) -> Answer:
        """What the route's parents say of it."""
        return gateway_status.answer(route)

    def features(self, wish: Wish) -> tuple[str, ...]:
        """What the GatewayClass has to claim for this wish, for `gateway_status.lacking`.

        There are no such names for GRPCRoute: what a gateway does for the one, it does for the other.
        """
        if not wish.mirror:
            return ()
        return ("HTTPRouteRequestMirror", *(("HTTPRouteRequestPercentageMirror",) if wish.mirror < ALL else ()))

    def _tell_apart(self, draft: Draft, pair: Pair, wish: Wish, before: Before) -> None:
        """Have the A/B rules that are wished for, and no others."""
        rules = draft.document["spec"]["rules"]
        wanted: list[dict[str, Any]] = []
        for place in _places(draft.document, pair) if wish.conditions else ():
            if place.sum:
                backend = {**_candidate_of(place, pair), "weight": _DEFAULT_WEIGHT}
                try:
                    rule = narrowed(rules[place.rule], wish.conditions, backend, self.everything)
                except AlreadyMatched as error:
                    raise AlreadyMatched(f"{_label(draft.document)}, rule {place.rule + 1}: {error}") from error
                if f"{_digest(rule)}-1" not in before.kept:  # else the user's own rule does the same
                    wanted.append(rule)
        added = self._added(draft.document, pair, before)
        if [_without_mirrors(rules[position], pair) for position in added] == [
            _without_mirrors(rule, pair) for rule in wanted
        ]:
            return
        for position in reversed(added):
            draft.remove("spec", "rules", position)
        for position, rule in enumerate(wanted):
            draft.insert(_without_mirrors(rule, pair), "spec", "rules", position)

    def _added(self, document: Json, pair: Pair, before: Before) -> list[int]:
        """The positions of the rules that we have added: to the candidate alone, by header, and not there before."""
        return [
            position
            for position, (key, rule) in enumerate(_keyed((document.get("spec") or {}).get("rules") or ()))
            if _only(rule, pair.candidate)
            and key not in before.kept
            and rule.get("matches")
            and all(match.get("headers") for match in rule["matches"])
        ]


HTTP_ROUTE: Final = GatewayRoute(({"path": {"type": "PathPrefix", "value": "/"}},))
GRPC_ROUTE: Final = GatewayRoute(({},))


# --- finding the pair


def _taking_part(route: Object, pair: Pair) -> list[_Place]:
    """The rules that send traffic to the pair. Raises NotRouted if there is none."""
    places = [place for place in _places(route, pair) if place.sum]
    if places:
        return places
    named = {
        f"{backend['name']}:{backend.get('port', '')}"
        for rule in (route.get("spec") or {}).get("rules") or ()
        for backend in rule.get("backendRefs") or ()
    }
    wanted = "no rule" if pair.rule is None else f"no rule {pair.rule}"
    raise NotRouted(
        f"{_label(route)} has {wanted} that sends traffic to Service {pair.stable}; it names "
        f"{', '.join(sorted(named)) or 'no backend'}"
    )


def _places(route: Object, pair: Pair) -> list[_Place]:
    """The rules that may take part: those that name the stable backend, with traffic or without, as they are now."""
    namespace = route["metadata"].get("namespace")
    found = []
    for position, (key, rule) in enumerate(_keyed((route.get("spec") or {}).get("rules") or ())):
        backends = rule.get("backendRefs") or []
        stable = _find(backends, pair.stable, namespace)
        if stable is not None and pair.rule in (None, rule.get("name")):
            found.append(_Place(position, key, stable, _find(backends, pair.candidate, namespace), backends))
    return found


def _find(backends: Sequence[Json], wanted: Backend, namespace: str | None) -> int | None:
    """The position of a backend. The first, should it be there more than once."""
    return next((position for position, ref in enumerate(backends) if _is(ref, wanted, namespace)), None)


def _is(ref: Json, backend: Backend, namespace: str | None) -> bool:
    return (
        (ref.get("group") or "", ref.get("kind") or "Service") == ("", "Service")
        and (ref.get("namespace") or namespace) == namespace
        and (ref.get("name"), ref.get("port")) == (backend.name, backend.port)
    )


def _only(rule: Json, backend: Backend) -> bool:
    """Whether a rule has this backend and no other."""
    refs: Sequence[Json] = rule.get("backendRefs") or []
    return len(refs) == 1 and (refs[0].get("name"), refs[0].get("port")) == (backend.name, backend.port)


def _keyed(rules: Sequence[Json]) -> Iterator[tuple[str, Json]]:
    """Each rule with what tells it from the others: its name, else its matches, counted where several match alike."""
    times: dict[str, int] = {}
    for rule in rules:
        digest = _digest(rule)
        times[digest] = times.get(digest, 0) + 1
        yield f"{digest}-{times[digest]}", rule


def _digest(rule: Json) -> str:
    told_by = rule.get("name") or json.dumps(rule.get("matches") or [], sort_keys=True)
    return hashlib.sha256(told_by.encode()).hexdigest()[:12]


def _weight(backend: Json) -> int:
    weight = backend.get("weight")
    return _DEFAULT_WEIGHT if weight is None else int(weight)


# --- weights


def _divide(draft: Draft, place: _Place, pair: Pair, weight: int) -> None:
    path = ("spec", "rules", place.rule, "backendRefs")
    if place.candidate is None and not weight:
        return  # there is nothing to divide, and nothing to undo
    whole = place.sum if place.shared else ALL
    candidate, rest = divmod(whole * weight, ALL)
    if rest:
        raise NotDivisible(
            f"{_label(draft.document)}, rule {place.rule + 1}: {weight}% of the weight {whole} of Service {pair.stable} "
            "is no whole number, and other backends share the rule. Multiply all weights of the rule by 100"
        )
    draft.set(whole - candidate, *path, place.stable, "weight")
    if place.candidate is not None:
        draft.set(candidate, *path, place.candidate, "weight")
    else:
        draft.insert({**_candidate_of(place, pair), "weight": candidate}, *path, place.stable + 1)


def _candidate_of(place: _Place, pair: Pair) -> dict[str, Any]:
    """The candidate as a backend, with all else that is said of the stable one: its namespace, its filters."""
    stable = {key: copy.deepcopy(value) for key, value in place.backends[place.stable].items() if key != "weight"}
    return {**stable, "name": pair.candidate.name, "port": pair.candidate.port}


def _give_back(draft: Draft, place: _Place, rule: RuleBefore | None, before: Before) -> None:
    path = ("spec", "rules", place.rule, "backendRefs")
    if place.candidate is None or not place.sum:
        return  # untouched, or written anew by somebody else
    if rule is None:
        # A rule that somebody has changed meanwhile: it is theirs, but no traffic may go on to the candidate.
        draft.set(place.sum, *path, place.stable, "weight")
        if all(one.named for one in before.rules):
            draft.set(0, *path, place.candidate, "weight")
        else:
            draft.remove(*path, place.candidate)
        return
    _set_or_remove(draft, rule.stable, *path, place.stable, "weight")
    if rule.named:
        _set_or_remove(draft, rule.candidate, *path, place.candidate, "weight")
    else:
        draft.remove(*path, place.candidate)


def _set_or_remove(draft: Draft, value: int | None, *path: str | int) -> None:
    if value is None:
        draft.remove(*path)
    else:
        draft.set(value, *path)


# --- mirrors


def _mirrors(rule: Json, backend: Backend) -> list[int]:
    """The positions of the filters that copy requests to this backend."""
    return [
        position
        for position, one in enumerate(rule.get("filters") or ())
        if one.get("type") == "RequestMirror" and _mirrored(one) == (backend.name, backend.port)
    ]


def _mirrored(one: Json) -> tuple[Any, Any]:
    ref = (one.get("requestMirror") or {}).get("backendRef") or {}
    return ref.get("name"), ref.get("port")


def _percent(one: Json) -> int:
    percent = one["requestMirror"].get("percent")
    return ALL if percent is None else int(percent)


def _mirror(draft: Draft, place: _Place, pair: Pair, percent: int, rule: RuleBefore | None) -> None:
    path = ("spec", "rules", place.rule)
    now = draft.document["spec"]["rules"][place.rule]
    there = _mirrors(now, pair.candidate)
    stated = percent if percent < ALL else None
    if percent and there:
        _set_or_remove(draft, stated, *path, "filters", there[0], "requestMirror", "percent")
    elif percent:
        # The group and the kind are what the API server would add: stated, so that what is read is what was written.
        ref = {"group": "", "kind": "Service", "name": pair.candidate.name, "port": pair.candidate.port}
        mirror = {"backendRef": ref} if stated is None else {"backendRef": ref, "percent": stated}
        one = {"type": "RequestMirror", "requestMirror": mirror}
        if "filters" in now:
            draft.insert(one, *path, "filters", len(now["filters"]))
        else:
            draft.set([one], *path, "filters")
    elif there and len(now["filters"]) == len(there) and not (rule and rule.filters):
        draft.remove(*path, "filters")
    else:
        for position in reversed(there):
            draft.remove(*path, "filters", position)


def _without_mirrors(rule: Json, pair: Pair) -> dict[str, Any]:
    """A rule whose requests the candidate answers needs to send it no copies."""
    there = _mirrors(rule, pair.candidate)
    filters = [one for position, one in enumerate(rule.get("filters") or ()) if position not in there]
    rest = {key: value for key, value in rule.items() if key != "filters"}
    return {**rest, "filters": filters} if filters else rest


# --- limits


def _require_room(document: Json) -> None:
    """Raise RouteFull where the API would refuse the route for its size."""
    rules = document["spec"]["rules"]
    matches = [match for rule in rules for match in rule.get("matches") or ()]
    sizes = (
        ("rules", len(rules), _MOST_RULES),
        ("matches in all", len(matches), _MOST_MATCHES_IN_ALL),
        ("matches in a rule", max(len(rule.get("matches") or ()) for rule in rules), _MOST_MATCHES),
        ("backends in a rule", max(len(rule.get("backendRefs") or ()) for rule in rules), _MOST_BACKENDS),
        ("filters in a rule", max(len(rule.get("filters") or ()) for rule in rules), _MOST_FILTERS),
        ("headers in a match", max((len(match.get("headers") or ()) for match in matches), default=0), _MOST_HEADERS),
    )
    for what, size, most in sizes:
        if size > most:
            raise RouteFull(f"{_label(document)} would have {size} {what}, and the API allows {most}")


def _label(route: Object) -> str:
    return f"{route['kind']} {route['metadata'].get('namespace', '')}/{route['metadata']['name']}"
