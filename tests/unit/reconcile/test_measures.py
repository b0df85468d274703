"""What the metrics are told of a canary, read off its status before and after a write."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from sluice.api.canary_status import CanaryPhase as P
from sluice.api.canary_status import CanaryStatus, RolloutRecord
from sluice.api.pipeline import DataPipelineStatus, Delivery
from sluice.planning.canary_scene import CanaryView
from sluice.reconcile.measures import forget_canary, forget_pipeline, record_canary, record_pipeline
from sluice.telemetry.metrics import REGISTRY
from tests.builders import NAMESPACE, NOW, after, pipeline_view

PLACE = {"namespace": NAMESPACE, "canary": "measured"}


def view(*rollouts: RolloutRecord, phase: P = P.STABLE, uid: str = "u-1", **fields: object) -> CanaryView:
    status = CanaryStatus(phase=phase).model_copy(update={"rollouts": rollouts, **fields})
    return CanaryView(
        namespace=NAMESPACE,
        name="measured",
        uid=uid,
        generation=1,
        deleting=False,
        spec=None,
        problem="",
        status=status,
    )


def promoted(revision: str, hours: float, **fields: object) -> RolloutRecord:
    return RolloutRecord.model_validate(
        {"round": 1, "revision": revision, "outcome": "Promoted", "reason": "Promoted", "endedAt": after(hours=hours)}
    ).model_copy(update=fields)


def rolled_back(seconds: float) -> RolloutRecord:
    times = {"failed_at": NOW, "restored_at": NOW + timedelta(seconds=seconds), "requests_at": NOW}
    return promoted("v9", 1, outcome="RolledBack", round=9, **times)


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, {**PLACE, **labels})


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    forget_canary(NAMESPACE, "measured")
    for metric in REGISTRY.collect():
        for sample in metric.samples:
            assert sample.labels.get("canary") != "measured", f"{sample.name} is left behind"


def test_each_rollout_is_counted_once_by_its_outcome() -> None:
    first, second = promoted("v2", 1), rolled_back(3)
    record_canary(view(), view(first))
    record_canary(view(first), view(first, second))
    record_canary(view(first, second), view(first, second))
    assert value("sluice_delivery_rollouts_total", outcome="Promoted") == 1
    assert value("sluice_delivery_rollouts_total", outcome="RolledBack") == 1
    assert value("sluice_delivery_restore_seconds_sum", outcome="RolledBack") == 3


def test_what_is_read_at_the_start_or_of_another_object_of_this_name_is_not_counted_again() -> None:
    record_canary(None, view(promoted("v2", 1)))
    record_canary(view(uid="u-0"), view(promoted("v2", 1)))
    assert value("sluice_delivery_rollouts_total", outcome="Promoted") == 0, (
        "the series begins, so that the next counts"
    )
    assert value("sluice_delivery_lead_time_seconds_count") == 0
    assert value("sluice_delivery_taken_back_total") == 0


def test_a_lead_time_is_counted_when_its_commit_becomes_known_and_once() -> None:
    without = promoted("v2", 2)
    known = without.model_copy(update={"commit": "a" * 40, "commit_time": NOW})
    record_canary(view(), view(without))
    assert value("sluice_delivery_lead_time_seconds_count") is None
    record_canary(view(without), view(known))
    record_canary(view(known), view(known, rolled_back(1)))
    assert value("sluice_delivery_lead_time_seconds_count") == 1
    assert value("sluice_delivery_lead_time_seconds_sum") == 7200
    assert value("sluice_delivery_rollouts_total", outcome="Promoted") == 1


def test_times_of_a_clock_that_ran_backwards_are_not_counted() -> None:
    record_canary(view(), view(promoted("v2", 1, commit_time=after(hours=2)), rolled_back(-1)))
    assert value("sluice_delivery_lead_time_seconds_count") is None
    assert value("sluice_delivery_restore_seconds_count", outcome="RolledBack") is None
    assert value("sluice_delivery_rollouts_total", outcome="RolledBack") == 1


def test_what_is_taken_back_is_counted_with_the_return_that_does_it() -> None:
    bad, back = promoted("v2", 1), promoted("v1", 3, again=True, round=2)
    record_canary(view(bad), view(bad, back))
    record_canary(view(bad, back), view(bad, back, rolled_back(1)))
    assert value("sluice_delivery_taken_back_total") == 1
    assert value("sluice_delivery_restore_seconds_sum", outcome="TakenBack") == 7200


def test_since_when_the_applied_revision_does_not_run_is_told_until_it_does() -> None:
    resting, failed = view(), view(phase=P.FAILED, started_at=NOW)
    record_canary(None, resting)
    assert value("sluice_canary_unserved_timestamp_seconds") is None
    record_canary(resting, failed)
    assert value("sluice_canary_unserved_timestamp_seconds") == NOW.timestamp()
    record_canary(failed, resting)
    assert value("sluice_canary_unserved_timestamp_seconds") is None


def test_deliveries_of_pipelines_are_counted_once_and_their_lead_time_when_the_commit_is_known() -> None:
    row = Delivery(revision="flights-1", run="run-1", delivered_at=after(hours=1))
    known = row.model_copy(update={"commit": "a" * 40, "commit_time": NOW})
    views = [
        replace(pipeline_view(status=DataPipelineStatus(deliveries=rows)), name="measured")
        for rows in ((), (row,), (known,), (known,))
    ]
    place = {"namespace": views[0].namespace, "pipeline": views[0].name}
    try:
        record_pipeline(None, views[0])
        assert REGISTRY.get_sample_value("sluice_delivery_pipelines_total", place) == 0
        for old, new in itertools.pairwise(views):
            record_pipeline(old, new)
        assert REGISTRY.get_sample_value("sluice_delivery_pipelines_total", place) == 1
        assert REGISTRY.get_sample_value("sluice_delivery_pipeline_lead_time_seconds_count", place) == 1
        assert REGISTRY.get_sample_value("sluice_delivery_pipeline_lead_time_seconds_sum", place) == 3600
    finally:
        forget_pipeline(namespace=place["namespace"], name=place["pipeline"])
    assert REGISTRY.get_sample_value("sluice_delivery_pipelines_total", place) is None
