"""What a schema cannot say of a Canary: weights that rise, something that judges it, and fields that go together."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from sluice.api.canary import CanarySpec, GateUse
from sluice.api.schema import FieldError, invalid, required, show

_URL = re.compile(r"https?://[^/?#\s]+([/?#]\S*)?$")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")
"""A name of a header or cookie (RFC 9110, token)."""
_COOKIE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+\Z")
"""A value of a cookie (RFC 6265, cookie-octet)."""
MAX_SHARE_OF_PODS = 90
"""Highest weight without a router: at 100 there would have to be no pod of the target."""


def check_canary(spec: CanarySpec) -> list[FieldError]:
    """All that is wrong with a Canary whose shape is right."""
    return [
        *_check_strategy(spec),
        *_check_weights(spec),
        *_check_matches(spec),
        *_check_routing(spec),
        *_check_judges(spec),
        *_check_names(spec),
        *_check_hooks(spec),
        *_check_candidate(spec),
        *_check_write_back(spec),
    ]


def _check_write_back(spec: CanarySpec) -> list[FieldError]:
    """A promotion must not lead to the folder that the target itself is made from."""
    back = spec.write_back
    rule = back.on_promotion if back is not None else None
    if back is None or rule is None or back.path is None or (rule.branch or back.branch) != back.branch:
        return []
    own, theirs = back.path.strip("/"), rule.path.strip("/")
    if own == theirs or own.startswith(f"{theirs}/"):
        return [
            invalid("spec.writeBack.onPromotion.path", rule.path, f"must be another environment's than {back.path}")
        ]
    return []


def check_change(old: dict[str, Any], new: CanarySpec) -> list[FieldError]:
    """What may not be changed in a Canary: its target, which is held in its name."""
    before = (old.get("target") or {}).get("name")
    if before in (None, new.target.name):
        return []
    return [invalid("spec.target.name", new.target.name, f'cannot be changed from "{before}"; make another Canary')]


def check_others(name: str, spec: CanarySpec, others: Sequence[tuple[str, CanarySpec]]) -> list[FieldError]:
    """What is wrong with a Canary beside the `others` (name, spec) of its namespace: one target has one canary."""
    errors = [
        invalid("spec.target.name", spec.target.name, f'is the target of Canary "{other}" already')
        for other, theirs in others
        if other != name and theirs.target == spec.target
    ]
    graph = {other: [need.name for need in theirs.depends_on] for other, theirs in others}
    graph[name] = [need.name for need in spec.depends_on]
    if name in graph[name]:
        index = graph[name].index(name)
        errors.append(invalid(f"spec.dependsOn[{index}].name", name, "a canary cannot depend on itself"))
    elif _reaches(graph, name):
        errors.append(invalid("spec.dependsOn", list(graph[name]), "makes a cycle"))
    return errors


def _reaches(graph: dict[str, list[str]], start: str) -> bool:
    seen: set[str] = set()
    todo = list(graph[start])
    while todo:
        name = todo.pop()
        if name == start:
            return True
        if name not in seen:
            seen.add(name)
            todo.extend(graph.get(name, ()))
    return False


def _check_strategy(spec: CanarySpec) -> Iterator[FieldError]:
    if spec.canary is None and spec.blue_green is None:
        yield required("spec.canary", "exactly one of canary, blueGreen is needed")
    elif spec.canary is not None and spec.blue_green is not None:
        yield invalid("spec.blueGreen", spec.blue_green.to_dict(), "exactly one of canary, blueGreen is allowed")


def _check_weights(spec: CanarySpec) -> Iterator[FieldError]:
    before, mirrored = 0, None
    for index, step in enumerate(spec.canary.steps if spec.canary is not None else ()):
        at = f"spec.canary.steps[{index}].weight"
        same = index > 0 and step.mirror == mirrored
        if not 0 <= step.weight <= 100:
            yield invalid(at, step.weight, "must be 0 to 100")
        elif step.weight == 0 and step.mirror is None and spec.canary is not None and not spec.canary.match:
            yield invalid(at, step.weight, "must be 1 to 100; 0 is for a step with mirror, or for spec.canary.match")
        elif step.weight == before and same:
            yield invalid(at, step.weight, "is the weight of the step before; weights have to rise")
        elif step.weight < before:
            yield invalid(at, step.weight, f"is below {before}, the weight of the step before; weights have to rise")
        before, mirrored = max(before, step.weight), step.mirror


def _check_matches(spec: CanarySpec) -> Iterator[FieldError]:
    """What tells requests apart needs a router, and has to be one thing."""
    strategy = spec.canary
    if strategy is None:
        return
    if spec.routing.replicas is not None:
        if strategy.match:
            yield invalid("spec.canary.match", [one.to_dict() for one in strategy.match], "needs a router: gatewayAPI")
        for index, step in enumerate(strategy.steps):
            if step.mirror is not None:
                yield invalid(f"spec.canary.steps[{index}].mirror", step.mirror, "needs a router: gatewayAPI")
    for index, one in enumerate(strategy.match):
        at = f"spec.canary.match[{index}]"
        if (one.header is None) == (one.cookie is None):
            yield required(at, "exactly one of header, cookie is needed")
        if one.header is not None:
            if (one.header.value is None) == (one.header.pattern is None):
                yield required(f"{at}.header", "exactly one of value, pattern is needed")
            if not _TOKEN.match(one.header.name):
                yield invalid(f"{at}.header.name", one.header.name, "must be a name of a header, such as X-Tester")
        if one.cookie is not None:
            if not _TOKEN.match(one.cookie.name):
                yield invalid(f"{at}.cookie.name", one.cookie.name, "must be a name of a cookie, such as tester")
            if not _COOKIE.match(one.cookie.value):
                yield invalid(f"{at}.cookie.value", one.cookie.value, "must not have spaces, quotes, commas, ; or \\")


def _check_routing(spec: CanarySpec) -> Iterator[FieldError]:
    routing = spec.routing
    if (routing.gateway_api is None) == (routing.replicas is None):
        yield required("spec.routing", "exactly one of gatewayAPI, replicas is needed")
    elif routing.replicas is not None:
        if spec.blue_green is not None:
            yield invalid("spec.routing.replicas", {}, "blueGreen needs a router: gatewayAPI")
        for index, step in enumerate(spec.canary.steps if spec.canary is not None else ()):
            if MAX_SHARE_OF_PODS < step.weight <= 100:
                at, most = f"spec.canary.steps[{index}].weight", MAX_SHARE_OF_PODS
                yield invalid(at, step.weight, f"must not be above {most} with routing.replicas: pods of both serve")
    elif spec.blue_green is not None and spec.blue_green.preview is not None and routing.gateway_api is not None:
        preview = spec.blue_green.preview
        for route in routing.gateway_api.routes:
            if (route.kind or "HTTPRoute", route.name) == (preview.kind or "HTTPRoute", preview.name):
                yield invalid("spec.blueGreen.preview.name", preview.name, "is a route that users come by")


def _check_judges(spec: CanarySpec) -> Iterator[FieldError]:
    """Somebody or something has to be able to say no."""
    if spec.approval is not None and spec.approval.promotion == "Manual":
        return
    if spec.canary is not None and not spec.gates and not any(step.gates for step in spec.canary.steps):
        yield required(
            "spec.gates", "without a gate nothing could stop a bad version; or approval: {promotion: Manual}"
        )
    if spec.blue_green is not None and not spec.gates and not spec.blue_green.checks:
        yield required(
            "spec.gates", "without a gate nothing could stop a bad version; or approval: {promotion: Manual}"
        )


def _check_names(spec: CanarySpec) -> Iterator[FieldError]:
    lists: list[tuple[str, Sequence[GateUse]]] = [("spec.gates", spec.gates)]
    if spec.canary is not None:
        lists += [(f"spec.canary.steps[{i}].gates", step.gates or ()) for i, step in enumerate(spec.canary.steps)]
    if spec.blue_green is not None:
        lists.append(("spec.blueGreen.checks", spec.blue_green.checks))
    named = [(at, [gate.name for gate in gates]) for at, gates in lists]
    named.append(("spec.hooks", [hook.name for hook in spec.hooks]))
    if spec.routing.gateway_api is not None:
        named.append(("spec.routing.gatewayAPI.routes", [route.name for route in spec.routing.gateway_api.routes]))
    for at, names in named:
        for index, name in enumerate(names):
            if name in names[:index]:
                yield FieldError(f"{at}[{index}].name", "Duplicate value", show(name))


def _check_hooks(spec: CanarySpec) -> Iterator[FieldError]:
    for index, hook in enumerate(spec.hooks):
        at = f"spec.hooks[{index}]"
        if (hook.http is None) == (hook.job is None):
            yield required(at, "exactly one of http, job is needed")
        if hook.http is not None and not _URL.match(hook.http.url):
            yield invalid(f"{at}.http.url", hook.http.url, "must be http://HOST/... or https://HOST/...")
        if hook.at == "BeforeStep" and spec.canary is None:
            yield invalid(f"{at}.at", hook.at, "blueGreen has no steps; use BeforePromotion")


def _check_candidate(spec: CanarySpec) -> Iterator[FieldError]:
    candidate = spec.candidate
    if candidate is None:
        return
    if candidate.replicas is not None and candidate.by_weight:
        yield invalid("spec.candidate.byWeight", value=True, detail="does not go with replicas")
    if spec.routing.replicas is not None and (candidate.replicas is not None or candidate.by_weight):
        at = "spec.candidate.replicas" if candidate.replicas is not None else "spec.candidate.byWeight"
        yield invalid(at, candidate.replicas or True, "with routing.replicas the weight says how many pods there are")
    if candidate.ceiling is not None and spec.blue_green is not None:
        yield invalid(
            "spec.candidate.ceiling", candidate.ceiling, "does not go with blueGreen: it switches all requests"
        )
