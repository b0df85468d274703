"""What every router is, what it is asked for, and how it refuses.

    RoutingError
      NotRouted        no rule of the route sends traffic to the stable Service
      CandidateInUse   the candidate gets traffic already, before anything was done
      NotDivisible     the weights of a rule that others share cannot be divided exactly as asked
      AlreadyMatched   a rule tells requests apart by the header that the wish names
      RouteFull        the route would be larger than its API allows

The order of a rollout: `remember` once, and keep what it gives where it survives a crash; then `steer`, any number of times;
`restore` at the end. `steer` looks only at the route as it is, so it also puts right what somebody else has changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final, Protocol

Object = Mapping[str, Any]
"""A Kubernetes object as it is in JSON. Routers read it and never change it."""
Patch = tuple[Mapping[str, Any], ...]
"""Operations of a JSON patch (RFC 6902). Empty when nothing has to change; else the first is a `test` of the resourceVersion."""

ALL: Final = 100


class RoutingError(Exception):
    """The route cannot be steered as asked. The message names the route and the rule, and says what to do."""


class NotRouted(RoutingError):
    """No rule of the route sends traffic to the stable Service."""


class CandidateInUse(RoutingError):
    """The candidate gets traffic already, so there is no state before the rollout to go back to."""


class NotDivisible(RoutingError):
    """The weights of a rule that others share cannot be divided exactly as asked."""


class AlreadyMatched(RoutingError):
    """A rule tells requests apart by the header that the wish names."""


class RouteFull(RoutingError):
    """The route would be larger than its API allows."""


@dataclass(frozen=True, slots=True)
class Backend:
    """A Service of the route's namespace, and its port."""

    name: str
    port: int

    def __str__(self) -> str:
        return f"{self.name}:{self.port}"


@dataclass(frozen=True, slots=True)
class Pair:
    """Between whom traffic is divided, and where."""

    stable: Backend
    candidate: Backend
    rule: str | None = None
    """Name of the only rule that takes part; None for every rule that sends traffic to the stable Service."""


@dataclass(frozen=True, slots=True)
class Header:
    """Requests with exactly this header."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class HeaderPattern:
    """Requests with a header that matches a regular expression, in the gateway's own dialect of them."""

    name: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Cookie:
    """Requests with exactly this cookie, whatever other cookies they have."""

    name: str
    value: str


Condition = Header | HeaderPattern | Cookie


@dataclass(frozen=True, slots=True)
class Wish:
    """How traffic shall go."""

    weight: int = 0
    """Percent of the stable Service's traffic that goes to the candidate."""
    conditions: tuple[Condition, ...] = ()
    """Requests that meet any of these go to the candidate, whatever the weight."""
    mirror: int = 0
    """Percent of the requests of which the candidate gets a copy, whose answer nobody waits for."""

    def __post_init__(self) -> None:
        for name in ("weight", "mirror"):
            if not 0 <= getattr(self, name) <= ALL:
                raise ValueError(f"{name} is {getattr(self, name)}: it has to be from 0 to {ALL}")


@dataclass(frozen=True, slots=True)
class RuleBefore:
    """What one rule said of the pair before the rollout."""

    key: str
    """Tells the rule from the others as long as its name or its matches stay."""
    stable: int | None
    """Weight; None where the rule did not say."""
    candidate: int | None
    """Weight; None where the rule did not say, and where it did not name the candidate."""
    named: bool
    """Whether the rule named the candidate."""
    filters: bool
    """Whether the rule had a list of filters, be it an empty one."""


@dataclass(frozen=True, slots=True)
class Before:
    """The parts of a route that a rollout changes, as they were."""

    rules: tuple[RuleBefore, ...]
    """The rules that send traffic to the stable Service."""
    kept: tuple[str, ...] = ()
    """Keys of the rules that are the user's own way to the candidate, such as a preview."""

    def rule(self, key: str) -> RuleBefore | None:
        """The rule of this key, if there was one."""
        return next((rule for rule in self.rules if rule.key == key), None)

    def dump(self) -> str:
        """As text, to be kept in a status."""
        return json.dumps(asdict(self), separators=(",", ":"), sort_keys=True)

    @classmethod
    def load(cls, text: str) -> Before:
        """From the text of `dump`. Raises ValueError for any other."""
        try:
            read = json.loads(text)
            return cls(tuple(RuleBefore(**rule) for rule in read["rules"]), tuple(read["kept"]))
        except (TypeError, KeyError) as error:
            raise ValueError(f"not a route's earlier state: {text[:80]!r}") from error


NEVER_TOUCHED: Final = Before(())


@dataclass(frozen=True, slots=True)
class Seen:
    """How a route divides traffic as it is. The numbers are percent."""

    weights: tuple[float, ...]
    """The candidate's share of the pair's traffic, for each rule that names the stable Service, in their order."""
    mirrors: tuple[int, ...]
    """The share of copied requests, for the same rules."""
    matched: int
    """The number of rules of ours that send requests of some kind to the candidate alone."""
    named: bool
    """Whether each of the rules names the candidate."""

    @property
    def weight(self) -> int | None:
        """The candidate's share, as a wish would say it; None without a rule, where rules differ, and for a part of a percent."""
        if len(set(self.weights)) != 1 or not self.weights[0].is_integer():
            return None
        return int(self.weights[0])

    @property
    def least(self) -> float:
        """The candidate's smallest share in any rule; 0 without a rule."""
        return min(self.weights, default=0.0)

    @property
    def most(self) -> float:
        """The candidate's largest share in any rule; 0 without a rule."""
        return max(self.weights, default=0.0)


class Standing(StrEnum):
    """What has become of a change of a route."""

    ACCEPTED = "Accepted"
    """Every parent has taken the route as it is now."""
    PENDING = "Pending"
    """Some parent has not answered yet, or only about an earlier generation."""
    REFUSED = "Refused"
    """Some parent does not serve the route, or not all of it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the parents of a route say of it."""

    standing: Standing
    message: str
    """With the condition of the parent that matters most, word for word."""


class Router(Protocol):
    """One kind of route."""

    def remember(self, route: Object, pair: Pair) -> Before:
        """What `restore` will need, from the route before anything was done.

        Raises NotRouted and CandidateInUse.
        """
        ...

    def steer(self, route: Object, pair: Pair, wish: Wish, before: Before) -> Patch:
        """The patch that makes the route do as wished, and leaves alone whatever else it says; empty if it does already.

        With the default wish, which sends nothing to the candidate, it never raises NotDivisible, AlreadyMatched or RouteFull
        for a route that it has steered before. Raises NotRouted.
        """
        ...

    def restore(self, route: Object, pair: Pair, before: Before) -> Patch:
        """The patch that takes out what was added and gives back the weights. Raises nothing: what somebody else has changed
        or removed stays as they want it."""
        ...

    def seen(self, route: Object, pair: Pair, before: Before = NEVER_TOUCHED) -> Seen:
        """How the route divides traffic as it is."""
        ...

    def features(self, wish: Wish) -> tuple[str, ...]:
        """What the GatewayClass has to claim for this wish, for `gateway_status.lacking`."""
        ...

    def answer(self, route: Object) -> Answer:
        """What the route's parents say of it."""
        ...
