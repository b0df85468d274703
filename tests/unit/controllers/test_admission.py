"""Reviews: what is refused at the door, with an API server that has, has not, or cannot say."""

from collections.abc import AsyncIterator
from typing import Any

import kopf
import pytest
from kubernetes.aio.client import Configuration

from sluice.controllers.admission import review_object, review_run
from sluice.kube.client import KubeClient
from sluice.kube.clock import ManualClock
from sluice.kube.connection import Connection
from sluice.kube.resources import CONTROLLER_REVISIONS, DATA_PIPELINES, PIPELINE_RUNS
from sluice.reconcile.caches import Caches
from tests.builders import manifest, step_dict
from tests.unit.reconcile.small_api import SmallApi, refusal


class Door:
    """The reviews of runs, with what the operator has in its cache and what the API server has."""

    def __init__(self, api: SmallApi, client: KubeClient) -> None:
        self.api = api
        self.pipelines = Caches.empty().pipelines
        self._client = client

    def pipeline(self, *, cached: bool, **spec: Any) -> None:
        """There is a pipeline `flights`."""
        stored = self.api.put(DATA_PIPELINES, manifest("DataPipeline", {"steps": [step_dict("extract")], **spec}))
        if cached:
            self.pipelines.upsert(stored)

    async def refusal(self, spec: dict[str, Any], old: dict[str, Any] | None = None) -> tuple[int | None, str]:
        """Code and words of the refusal of a run; (None, "") when it is let in."""
        try:
            await review_run(self._client, self.pipelines, run(spec), run(old) if old is not None else None)
        except kopf.AdmissionError as error:
            return error.code, str(error)
        return None, ""


def run(spec: dict[str, Any]) -> dict[str, Any]:
    made = manifest("PipelineRun", {"pipeline": {"name": "flights"}, **spec}, name="flights-1")
    made["metadata"]["namespace"] = "data"
    return made


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with SmallApi(ManualClock()) as api, KubeClient(Connection(Configuration(host=api.url))) as client:
        yield Door(api, client)


PARAM = {"params": [{"name": "carrier", "type": "string", "enum": ["AA", "UA"]}]}


@pytest.mark.parametrize("cached", [True, False])
async def test_a_run_that_fits_its_pipeline_is_let_in(door: Door, cached: bool) -> None:
    door.pipeline(cached=cached, **PARAM)
    assert await door.refusal({"params": {"carrier": "AA"}}) == (None, "")
    assert bool(door.api.received) is not cached, "what the cache knows is not asked for"


@pytest.mark.parametrize("cached", [True, False])
async def test_a_run_with_a_wrong_parameter_is_refused_with_the_field_and_the_value(door: Door, cached: bool) -> None:
    door.pipeline(cached=cached, **PARAM)
    code, words = await door.refusal({"params": {"carrier": "XX"}})
    assert code == 422
    assert "spec.params" in words
    assert "XX" in words


async def test_a_run_is_judged_by_the_newest_pipeline_when_the_cache_would_refuse_it(door: Door) -> None:
    door.pipeline(cached=True)
    door.pipeline(cached=False, **PARAM)
    assert await door.refusal({"params": {"carrier": "AA"}}) == (None, "")


async def test_a_run_of_no_pipeline_is_refused(door: Door) -> None:
    code, words = await door.refusal({})
    assert code == 422
    assert 'spec.pipeline.name: Not found: "flights": no such DataPipeline in namespace data' in words


async def test_a_run_is_not_let_in_unseen_while_the_api_server_cannot_say(door: Door) -> None:
    door.api.before = lambda _method, _path: refusal(500, "InternalError")
    code, words = await door.refusal({})
    assert code == 503
    assert "cannot be read" in words


@pytest.mark.parametrize("spec", [{"params": []}, {"pipeline": {}}, {"revisionn": "x"}])
async def test_a_run_of_the_wrong_shape_is_refused_without_asking(door: Door, spec: dict[str, Any]) -> None:
    code, _ = await door.refusal(spec)
    assert code == 422
    assert door.api.received == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ({}, {"cancel": True}, ""),
        ({"cancel": True}, {"cancel": True}, ""),
        ({"cancel": True}, {}, "spec.cancel"),
        ({}, {"params": {"carrier": "AA"}}, "spec.params"),
        ({"revision": "a"}, {"revision": "b"}, "spec.revision"),
    ],
)
async def test_of_a_run_only_cancel_can_be_changed(door: Door, old: Any, new: Any, words: str) -> None:
    code, said = await door.refusal(new, old)
    assert (code == 422) == bool(words)
    assert words in said


def failed_run(door: Door, *, revision: bool = True, **status: Any) -> None:
    """There is a run `flights-0` that failed."""
    door.pipeline(cached=True, params=[{"name": "carrier", "type": "string"}])
    old = manifest("PipelineRun", {"pipeline": {"name": "flights"}}, name="flights-0")
    state = {
        "phase": "Failed",
        "startedAt": "2026-03-02T05:00:00Z",
        "revision": "flights-1",
        "params": {"carrier": "AA"},
    }
    door.api.put(PIPELINE_RUNS, {**old, "status": state | status})
    if revision:
        row = {"metadata": {"name": "flights-1"}, "revision": 1, "data": {"spec": {"steps": [step_dict("extract")]}}}
        door.api.put(CONTROLLER_REVISIONS, row)


@pytest.mark.parametrize("spec", [{}, {"params": {"carrier": "AA"}}, {"revision": "flights-1"}])
async def test_a_rerun_needs_no_params_and_may_state_what_the_old_run_had(door: Door, spec: dict[str, Any]) -> None:
    failed_run(door)
    assert await door.refusal({"rerun": {"of": "flights-0", "from": ["extract"]}, **spec}) == (None, "")


@pytest.mark.parametrize(
    ("state", "revision", "spec", "words"),
    [
        ({}, True, {"rerun": {"of": "nobody"}}, 'spec.rerun.of: Not found: "nobody": no such PipelineRun'),
        ({"phase": "Running"}, True, {}, "only a run that has ended can be run again"),
        ({"phase": "Succeeded"}, True, {}, "there is nothing to run again"),
        ({"startedAt": None}, True, {}, "never started"),
        ({}, False, {}, 'its revision "flights-1" is gone; make another run instead'),
        ({}, True, {"rerun": {"of": "flights-0", "from": ["load"]}}, "spec.rerun.from[0]: Not found"),
        ({}, True, {"params": {"carrier": "UA"}}, "spec.params.carrier: Invalid value"),
        ({}, True, {"rerun": {}}, "spec.rerun.of: Required value"),
        ({}, True, {"rerun": {"of": "f" * 64}}, "spec.rerun.of: Too long"),
    ],
)
async def test_a_rerun_of_what_cannot_be_run_again_is_refused(
    door: Door, state: dict[str, Any], revision: bool, spec: dict[str, Any], words: str
) -> None:
    failed_run(door, revision=revision, **state)
    code, said = await door.refusal({"rerun": {"of": "flights-0"}, **spec})
    assert code == 422
    assert words in said


async def test_a_rerun_is_not_let_in_unseen_while_the_api_server_cannot_say(door: Door) -> None:
    failed_run(door)
    door.api.before = lambda _method, _path: refusal(500, "InternalError")
    code, words = await door.refusal({"rerun": {"of": "flights-0"}})
    assert code == 503
    assert "cannot be read" in words


def test_a_pipeline_with_a_cycle_is_refused_unless_it_is_going() -> None:
    steps = [step_dict("a", "b"), step_dict("b", "a")]
    bad = manifest("DataPipeline", {"steps": steps})
    with pytest.raises(kopf.AdmissionError, match="makes a cycle") as caught:
        review_object(bad)
    assert caught.value.code == 422
    bad["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    review_object(bad)
    review_object(manifest("DataPipeline", {"steps": [step_dict("a")]}))


GATE = {"checks": [{"name": "rows", "data": {"source": "flights", "rowCount": {"min": 1}}}]}
EXEMPTION = {"check": "row", "reason": "known", "approver": "a@example.com", "expires": "2026-12-31T00:00:00Z"}
PROMETHEUS = {"prometheus": {"address": "http://prometheus.monitoring:9090"}}


@pytest.mark.parametrize(
    ("kind", "good", "change", "words"),
    [
        ("QualityGate", GATE, {"exemptions": [EXEMPTION]}, "spec.exemptions[0].check"),
        ("QualityGate", GATE, {"checks": [{"name": "rows", "data": {"source": "flights"}}]}, "exactly one assertion"),
        ("QualityGate", GATE, {"score": {"pass": 80, "warn": 90}}, "spec.score.warn"),
        ("MetricSource", PROMETHEUS, {"graphite": {"address": "http://graphite"}}, "exactly one of prometheus"),
        ("MetricSource", PROMETHEUS, {"prometheus": {"address": "prometheus:9090"}}, "spec.prometheus.address"),
        ("ClusterMetricSource", PROMETHEUS, {"timeout": "ten seconds"}, "spec.timeout"),
    ],
)
def test_a_gate_or_source_that_cannot_work_is_refused_unless_it_is_going(
    kind: str, good: dict[str, Any], change: dict[str, Any], words: str
) -> None:
    review_object(manifest(kind, good))
    bad = manifest(kind, {**good, **change})
    with pytest.raises(kopf.AdmissionError) as caught:
        review_object(bad)
    assert caught.value.code == 422
    assert words in str(caught.value)
    bad["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    review_object(bad)
