"""What follows from a change of a Canary, of its target, or of the configs that belong to the target's version."""

import json
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

from sluice.api import names
from sluice.api.canary import BlueGreen, CanarySpec, CanaryStrategy
from sluice.api.durations import format_duration
from sluice.planning.canary_checks import check_change, check_others
from sluice.planning.canary_scene import DEFAULT_HOLD, DEFAULT_WATCH, FULL, length, plan_hash, top_weight
from sluice.planning.canary_spec import gate_names
from sluice.planning.candidate import revision_of, template_hash
from sluice.planning.changes.objects import Effect, Manifest, Ref, Tree, beside, error, listed, warning

APPS = "apps"


def in_words(spec: CanarySpec) -> str:
    """How a version is let in: "5 % for 10m, 50 % for 5m, then 100 %, watch 1m; gates pricing-slo"."""
    parts: Iterable[str] = ()
    if spec.blue_green is not None:
        parts = _blue_green(spec, spec.blue_green)
    elif spec.canary is not None:
        parts = _steps(spec, spec.canary)
    return "; ".join([*parts, *_judges(spec)])


def _steps(spec: CanarySpec, strategy: CanaryStrategy) -> Iterator[str]:
    top = top_weight(spec)
    weights = []
    for step in strategy.steps:
        copies = f" and copies of {step.mirror} %" if step.mirror else ""
        weights.append(f"{min(step.weight, top)} %{copies} for {_time(step.hold, DEFAULT_HOLD)}")
    if spec.routing.gateway_api is not None and strategy.steps[-1].weight < top:
        weights.append(f"then {top} %")
    yield ", ".join([*weights, f"watch {_time(spec.watch, DEFAULT_WATCH)}"])
    if strategy.match:
        told = [f"header {one.header.name}" for one in strategy.match if one.header is not None]
        told += [f"cookie {one.cookie.name}" for one in strategy.match if one.cookie is not None]
        yield f"from the first step on also requests that match by {listed(told)}"
    if spec.routing.replicas is not None:
        yield "by numbers of pods"


def _blue_green(spec: CanarySpec, strategy: BlueGreen) -> Iterator[str]:
    if strategy.preview is not None:
        yield f"blue-green: first by the route {strategy.preview.name} alone"
    checks = f" once {listed(use.name for use in strategy.checks)} passed" if strategy.checks else ""
    watch = _time(strategy.watch, length(spec.watch, DEFAULT_WATCH))
    kept = f", the old version kept warm for {strategy.keep_old}" if strategy.keep_old is not None else ""
    yield f"{'then' if strategy.preview is not None else 'blue-green:'} {FULL} % at once{checks}, watch {watch}{kept}"


def _judges(spec: CanarySpec) -> Iterator[str]:
    names_of_gates = sorted(gate_names(spec))
    if names_of_gates:
        yield f"gate{'s' if len(names_of_gates) > 1 else ''} {', '.join(names_of_gates)}"
    if spec.approval is not None and spec.approval.promotion == "Manual":
        yield "a person has to say promote"


def _time(text: str | None, default: timedelta) -> str:
    """A duration as it is written, or its default."""
    return text if text is not None else format_duration(default)


# -- the version ------------------------------------------------------------------------------------------------------


def template_of(deployment: Manifest | None) -> str | None:
    """Hash of the pod template; None when there is none."""
    spec = deployment.get("spec") if deployment is not None else None
    template = spec.get("template") if isinstance(spec, dict) else None
    return template_hash(template) if isinstance(template, dict) and _plain(template) else None


def _plain(template: dict[str, Any]) -> bool:
    metadata = template.get("metadata") or {}
    return isinstance(metadata, dict) and isinstance(metadata.get("annotations") or {}, dict)


def _configs(tree: Tree, canary: Ref, spec: CanarySpec) -> str:
    """Hash of the configs as far as the tree has them; empty without any."""
    contents: list[Any] = []
    for config in spec.configs:
        found = tree.find(canary, config.kind, config.name, "")
        contents.append(
            [config.kind, config.name, *((found or {}).get(key) for key in ("data", "binaryData", "stringData"))]
        )
    return names.short_hash(json.dumps(contents, sort_keys=True, default=str), length=10) if contents else ""


def version_of(tree: Tree, canary: Ref, spec: CanarySpec) -> str | None:
    """What tells one version of the target from another, in this tree; None when the target is not in it."""
    template = template_of(tree.find(canary, "Deployment", spec.target.name, APPS))
    return revision_of(template, _configs(tree, canary, spec)) if template is not None else None


def rollout(base: Tree, head: Tree, canary: Ref, spec: CanarySpec) -> Iterator[Effect]:
    """What a Canary of the new tree will do about its target."""
    before, after = version_of(base, canary, spec), version_of(head, canary, spec)
    new_here = canary not in base.objects
    if after is None:
        yield warning(
            f"Canary {canary.name} waits for its target: there is no Deployment {spec.target.name} in the new tree"
        )
    elif before is None:
        yield Effect(f"Canary {canary.name}: the first stable revision; canaries begin with the next one")
    elif before == after:
        yield Effect(f"Canary {canary.name}: no new revision, as the pod template does not change")
    elif new_here:
        yield warning(
            f"Canary {canary.name} is new too: this version may roll out as any Deployment does, and is then the first stable "
            "revision; to have it let in step by step, merge the Canary first"
        )
    else:
        yield Effect(f"a canary will start ({canary.name}): {in_words(spec)}")
        window = spec.rollback.window if spec.rollback is not None else None
        if window:
            yield Effect(
                f"unless this revision was stable among the last {window}: then it is let in without steps and gates"
            )


# -- the objects ------------------------------------------------------------------------------------------------------


def deployment_effects(base: Tree, head: Tree, ref: Ref) -> Iterator[Effect]:
    """What follows from a change of a Deployment for the Canaries that let its versions in."""
    canaries = [(at, spec) for at, spec in head.of(CanarySpec) if beside(at, ref) and spec.target.name == ref.name]
    for at, spec in canaries:
        yield from rollout(base, head, at, spec)
        if _states_paused(head.objects.get(ref)):
            yield warning(
                "spec.paused is stated in Git: sluice pauses and releases the target, and Git would set it back"
            )
    before, after = (template_of(tree.objects.get(ref)) for tree in (base, head))
    for at, spec in base.of(CanarySpec):
        if not beside(at, ref) or spec.target.name != ref.name or at in dict(canaries):
            continue
        if at not in head.objects and before != after and after is not None:
            yield warning(
                f"Canary {at.name} is removed as well: the new version rolls out at once, and nothing holds it back"
            )


def _states_paused(deployment: Manifest | None) -> bool:
    spec = deployment.get("spec") if deployment is not None else None
    return isinstance(spec, dict) and "paused" in spec


def config_effects(base: Tree, head: Tree, ref: Ref) -> Iterator[Effect]:
    """What follows from a change of a ConfigMap or a Secret that belongs to a version."""
    for at, spec in head.of(CanarySpec):
        if beside(at, ref) and any((row.kind, row.name) == (ref.kind, ref.name) for row in spec.configs):
            yield Effect(f"belongs to the version that Canary {at.name} lets in")
            yield from rollout(base, head, at, spec)


def canary_added(base: Tree, head: Tree, ref: Ref, spec: CanarySpec) -> Iterator[Effect]:
    """What a new Canary will do."""
    yield Effect(f"new versions of Deployment {spec.target.name} will be let in so: {in_words(spec)}")
    yield from beside_others(head, ref, spec)
    yield from rollout(base, head, ref, spec)


def canary_removed(head: Tree, ref: Ref, spec: CanarySpec | None) -> Iterator[Effect]:
    """What a Canary leaves behind."""
    yield warning("a rollout under way is undone, and what is known of stable and failed revisions is lost")
    if spec is not None and head.find(ref, "Deployment", spec.target.name, APPS) is not None:
        yield warning(f"new versions of Deployment {spec.target.name} roll out at once from then on")


def canary_renamed(before: str, after: str) -> Iterator[Effect]:
    """What is lost when a Canary gets another name."""
    yield warning(
        f"to the cluster these are two Canaries: {before} undoes a rollout under way and forgets stable and failed revisions; "
        f"{after} is refused until {before} is gone, and begins with what runs then"
    )


def canary_changed(head: Tree, ref: Ref, before: CanarySpec | None, after: CanarySpec | None) -> Iterator[Effect]:
    """What follows from an edit of a Canary."""
    if after is None:
        return
    yield from beside_others(head, ref, after)
    if before is None or before == after:
        return
    for problem in check_change(before.to_dict(), after):
        yield error(str(problem), ref, problem.field)
    if in_words(before) != in_words(after):
        yield Effect(f"new versions will be let in so: {in_words(after)}")
    if plan_hash(before) != plan_hash(after):
        yield warning("a rollout that is under way starts over: the strategy is another")
    else:
        yield Effect("holds from then on, also for a rollout that is under way")


def beside_others(head: Tree, ref: Ref, spec: CanarySpec) -> Iterator[Effect]:
    """What the cluster would refuse of a Canary because of the others of its namespace."""
    others = [(at.name, theirs) for at, theirs in head.of(CanarySpec) if beside(at, ref)]
    for problem in check_others(ref.name, spec, others):
        yield error(str(problem), ref, problem.field)
