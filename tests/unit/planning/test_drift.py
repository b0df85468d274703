"""Which differences between Git, what is applied and what runs are drift."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from sluice.api.canary_status import CanaryPhase as P
from sluice.api.canary_status import CanaryStatus, PausedBy
from sluice.planning.drift import (
    LAST_APPLIED,
    CanaryState,
    Drift,
    Ref,
    WorkloadView,
    application_view,
    changed_fields,
    drifts,
    workload_view,
)
from sluice.planning.verdicts import Outcome
from tests.builders import NOW
from tests.unit.planning.canary_world import World, canary_spec, commit_of

OLD, NEW = "a" * 40, "b" * 40
CANARY = Ref("shop", "Canary", "pricing")
TARGET = Ref("shop", "Deployment", "pricing")


def ago(**lengths: float) -> datetime:
    return NOW - timedelta(**lengths)


def text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


# -- Applications -----------------------------------------------------------------------------------------------------


def application(
    sync: str = "OutOfSync",
    head: str = NEW,
    applied: str | None = OLD,
    *,
    synced: datetime | None = None,
    **status: Any,
) -> dict[str, Any]:
    """One whose newest sync that succeeded was an hour ago, unless another time is said."""
    history = [{"revision": applied, "deployedAt": text(synced or ago(hours=1))}] if applied else []
    return {
        "metadata": {"namespace": "argocd", "name": "shop"},
        "spec": {"source": {"targetRevision": "main"}, "destination": {"namespace": "shop"}},
        "status": {"sync": {"status": sync, "revision": head}, "history": history, **status},
    }


def of(obj: dict[str, Any]) -> tuple[Drift, ...]:
    return drifts([application_view(obj)], [], {}, NOW)


def operation(phase: str, began: datetime, revision: str = NEW) -> dict[str, Any]:
    return {
        "operationState": {
            "phase": phase,
            "message": "one or more objects failed to apply",
            "startedAt": text(began),
            "operation": {"sync": {"revision": revision}},
        }
    }


def test_what_is_in_sync_is_no_drift_though_the_branch_has_gone_on() -> None:
    assert of(application("Synced")) == ()


def test_git_ahead_is_drift_after_ten_minutes() -> None:
    (row,) = of(application())
    assert (row.object.name, row.kind, row.since) == ("shop", "NotSynced", None)
    assert row.what == "main is at bbbbbbbb, aaaaaaaa is applied"
    assert of(application(synced=ago(seconds=600))) == (), "it was synced then, so it is not ahead for longer"
    assert len(of(application(synced=ago(seconds=601)))) == 1


@pytest.mark.parametrize(("began", "rows"), [(ago(seconds=600), 0), (ago(seconds=601), 1)])
@pytest.mark.parametrize("phase", ["Running", "Failed", "Error"])
def test_a_sync_of_the_newest_commit_that_does_not_succeed_tells_since_when(
    phase: str, began: datetime, rows: int
) -> None:
    found = of(application(**operation(phase, began)))
    assert len(found) == rows
    for row in found:
        assert row.since == began
        assert row.what.endswith("aaaaaaaa is applied: one or more objects failed to apply")


def test_a_failed_sync_of_an_earlier_commit_does_not_tell_since_when() -> None:
    (row,) = of(application(**operation("Failed", ago(minutes=5), "c" * 40)))
    assert row.since is None


def test_what_was_never_applied_is_drift() -> None:
    (row,) = of(application(applied=None))
    assert row.what == "main is at bbbbbbbb, nothing was applied yet"


def test_several_sources_are_compared_together() -> None:
    obj = application()
    obj["status"]["sync"] = {"status": "OutOfSync", "revisions": [OLD, NEW]}
    obj["status"]["history"][0] = {"revisions": [OLD, OLD], "deployedAt": text(ago(hours=1))}
    (row,) = of(obj)
    assert row.what == "main is at aaaaaaaa, bbbbbbbb, aaaaaaaa, aaaaaaaa is applied"


def test_a_difference_at_the_commit_that_is_applied_is_somebody_elses_and_names_the_objects() -> None:
    resources = [
        {"kind": "Deployment", "namespace": "shop", "name": "pricing", "status": "OutOfSync"},
        {"kind": "Service", "namespace": "shop", "name": "pricing", "status": "Synced"},
    ]
    (row,) = of(application(head=OLD, resources=resources))
    assert (row.object, row.kind) == (TARGET, "Unmanaged")
    assert row.what == "not as Git states it at aaaaaaaa, by Application shop"
    (row,) = of(application(head=OLD))
    assert row.object == Ref("argocd", "Application", "shop"), "nothing says which object it is"


def test_the_newest_of_the_history_counts_in_whatever_order() -> None:
    obj = application(head=NEW)
    obj["status"]["history"] += [
        {"revision": NEW, "deployedAt": text(ago(minutes=5))},
        {"revision": OLD, "deployedAt": text(ago(hours=5))},
    ]
    assert application_view(obj).applied == NEW


@pytest.mark.parametrize("status", [{}, {"sync": {"status": "Unknown"}}])
def test_of_what_argo_cd_does_not_know_nothing_is_said(status: dict[str, Any]) -> None:
    obj = application()
    obj["status"] = status
    assert of(obj) == ()
    assert application_view(obj).sync == "Unknown"


# -- canaries ---------------------------------------------------------------------------------------------------------


def workload(**fields: Any) -> WorkloadView:
    defaults: dict[str, Any] = {
        "ref": TARGET,
        "replicas": 3,
        "updated": 3,
        "paused": False,
        "progressed_at": ago(hours=2),
        "changed": (),
    }
    return WorkloadView(**(defaults | fields))


def canary_rows(status: CanaryStatus, target: WorkloadView | None, now: datetime = NOW) -> tuple[Drift, ...]:
    state = CanaryState(ref=CANARY, target="pricing", status=status)
    return drifts([], [state], {("shop", "pricing"): target} if target is not None else {}, now)


def test_a_canary_at_rest_and_one_that_is_under_way_are_no_drift() -> None:
    assert canary_rows(CanaryStatus(phase=P.STABLE), workload()) == ()
    assert canary_rows(CanaryStatus(phase=P.STEPPING, since=ago(days=2)), workload(updated=0, paused=True)) == ()


def test_what_was_rolled_back_is_drift_from_when_it_came_until_git_says_otherwise() -> None:
    world = World(canary_spec())
    world.run()
    world.metric = Outcome.FAIL
    world.git("v2")
    came = world.now
    world.run()
    (row,) = canary_rows(world.status, workload(updated=0, paused=True), world.now)
    assert (row.object, row.kind, row.since) == (CANARY, "RolledBack", came)
    wanted = f"revision v2 ({commit_of('v2').id[:8]}) is applied, v1 ({commit_of('v1').id[:8]}) runs: GateFailed: "
    assert row.what.startswith(wanted)
    world.git("v1")
    world.run()
    assert canary_rows(world.status, workload(), world.now) == ()


@pytest.mark.parametrize(
    ("status", "rows"),
    [
        (CanaryStatus(phase=P.APPROVING, since=ago(minutes=60)), 0),
        (CanaryStatus(phase=P.APPROVING, since=ago(minutes=61)), 1),
        (CanaryStatus(phase=P.HOLDING, since=ago(minutes=61)), 1),
        (CanaryStatus(phase=P.STEPPING, since=ago(minutes=61)), 0),
        (CanaryStatus(phase=P.STEPPING, no_evidence_since=ago(minutes=61)), 1),
        (CanaryStatus(phase=P.STEPPING, paused=PausedBy(by="asha", since=ago(minutes=61))), 1),
        (CanaryStatus(phase=P.STABLE, paused=PausedBy(by="asha", since=ago(minutes=61))), 0),
    ],
)
def test_what_waits_for_longer_than_an_hour_is_drift(status: CanaryStatus, rows: int) -> None:
    found = canary_rows(status.model_copy(update={"candidate_revision": "v2", "reason": "Paused"}), workload())
    assert [(row.kind, row.since) for row in found] == [("HeldTooLong", ago(minutes=61))] * rows
    if status.paused is not None and rows:
        assert found[0].what == "revision v2 is Stepping, paused by asha: Paused"


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"updated": 1}, "1 of 3 pods are of the template that is applied"),
        ({"updated": 0, "paused": True}, "0 of 3 pods are of the template that is applied, and it is paused"),
        ({"updated": 1, "progressed_at": ago(minutes=5)}, None),
        ({"updated": 3}, None),
        ({"updated": 0, "replicas": 0}, None),
    ],
)
def test_a_revision_that_was_let_in_runs_before_long(fields: dict[str, Any], what: str | None) -> None:
    found = canary_rows(CanaryStatus(phase=P.STABLE), workload(**fields))
    assert [(row.object, row.kind, row.what) for row in found] == ([(TARGET, "NotRunning", what)] if what else [])


def test_a_canary_without_its_target_is_told_of_after_a_while() -> None:
    (row,) = canary_rows(CanaryStatus(phase=P.WAITING, since=ago(hours=1)), None)
    assert (row.object, row.kind, row.what) == (CANARY, "NotRunning", 'there is no Deployment "pricing"')
    assert canary_rows(CanaryStatus(phase=P.WAITING, since=ago(minutes=1)), None) == ()


# -- what was applied last --------------------------------------------------------------------------------------------


def deployment(stated: dict[str, Any] | str | None, spec: dict[str, Any], **labels: str) -> dict[str, Any]:
    notes = {} if stated is None else {LAST_APPLIED: stated if isinstance(stated, str) else json.dumps(stated)}
    metadata = {"namespace": "shop", "name": "pricing", "annotations": notes, "labels": labels}
    return {"metadata": metadata, "spec": spec}


def containers(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"template": {"spec": {"containers": list(rows)}}}


AT = "spec.template.spec.containers"


@pytest.mark.parametrize(
    ("stated", "live", "changed"),
    [
        ({"replicas": 3}, {"replicas": 5}, ("spec.replicas",)),
        ({"replicas": 3}, {"replicas": 3, "paused": True, "progressDeadlineSeconds": 600}, ()),
        (containers({"name": "a", "image": "x:1"}), containers({"name": "a", "image": "x:2"}), (f"{AT}[a].image",)),
        (
            containers({"name": "a"}, {"name": "b"}),
            containers({"name": "b"}, {"name": "a", "imagePullPolicy": "Always"}),
            (),
        ),
        (containers({"name": "a"}), containers({"name": "a"}, {"name": "debug"}), (f"{AT}[debug]",)),
        (containers({"name": "a"}, {"name": "b"}), containers({"name": "a"}), (f"{AT}[b]",)),
        (
            containers({"name": "a", "env": [{"name": "KEY", "value": "s3cret"}]}),
            containers({"name": "a", "env": [{"name": "KEY", "value": "other"}]}),
            (f"{AT}[a].env[KEY].value",),
        ),
        (
            containers({"name": "a", "args": ["--x", "--y"]}),
            containers({"name": "a", "args": ["--x", "--z"]}),
            (f"{AT}[a].args[1]",),
        ),
        (containers({"name": "a", "args": ["--x"]}), containers({"name": "a", "args": []}), (f"{AT}[a].args",)),
        (
            containers({"name": "a", "resources": {"limits": {"cpu": "1000m", "memory": "1024Mi"}}}),
            containers({"name": "a", "resources": {"limits": {"cpu": 1, "memory": "1Gi"}}}),
            (),
        ),
        (
            containers({"name": "a", "resources": {"limits": {"cpu": "1"}}}),
            containers({"name": "a", "resources": {"limits": {"cpu": "1m"}}}),
            (f"{AT}[a].resources.limits.cpu",),
        ),
        (containers({"name": "a", "image": "1.0"}), containers({"name": "a", "image": "1"}), (f"{AT}[a].image",)),
        ({"strategy": {}, "selector": None}, {}, ()),
    ],
)
def test_fields_that_are_not_as_they_were_applied_last(
    stated: dict[str, Any], live: dict[str, Any], changed: tuple[str, ...]
) -> None:
    assert changed_fields(deployment({"spec": stated}, live)) == changed


def test_labels_are_compared_as_far_as_they_were_stated() -> None:
    stated = {"metadata": {"labels": {"app": "pricing", "team": "a"}}, "spec": {}}
    found = changed_fields(deployment(stated, {}, app="pricing", team="b", **{"sluice.dev/canary": "pricing"}))
    assert found == ("metadata.labels.team",)


@pytest.mark.parametrize("stated", [None, "no json", "[]"])
def test_where_nothing_tells_what_was_applied_nothing_is_compared(stated: str | None) -> None:
    assert changed_fields(deployment(stated, {"replicas": 5})) == ()


def test_a_target_that_somebody_edited_is_one_row_with_what_argo_cd_says_of_it() -> None:
    obj = deployment({"spec": {"replicas": 3, "minReadySeconds": 5}}, {"replicas": 3, "minReadySeconds": 0})
    obj["status"] = {"updatedReplicas": 3}
    target = workload_view(obj)
    (row,) = canary_rows(CanaryStatus(phase=P.STABLE), target)
    assert (row.object, row.kind) == (TARGET, "Unmanaged")
    assert row.what == "not as it was applied last: spec.minReadySeconds"
    resources = [{"kind": "Deployment", "namespace": "shop", "name": "pricing", "status": "OutOfSync"}]
    view = application_view(application(head=OLD, resources=resources))
    state = CanaryState(ref=CANARY, target="pricing", status=CanaryStatus(phase=P.STABLE))
    (row,) = drifts([view], [state], {("shop", "pricing"): target}, NOW)
    assert row.what == "not as Git states it at aaaaaaaa, by Application shop: spec.minReadySeconds"


def test_of_many_fields_the_first_are_named() -> None:
    stated = {"spec": {f"f{n}": 1 for n in range(8)}}
    target = workload_view(deployment(stated, {"replicas": 0}))
    (row,) = canary_rows(CanaryStatus(phase=P.STABLE), target)
    assert row.what.endswith("spec.f0, spec.f1, spec.f2, spec.f3, spec.f4 and 3 more")


def test_the_number_of_pods_counts_only_once_the_controller_has_seen_the_spec() -> None:
    obj = deployment(None, {"replicas": 3, "paused": True})
    obj["metadata"]["generation"] = 2
    obj["status"] = {
        "updatedReplicas": 3,
        "observedGeneration": 1,
        "conditions": [{"type": "Progressing", "lastUpdateTime": text(ago(hours=1))}],
    }
    view = workload_view(obj)
    assert (view.updated, view.paused, view.progressed_at) == (0, True, ago(hours=1))
    obj["status"]["observedGeneration"] = 2
    assert workload_view(obj).updated == 3
