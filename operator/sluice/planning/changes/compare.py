"""Compares two trees object by object, and gathers what follows from each difference."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from sluice.api.canary import CanarySpec
from sluice.api.gate import QualityGateSpec
from sluice.api.names import GROUP
from sluice.api.pipeline import DataPipelineSpec
from sluice.planning.changes.canaries import (
    APPS,
    canary_added,
    canary_changed,
    canary_removed,
    canary_renamed,
    config_effects,
    deployment_effects,
)
from sluice.planning.changes.fields import MAX_FIELDS, FieldChange, field_changes
from sluice.planning.changes.gates import gate_added, gate_changed, gate_removed, source_effects
from sluice.planning.changes.objects import Change, Effect, Manifest, Ref, Tree, What, error, stored_spec, warning
from sluice.planning.changes.pipelines import pipeline_added, pipeline_changed, pipeline_removed, pipeline_renamed
from sluice.planning.validation import check_run_change

_SHOWN_OF_SECRETS = ("type", "immutable", "metadata.namespace", "metadata.labels")
"""All else of a Secret is hidden: an annotation may repeat the whole of it."""


def compare(base: Tree, head: Tree, now: datetime) -> list[Change]:
    """What becomes of each object that is not the same in both trees, in the order of kinds and names."""
    base = _moved(base, head)
    renamed = dict(_renamed(base, head))
    gone = set(renamed.values())
    changes = []
    for ref in sorted(base.objects.keys() | head.objects.keys()):
        if ref in gone:
            continue
        old, new = base.objects.get(renamed.get(ref, ref)), head.objects.get(ref)
        change = _change(ref, old, new, renamed.get(ref))
        if change is not None:
            changes.append(replace(change, effects=tuple(dict.fromkeys(_effects(change, base, head, now)))))
    return changes


def _moved(base: Tree, head: Tree) -> Tree:
    """The old tree, with objects that only moved (from a plain file into a kustomization, say) where they are now."""
    arrived: dict[Ref, list[Ref]] = {}
    for ref in head.objects.keys() - base.objects.keys():
        arrived.setdefault(replace(ref, unit=""), []).append(ref)
    objects = {}
    for ref, manifest in base.objects.items():
        places = arrived.get(replace(ref, unit=""), []) if ref not in head.objects else []
        objects[places.pop() if len(places) == 1 else ref] = manifest
    return Tree(objects)


def _renamed(base: Tree, head: Tree) -> Iterator[tuple[Ref, Ref]]:
    """(now, before) of objects of ours that have the same spec under another name, or in another namespace."""
    gone = [ref for ref in base.objects if ref.ours and ref not in head.objects]
    taken: set[Ref] = set()
    for ref in sorted(head.objects.keys() - base.objects.keys()):
        if not ref.ours or not (spec := _canonical(head.objects[ref])):
            continue
        twins = [
            one for one in gone if one.kind == ref.kind and one not in taken and _canonical(base.objects[one]) == spec
        ]
        if len(twins) == 1:
            taken.add(twins[0])
            yield ref, twins[0]


def _canonical(manifest: Manifest) -> str:
    spec = manifest.get("spec")
    return json.dumps(spec, sort_keys=True, default=str) if spec else ""


def _change(ref: Ref, old: Manifest | None, new: Manifest | None, before: Ref | None) -> Change | None:
    if old is None:
        return Change(ref, What.ADDED)
    if new is None:
        return Change(ref, What.REMOVED)
    fields = list(_fields(ref, old, new))
    if before is not None:
        return Change(ref, What.RENAMED, before, tuple(fields[:MAX_FIELDS]), max(0, len(fields) - MAX_FIELDS))
    if not fields:
        return None
    return Change(ref, What.CHANGED, None, tuple(fields[:MAX_FIELDS]), max(0, len(fields) - MAX_FIELDS))


def _fields(ref: Ref, old: Manifest, new: Manifest) -> Iterator[FieldChange]:
    """The fields that differ. Of a Secret no value is shown."""
    secret = (ref.group, ref.kind) == ("", "Secret")
    for row in field_changes(dict(old), dict(new)):
        hidden = secret and not row.path.startswith(_SHOWN_OF_SECRETS)
        yield FieldChange(row.path, row.before and "(hidden)", row.after and "(hidden)") if hidden else row


def _effects(change: Change, base: Tree, head: Tree, now: datetime) -> Iterator[Effect]:
    ref = change.ref
    match ref.group, ref.kind:
        case group, "DataPipeline" if group == GROUP:
            yield from _pipeline(change, base, head, now)
        case group, "Canary" if group == GROUP:
            yield from _canary(change, base, head)
        case group, "QualityGate" if group == GROUP:
            yield from _gate(change, base, head)
        case group, "MetricSource" | "ClusterMetricSource" if group == GROUP:
            yield from source_effects(head, ref, removed=change.what is What.REMOVED)
            if change.before is not None:
                yield from source_effects(head, change.before, removed=True)
        case group, "PipelineRun" if group == GROUP:
            yield from _run(change, base, head)
        case group, "Deployment" if group == APPS:
            yield from deployment_effects(base, head, ref)
        case "", "ConfigMap" | "Secret":
            yield from config_effects(base, head, ref)


def _pipeline(change: Change, base: Tree, head: Tree, now: datetime) -> Iterator[Effect]:
    ref = change.ref
    before, after = base.spec(ref, DataPipelineSpec), head.spec(ref, DataPipelineSpec)
    match change.what:
        case What.ADDED if after is not None:
            yield from pipeline_added(after, now)
        case What.REMOVED:
            yield from pipeline_removed(before)
        case What.RENAMED if change.before is not None:
            yield from pipeline_renamed(change.before.name, ref.name, after, now)
        case What.CHANGED:
            yield from pipeline_changed(ref.name, base.objects[ref], head.objects[ref], before, after, now)


def _canary(change: Change, base: Tree, head: Tree) -> Iterator[Effect]:
    ref = change.ref
    before, after = base.spec(ref, CanarySpec), head.spec(ref, CanarySpec)
    match change.what:
        case What.ADDED if after is not None:
            yield from canary_added(base, head, ref, after)
        case What.REMOVED:
            yield from canary_removed(head, ref, before)
        case What.RENAMED if change.before is not None:
            yield from canary_renamed(change.before.name, ref.name)
        case What.CHANGED:
            yield from canary_changed(head, ref, before, after)


def _gate(change: Change, base: Tree, head: Tree) -> Iterator[Effect]:
    ref = change.ref
    match change.what:
        case What.ADDED:
            yield from gate_added(head, ref)
        case What.REMOVED:
            yield from gate_removed(head, ref)
        case What.RENAMED if change.before is not None:
            yield from gate_added(head, ref)
            yield from (effect for effect in gate_removed(head, change.before) if effect.at is not None)
        case What.CHANGED:
            before, after = base.spec(ref, QualityGateSpec), head.spec(ref, QualityGateSpec)
            yield from gate_changed(head, ref, before, after)


def _run(change: Change, base: Tree, head: Tree) -> Iterator[Effect]:
    ref = change.ref
    match change.what:
        case What.ADDED:
            yield Effect("a run starts")
        case What.REMOVED | What.RENAMED:
            yield warning("the run goes, with its pods and logs; if it is under way, it ends")
        case What.CHANGED:
            specs: list[dict[str, Any]] = [stored_spec(tree.objects[ref]) for tree in (base, head)]
            for problem in check_run_change(*specs):
                yield error(str(problem), ref, problem.field)
            if specs[1].get("cancel") and not specs[0].get("cancel"):
                yield Effect("the run is cancelled; its finally steps run")
