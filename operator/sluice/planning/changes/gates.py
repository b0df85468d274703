"""What follows from a change of a QualityGate or of a metric source: whom it concerns."""

from collections.abc import Iterator

from sluice.api.canary import CanarySpec
from sluice.api.canary import GateUse as CanaryGateUse
from sluice.api.gate import QualityGateSpec
from sluice.api.pipeline import DataPipelineSpec
from sluice.planning.changes.objects import Effect, Ref, Tree, beside, error, listed, warning


def users_of_gate(tree: Tree, gate: Ref) -> Iterator[tuple[Ref, str]]:
    """(object, path of the field) of everything that names a gate."""
    for ref, pipeline in tree.of(DataPipelineSpec):
        if not beside(ref, gate):
            continue
        for place, steps in (("spec.steps", pipeline.steps), ("spec.finally", pipeline.finally_)):
            for index, step in enumerate(steps):
                if step.gate is not None and step.gate.name == gate.name:
                    yield ref, f"{place}[{index}].gate.name"
    for ref, canary in tree.of(CanarySpec):
        if beside(ref, gate):
            yield from ((ref, path) for path, use in _uses(canary) if use.name == gate.name)


def _uses(spec: CanarySpec) -> Iterator[tuple[str, CanaryGateUse]]:
    lists = [("spec.gates", spec.gates)]
    if spec.canary is not None:
        lists += [
            (f"spec.canary.steps[{index}].gates", step.gates or []) for index, step in enumerate(spec.canary.steps)
        ]
    if spec.blue_green is not None:
        lists.append(("spec.blueGreen.checks", spec.blue_green.checks))
    for at, uses in lists:
        yield from ((f"{at}[{index}].name", use) for index, use in enumerate(uses))


def _judged(tree: Tree, gate: Ref) -> str:
    return listed(str(ref) for ref, _ in users_of_gate(tree, gate))


def gate_added(head: Tree, ref: Ref) -> Iterator[Effect]:
    """Whom a new gate judges."""
    judged = _judged(head, ref)
    yield Effect("nothing names it yet" if judged == "none" else f"judges {judged}")


def gate_changed(
    head: Tree, ref: Ref, before: QualityGateSpec | None, after: QualityGateSpec | None
) -> Iterator[Effect]:
    """Whom a gate judges by its new rules, and which of its checks they are."""
    judged = _judged(head, ref)
    if judged == "none":
        yield Effect("nothing in the new tree names it")
    else:
        yield Effect(f"judges {judged}; runs and rollouts under way are judged anew by it from then on")
    if before is None or after is None:
        return
    old, new = ({check.name: check for check in spec.checks} for spec in (before, after))
    for word, names in (
        ("added", [name for name in new if name not in old]),
        ("removed", [name for name in old if name not in new]),
        ("changed", [name for name in new if name in old and old[name] != new[name]]),
    ):
        if names:
            message = f"check{'s' if len(names) > 1 else ''} {word}: {listed(names)}"
            yield warning(message) if word == "removed" else Effect(message)


def gate_removed(head: Tree, ref: Ref) -> Iterator[Effect]:
    """Who still names a gate that goes: a step would wait for it in vain, and a canary would find no evidence."""
    named = list(users_of_gate(head, ref))
    for user, path in named:
        yield error(
            f'{path}: Not found: "{ref.name}": QualityGate {ref.name} is removed, and {user} names it', user, path
        )
    if not named:
        yield Effect("nothing in the new tree names it")


def source_effects(head: Tree, ref: Ref, *, removed: bool) -> Iterator[Effect]:
    """Which gates ask a metric source."""
    asking = [
        str(at)
        for at, spec in head.of(QualityGateSpec)
        if (ref.kind == "ClusterMetricSource" or beside(at, ref))
        and any(check.metric is not None and check.metric.source == ref.name for check in spec.checks)
    ]
    if asking and removed:
        yield warning(
            f"{listed(asking)} asks it: without another of that name it finds no evidence, and holds or fails"
        )
    elif asking:
        yield Effect(f"is asked by {listed(asking)}")
