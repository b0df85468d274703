"""A/B rules of the Gateway API: the rule that sends some requests of another rule to the candidate alone."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

from sluice.routing.base import AlreadyMatched, Condition, Cookie, Header, HeaderPattern

Rule = Mapping[str, Any]


def narrowed(
    rule: Rule, conditions: Sequence[Condition], backend: Mapping[str, Any], everything: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """A copy of `rule`, with its filters and time limits, for those of its requests that meet any of the conditions.

    `backend` is the only one it sends them to; `everything` is what a rule without matches stands for. The API gives
    precedence to the rule with more headers among those that otherwise match alike, so it wins over `rule` wherever it stands.
    Raises AlreadyMatched.
    """
    matches = [
        {**copy.deepcopy(dict(match)), "headers": [*copy.deepcopy(match.get("headers") or []), header]}
        for match in rule.get("matches") or everything
        for header in _headers(conditions, match)
    ]
    rest = {key: copy.deepcopy(value) for key, value in rule.items() if key not in ("name", "matches", "backendRefs")}
    return {"matches": matches, **rest, "backendRefs": [dict(backend)]}


def _headers(conditions: Sequence[Condition], match: Mapping[str, Any]) -> list[dict[str, str]]:
    there = {header["name"].lower() for header in match.get("headers") or ()}
    headers = [_header(condition) for condition in conditions]
    for header in headers:
        if header["name"].lower() in there:
            raise AlreadyMatched(f"it matches on the header {header['name']} itself: choose another header")
    return headers


def _header(condition: Condition) -> dict[str, str]:
    match condition:
        case Header(name, value):
            return {"type": "Exact", "name": name, "value": value}
        case HeaderPattern(name, pattern):
            return {"type": "RegularExpression", "name": name, "value": pattern}
        case Cookie(name, value):
            # With both ends fixed it means the same to gateways that look for the whole header and to those that search in it.
            pattern = rf"^(?:.*;\s*)?{re.escape(name)}={re.escape(value)}(?:\s*;.*)?$"
            return {"type": "RegularExpression", "name": "Cookie", "value": pattern}
