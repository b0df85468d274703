"""The health that Argo CD shows, by its own Lua engine: of every state, of half-written ones, of those that the planner writes."""

import copy
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from sluice.api.canary_status import CanaryPhase, CanaryStatus
from sluice.api.crd import KINDS
from sluice.api.run import RunPhase
from sluice.planning.canary_scene import CanaryScene
from sluice.planning.validation import check_manifest
from sluice.planning.verdicts import Outcome
from tests.unit.argocd.engine import CASES, Engine, Object
from tests.unit.planning.canary_world import World, canary_spec

EVERY = [case for kind in CASES.KINDS for case in CASES.cases(kind)]
HEALTHS = {"Healthy", "Progressing", "Suspended", "Degraded"}


@pytest.mark.parametrize("case", EVERY, ids=lambda case: f"{case.kind}-{case.name}")
def test_each_state_has_its_health_and_says_why(engine: Engine, case: Any) -> None:
    assert engine.health(case.object) == (case.health, case.message)


def test_every_kind_has_a_health_script() -> None:
    assert set(CASES.KINDS) == {kind.name for kind in KINDS}


def test_every_phase_is_among_the_states() -> None:
    for kind, phases in (("Canary", CanaryPhase), ("PipelineRun", RunPhase)):
        stated = {case.object.get("status", {}).get("phase") for case in CASES.cases(kind)}
        assert set(phases) <= stated


@pytest.mark.parametrize("kind", CASES.KINDS)
def test_the_states_are_those_of_objects_that_the_api_server_takes(kind: str) -> None:
    for case in CASES.cases(kind):
        item = copy.deepcopy(case.object)
        del item["metadata"]["generation"], item["metadata"]["uid"]
        assert check_manifest(item) == [], case.name


def test_no_two_states_of_a_kind_have_the_same_file() -> None:
    for kind in CASES.KINDS:
        names = [case.name for case in CASES.cases(kind)]
        assert len(set(names)) == len(names)


def test_the_health_of_pipelines_is_told_for_all_words_of_the_status() -> None:
    stated = {case.object.get("status", {}).get("health") for case in CASES.cases("DataPipeline")}
    assert {"Healthy", "Failing", "Suspended", "Invalid"} <= stated


def _without_one(item: Object) -> Iterator[Object]:
    """The object without each of its parts in turn, at any depth."""

    def paths(part: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        rows = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
        for key, child in rows:
            yield (*path, key)
            yield from paths(child, (*path, key))

    for path in paths(item, ()):
        if path[0] in ("apiVersion", "kind"):
            continue
        shorter = copy.deepcopy(item)
        part: Any = shorter
        for key in path[:-1]:
            part = part[key]
        del part[path[-1]]
        yield shorter


@pytest.mark.parametrize("kind", CASES.KINDS)
def test_no_missing_field_breaks_a_script(engine: Engine, kind: str) -> None:
    questions = [{"object": shorter} for case in CASES.cases(kind) for shorter in _without_one(case.object)]
    assert len(questions) > 50
    for question, answer in zip(questions, engine.ask(questions), strict=True):
        assert answer.get("health", {}).get("status") in HEALTHS, (question, answer)


@pytest.mark.parametrize("kind", CASES.KINDS)
def test_nothing_is_healthy_that_was_not_looked_at(engine: Engine, kind: str) -> None:
    questions = []
    for case in CASES.cases(kind):
        later = copy.deepcopy(case.object)
        later["metadata"]["generation"] += 1
        questions.append({"object": later})
    assert {answer["health"]["status"] for answer in engine.ask(questions)} == {"Progressing"}


def test_a_phase_of_a_newer_operator_is_no_failure(engine: Engine) -> None:
    unknown = CASES.canary(CanaryPhase.STEPPING, "mirrors requests")
    unknown["status"]["phase"] = "Mirroring"
    assert engine.health(unknown) == ("Progressing", "mirrors requests")


@pytest.mark.parametrize("phase", ["Holding", "Stepping", "Approving"])
def test_a_canary_that_cannot_go_on_is_degraded_paused_or_not(engine: Engine, phase: str) -> None:
    for paused in (False, True):
        item = CASES.canary(CanaryPhase(phase), "the route is gone", paused=paused, stalled=True)
        assert engine.health(item) == ("Degraded", "the route is gone")


# -- rollouts as the planner writes them ------------------------------------------------------------------------------


class Told(World):
    """A world that keeps every status that is written."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(canary_spec(**fields))
        self.told: list[CanaryStatus] = []

    def _write_status(self, scene: CanaryScene, written: CanaryStatus) -> None:
        super()._write_status(scene, written)
        self.told.append(written)

    def healths(self, engine: Engine) -> list[str]:
        """What Argo CD shows one after the other, what it shows twice in a row once."""
        items = [CASES.made("Canary", status) for status in self.told]
        for item in items:
            item["metadata"]["generation"] = 1  # as that of the world's Canary, which nobody edits
        shown = [answer["health"]["status"] for answer in engine.ask({"object": item} for item in items)]
        return [health for health, _ in itertools.groupby(shown)]


def test_a_good_version_is_progressing_until_it_is_healthy(engine: Engine) -> None:
    world = Told()
    world.run()
    world.git("v2")
    world.run()
    assert world.status.reason == "Promoted"
    assert world.healths(engine) == ["Healthy", "Progressing", "Healthy"]


def test_a_bad_version_is_degraded_from_the_decision_until_another_is_committed(engine: Engine) -> None:
    world = Told()
    world.run()
    world.git("v2")
    world.run(until=CanaryPhase.STEPPING)
    world.metric = Outcome.FAIL
    world.run()
    assert world.status.phase is CanaryPhase.FAILED
    world.metric = Outcome.PASS
    world.git("v3")
    world.run()
    assert world.healths(engine) == ["Healthy", "Progressing", "Degraded", "Progressing", "Healthy"]


def test_a_version_that_waits_for_approval_is_suspended(engine: Engine) -> None:
    world = Told(approval={"promotion": "Manual"})
    world.run()
    world.git("v2")
    world.run()
    assert world.status.phase is CanaryPhase.APPROVING
    world.ask("promote", "1")
    world.run()
    assert world.healths(engine) == ["Healthy", "Progressing", "Suspended", "Progressing", "Healthy"]


def test_a_paused_version_is_suspended_and_an_aborted_one_degraded(engine: Engine) -> None:
    world = Told()
    world.run()
    world.git("v2")
    world.run(until=CanaryPhase.STEPPING)
    world.ask("pause", "1")
    world.settle()
    world.ask("abort", "2")
    world.run()
    assert world.healths(engine) == ["Healthy", "Progressing", "Suspended", "Degraded"]
