"""When a promotion is brought to the next environment: after the soak, on record first, for what is stable, and once."""

from datetime import timedelta
from typing import Any

import pytest

from sluice.api.canary_status import CanaryPhase as P
from sluice.planning.canary_checks import check_canary
from sluice.planning.canary_history import MAX_ROLLOUTS
from sluice.planning.git_work import ATTEMPTS
from sluice.planning.kustomize import Image
from sluice.planning.verdicts import Outcome
from tests.unit.planning.canary_world import World, canary_spec, commit_of

ON = {"path": "overlays/staging", "soak": "1h"}


def promoted(on: dict[str, Any] | None = None, **rule: Any) -> World:
    """A canary whose second version has just been promoted."""
    world = World(canary_spec(writeBack={"branch": "main", "onPromotion": {**ON, **(on or {})}, **rule}))
    world.run()
    world.git("v2")
    for _ in world.ticks(300):
        world.look()
        if world.status.phase is P.STABLE and world.status.stable_revision == "v2":
            return world
    raise AssertionError(f"not promoted: {world.status}")


def state_of(world: World) -> str | None:
    return world.status.forward.state if world.status.forward is not None else None


def test_after_the_soak_the_version_is_brought_on() -> None:
    world = promoted()
    assert (state_of(world), world.put_forward) == ("Soaking", [])
    assert world.wake_at is not None
    record = world.status.forward
    assert record is not None
    assert record.due == world.status.rollouts[-1].ended_at + timedelta(hours=1)
    world.now = record.due
    world.settle()
    assert state_of(world) == "Pushed"
    (action,) = world.put_forward
    assert (action.repository, action.branch, action.aside) == ("https://git.example/apps", "main", False)
    wanted = action.wanted
    assert (wanted.revision, wanted.commit, wanted.path) == ("v2", commit_of("v2").id, "overlays/staging")
    assert wanted.images == (Image("registry.example/pricing", "v2"), Image("registry.example/proxy", "1"))
    assert not wanted.named
    assert "Normal Forwarded" in world.events
    world.settle()
    assert len(world.put_forward) == 1


def test_a_full_list_of_rollouts_is_no_obstacle() -> None:
    world = promoted()
    world.status = world.status.model_copy(update={"rollouts": world.status.rollouts * MAX_ROLLOUTS})
    world.git("v3")
    world.run()
    assert len(world.status.rollouts) == MAX_ROLLOUTS
    world.advance(hours=2)
    world.settle()
    assert [action.wanted.revision for action in world.put_forward] == ["v3"]


def test_what_the_spec_says_is_done() -> None:
    on = {"soak": None, "branch": "live", "mode": "Branch", "images": ["registry.example/pricing"]}
    world = promoted(on, repository="https://git.example/other", secret={"name": "bot"})
    world.settle()
    (action,) = world.put_forward
    assert (action.repository, action.branch, action.aside) == ("https://git.example/other", "live", True)
    assert (action.secret, action.wanted.named) == ("bot", True)
    assert action.wanted.images == (Image("registry.example/pricing", "v2"),)


def test_a_version_that_comes_before_the_soak_ends_is_brought_on_in_its_place() -> None:
    world = promoted()
    world.git("v3")
    world.run()
    assert (world.status.stable_revision, state_of(world), world.put_forward) == ("v3", "Soaking", [])
    world.advance(hours=2)
    world.settle()
    assert state_of(world) == "Pushed"
    assert [action.wanted.revision for action in world.put_forward] == ["v3"]


def test_a_pause_holds_it_back() -> None:
    world = promoted()
    world.ask("pause", "1")
    world.settle()
    world.advance(hours=3)
    world.settle()
    assert (state_of(world), world.put_forward) == ("Soaking", [])
    world.ask("resume", "2")
    world.settle()
    assert state_of(world) == "Pushed"


def test_nothing_is_brought_on_that_was_not_promoted_or_was_there_before() -> None:
    world = World(canary_spec(writeBack={"branch": "main", "onPromotion": {"path": "overlays/staging"}}))
    world.run()
    assert world.status.forward is None, "what is found is no promotion"
    world.git("v2")
    world.run(until=P.STEPPING)
    world.metric = Outcome.FAIL
    world.run()
    assert (world.status.phase, world.status.forward) == (P.FAILED, None)
    world.metric = Outcome.PASS
    world.git("v1")
    world.run()
    assert (world.status.phase, world.status.forward) == (P.STABLE, None)


@pytest.mark.parametrize("cut", range(4))
def test_a_crash_at_any_write_brings_it_on_once(cut: int) -> None:
    world = promoted()
    world.advance(hours=2)
    world.look(cut)
    world.crash()
    world.settle()
    assert state_of(world) == "Pushed"
    assert len({(row.round, row.attempt) for row in world.put_forward}) == 1, "what is done again is the same"


def test_a_repository_that_is_away_is_tried_again_and_then_left_to_a_person() -> None:
    world = promoted()
    world.write_answer = "Again"
    world.advance(hours=2)
    for _ in range(3 * ATTEMPTS):
        world.look()
    assert state_of(world) == "Failed"
    assert [action.attempt for action in world.put_forward] == list(range(1, ATTEMPTS + 1))
    assert world.events.count("Warning ForwardFailed") == 2


@pytest.mark.parametrize(
    ("path", "fine"),
    [("overlays/staging", True), ("overlays/dev", False), ("overlays/dev/", False), ("overlays", False)],
)
def test_a_promotion_does_not_lead_to_where_it_comes_from(path: str, fine: bool) -> None:
    spec = canary_spec(writeBack={"branch": "main", "path": "overlays/dev", "onPromotion": {"path": path}})
    errors = [str(error) for error in check_canary(spec)]
    assert (errors == []) is fine
    assert fine or errors[0].startswith("spec.writeBack.onPromotion.path: Invalid value")
