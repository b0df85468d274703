"""The ways of a canary: let in, taken out, begun anew, given back; and a crash between any two writes of them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from sluice.api.canary_status import CanaryPhase as P
from sluice.planning.canary import plan_canary
from sluice.planning.canary_scene import Dependency
from sluice.planning.canary_states import STATES
from sluice.planning.canary_transitions import TABLE, diagram
from sluice.planning.verdicts import Outcome
from tests.unit.planning.canary_world import World, canary_spec, gate_view

BLUE_GREEN: dict[str, Any] = {
    "canary": None,
    "blueGreen": {
        "preview": {"name": "preview"},
        "checks": [{"name": "slo"}],
        "watch": "1m",
        "keepOld": "5m",
    },
}
HOOKS: dict[str, Any] = {
    "hooks": [
        {"name": f"h{number}", "at": at, "http": {"url": "http://hooks/x"}}
        for number, at in enumerate(("BeforeRollout", "BeforeStep", "BeforePromotion", "AfterPromotion", "OnRollback"))
    ]
}
REPLICAS: dict[str, Any] = {"routing": {"replicas": {}}}


def started(**fields: Any) -> World:
    world = World(canary_spec(**fields))
    world.run()
    assert world.status.phase is P.STABLE
    return world


def go_to(world: World, phase: P) -> None:
    """Let a new version come, and go on until `phase`."""
    world.git("v2")
    world.dependencies = [Dependency("other", stable=phase is not P.HOLDING)]
    world.run(until=phase)
    world.dependencies = []


def test_every_phase_has_a_function_and_a_way_in_and_the_diagram_shows_them() -> None:
    assert set(STATES) == set(P)
    assert {row.target for row in TABLE} == set(P)
    assert {phase for row in TABLE for phase in row.sources} == set(P) - {P.GONE}
    drawn = diagram()
    assert all(str(phase) in drawn for phase in P)
    assert "    Stepping --> Stepping: step passed\n" in drawn


@pytest.mark.parametrize("fields", [{}, BLUE_GREEN, HOOKS, {"candidate": {"byWeight": True}}])
def test_a_good_version_is_let_in_step_by_step_and_the_target_ends_as_git_says(fields: dict[str, Any]) -> None:
    world = started(**fields)
    world.git("v2")
    world.run()
    assert world.status.phase is P.STABLE
    assert world.status.stable_revision == "v2"
    assert [pod.revision for pod in world.target.pods] == ["v2"] * 3
    assert not world.target.paused
    assert world.ours is None
    assert [(row.name, row.verdict, row.score) for row in world.status.judged] == [("slo", "Pass", 100.0)]
    assert world.weights == ([100, 0] if "blueGreen" in fields else [5, 50, 100, 0])
    assert all(count == 1 for count in world.hook_effects.values())


def test_the_hook_before_the_promotion_is_called_also_where_the_last_step_has_all_requests() -> None:
    world = started(**HOOKS, canary={"steps": [{"weight": 100, "hold": "1m"}]})
    world.git("v2")
    world.run()
    assert world.status.stable_revision == "v2"
    places = [key.split("/")[2] for key, _ in world.hook_effects]
    assert places == ["BeforeRollout", "BeforeStep-0", "BeforePromotion", "AfterPromotion"]


def columns(world: World) -> tuple[str | None, str | None]:
    return world.status.progress, world.status.verdict


def test_the_columns_of_a_canary_at_rest_tell_how_its_newest_rollout_went() -> None:
    world = started()
    assert columns(world) == ("0/2", None)
    world.git("v2")
    world.run(until=P.PREPARING)
    assert columns(world) == ("0/2", None)
    world.run()
    assert (world.status.phase, *columns(world)) == (P.STABLE, "2/2", "Pass")
    world.metric = Outcome.FAIL
    world.git("v3")
    world.run()
    assert (world.status.phase, *columns(world)) == (P.FAILED, "1/2", "Fail")
    world.git("v2")
    world.run()
    assert (world.status.phase, *columns(world)) == (P.STABLE, "1/2", "Fail")
    world.metric = Outcome.PASS
    world.git("v4")
    world.run(until=P.PREPARING)
    assert columns(world) == ("0/2", None)


def test_the_step_of_a_blue_green_release_is_none() -> None:
    world = started(**BLUE_GREEN)
    assert columns(world) == ("-", None)
    world.git("v2")
    world.run()
    assert columns(world) == ("-", "Pass")


def test_a_canary_of_two_steps_takes_at_most_seventeen_writes_with_its_events() -> None:
    world = started()
    before, events = world.writes, len(world.events)
    world.git("v2")
    world.run()
    assert world.writes - before + len(world.events) - events <= 17


MATCH = {"match": [{"header": {"name": "X-Tester", "value": "yes"}}]}


def test_requests_that_match_go_to_the_candidate_from_the_first_step_until_the_end() -> None:
    steps = [{"weight": 0, "hold": "1m"}, {"weight": 20, "hold": "1m"}]
    world = started(canary={**MATCH, "steps": steps})
    world.git("v2")
    world.run(until=P.STEPPING)
    world.run_once()
    route = world.routes["pricing"]
    assert (world.status.weight, world.status.matched, route.matched) == (0, True, True)
    world.run(until=P.WATCHING)
    assert (route.stated[1], route.matched) == (100, True), "who was with the candidate stays with it"
    world.run()
    assert (world.status.phase, world.status.matched, route.matched) == (P.STABLE, None, False)


def test_a_bad_version_that_only_some_requests_meet_is_taken_out() -> None:
    world = started(canary={**MATCH, "steps": [{"weight": 0, "hold": "1m"}]})
    world.metric = Outcome.FAIL
    world.git("v2")
    world.run()
    assert (world.status.phase, world.status.reason) == (P.FAILED, "GateFailed")
    assert not world.routes["pricing"].matched
    assert world.weights[-1] == 0


def test_copies_come_before_requests_and_end_with_their_step() -> None:
    world = started(canary={"steps": [{"weight": 0, "mirror": 50, "hold": "1m"}, {"weight": 20, "hold": "1m"}]})
    world.git("v2")
    world.run(until=P.STEPPING)
    world.run_once()
    assert (world.status.weight, world.status.mirror, world.routes["pricing"].mirror) == (0, 50, 50)
    while world.status.step == 0:
        world.run_once()
    world.run_once()
    assert (world.status.weight, world.status.mirror, world.routes["pricing"].mirror) == (20, None, 0)
    world.run()
    assert world.status.stable_revision == "v2"


@pytest.mark.parametrize("phase", [P.PREVIEWING, P.STEPPING, P.WATCHING])
def test_the_candidate_grows_with_a_target_that_is_made_larger_meanwhile(phase: P) -> None:
    world = started(**BLUE_GREEN if phase is P.PREVIEWING else {})
    world.git("v2")
    world.run(until=phase)
    world.scale(5)
    world.run(until=P.PROMOTING)
    assert world.ours is not None
    assert world.ours.replicas == 5
    world.run()
    assert (world.status.phase, world.status.stable_revision) == (P.STABLE, "v2")


def test_a_target_that_its_autoscaler_made_small_is_large_again_before_it_gets_the_requests_back() -> None:
    world = started()
    world.autoscaled = 5
    world.git("v2")
    world.run(until=P.WATCHING)
    assert world.ours is not None
    assert world.ours.floor == 3, "the candidate is not made smaller than its weight needs"
    world.ours.replicas = 8
    world.scale(1)
    world.run(until=P.PROMOTING)
    for _ in world.ticks(40):
        world.look()
        if world.weights[-1] == 0:
            break
    assert (world.target.replicas, world.available()) == (5, 5), "as many as the autoscaler allows"
    world.run()
    assert world.status.phase is P.STABLE


def test_without_a_router_the_share_of_pods_is_the_weight() -> None:
    world = started(**REPLICAS, canary={"steps": [{"weight": 25}, {"weight": 50}]})
    world.git("v2")
    world.run(until=P.STEPPING)
    world.run()
    assert (world.status.phase, world.status.stable_revision) == (P.STABLE, "v2")


def test_a_failing_gate_takes_the_candidate_out_and_the_target_stays_held() -> None:
    world = started()
    world.git("v2")
    world.run(until=P.STEPPING)
    world.metric = Outcome.FAIL
    world.run()
    assert world.status.phase is P.FAILED
    assert world.status.reason == "GateFailed"
    assert world.status.message == "slo: error-rate: 7.2 of 1 (1/1)"
    assert [(row.name, row.verdict, row.worst_check) for row in world.status.judged] == [("slo", "Fail", "error-rate")]
    assert [row.revision for row in world.status.failed] == ["v2"]
    assert (world.target.paused, world.ours, world.weights[-1]) == (True, None, 0)
    assert [pod.revision for pod in world.target.pods] == ["v1"] * 3


def test_the_weight_goes_back_in_the_same_plan_that_sees_the_fault() -> None:
    world = started()
    world.git("v2")
    world.run(until=P.STEPPING)
    while not world.tallies:
        world.run_once()
    world.metric = Outcome.FAIL
    world.advance(seconds=10)
    world.look()
    before = list(world.weights)
    world.look()
    assert (before[-1], world.weights[-1]) == (5, 0)


@pytest.mark.parametrize(("window", "phases"), [(1, False), (0, True), (None, True)])
def test_within_the_window_an_earlier_revision_needs_no_new_analysis(window: int | None, phases: bool) -> None:
    world = started(rollback={"window": window})
    for revision in ("v2", "v3"):
        world.git(revision)
        world.run()
    assert [row.revision for row in world.status.past] == ["v1", "v2"]
    world.weights.clear()
    world.metric = Outcome.PASS if phases else Outcome.FAIL
    world.git("v2")
    world.run()
    assert (world.status.phase, world.status.stable_revision) == (P.STABLE, "v2")
    assert world.weights == ([5, 50, 100, 0] if phases else [100, 0])
    assert [row.revision for row in world.status.past] == ["v1", "v3"]


def test_an_earlier_revision_outside_the_window_is_judged_like_any_other() -> None:
    world = started(rollback={"window": 1})
    for revision in ("v2", "v3"):
        world.git(revision)
        world.run()
    world.metric = Outcome.FAIL
    world.git("v1")
    world.run()
    assert (world.status.phase, world.status.reason) == (P.FAILED, "GateFailed")


def test_an_earlier_revision_that_does_not_become_ready_any_more_gets_no_request() -> None:
    world = started(rollback={"window": 3}, progressDeadline="1m")
    world.git("v2")
    world.run()
    world.broken = {"v1"}
    world.weights.clear()
    world.git("v1")
    world.run()
    assert (world.status.phase, world.status.reason, world.weights) == (P.FAILED, "CandidateNotReady", [])


def test_a_failed_revision_is_not_tried_again_until_somebody_asks() -> None:
    world = started()
    world.metric = Outcome.FAIL
    world.git("v2")
    world.run()
    world.git("v3")
    world.metric = Outcome.PASS
    world.run()
    assert (world.status.phase, world.status.stable_revision) == (P.STABLE, "v3")
    world.git("v2")
    world.run()
    assert (world.status.phase, world.status.reason) == (P.FAILED, "FailedBefore")
    world.ask("retry", "1")
    world.run()
    assert (world.status.phase, world.status.stable_revision) == (P.STABLE, "v2")


@pytest.mark.parametrize("asked", [False, True])
def test_no_watch_ends_before_the_requests_have_gone_over(asked: bool) -> None:
    world = started()
    world.git("v2")
    world.run(until=P.WATCHING)
    world.router_away = True
    if asked:
        world.ask("promote", "1")
    for _ in range(20):
        world.advance(minutes=5)
        world.look()
    assert (world.status.phase, world.status.weight, world.target.paused) == (P.WATCHING, 100, True)
    world.router_away = False
    world.run(until=P.PROMOTING)
    assert world.status.last_move is not None
    assert world.status.last_move.by == ("alice" if asked else "")


@pytest.mark.parametrize("until", [P.PREPARING, P.STEPPING, P.SWITCHING, P.WATCHING])
def test_a_revert_needs_no_analysis(until: P) -> None:
    world = started(candidate={"byWeight": True})
    world.git("v2")
    world.run(until=until)
    looks = dict(world.good_looks)
    world.git("v1")
    world.run()
    assert (world.status.phase, world.status.stable_revision, world.status.failed) == (P.STABLE, "v1", ())
    assert not world.target.paused
    assert world.good_looks == looks


@pytest.mark.parametrize("until", [P.HOLDING, P.PREPARING, P.STEPPING, P.WATCHING, P.PROMOTING, P.RETURNING])
def test_a_new_revision_in_mid_run_begins_at_nothing_with_fresh_counters(until: P) -> None:
    world = started()
    go_to(world, until)
    round_before = world.status.round
    world.git("v3")
    world.run(until=P.PREPARING)
    assert (world.status.candidate_revision, world.status.weight, world.status.gates) == ("v3", 0, ())
    assert world.status.round == round_before + 1
    world.run()
    assert (world.status.phase, world.status.stable_revision) == (P.STABLE, "v3")


def test_no_evidence_holds_the_weight_raises_one_alert_and_goes_on_when_it_is_back() -> None:
    world = started()
    world.git("v2")
    world.run(until=P.STEPPING)
    world.metric = Outcome.ERROR
    for _ in range(200):
        world.run_once()
    assert (world.status.phase, world.status.step, world.status.reason) == (P.STEPPING, 0, "NoEvidence")
    assert world.status.message == "held, no evidence from slo/error-rate; step 1/2 at 5%"
    assert world.events.count("Warning NoEvidence") == 1
    world.metric = Outcome.PASS
    world.run()
    assert (world.status.phase, world.status.stable_revision) == (P.STABLE, "v2")


def test_no_evidence_rolls_back_where_the_policy_says_so() -> None:
    world = started(analysis={"onNoEvidence": {"policy": "Rollback", "limit": "2m"}})
    world.git("v2")
    world.run(until=P.STEPPING)
    world.metric = Outcome.ERROR
    world.run()
    assert (world.status.phase, world.status.reason) == (P.FAILED, "NoEvidence")


def test_a_gate_that_is_gone_holds_and_is_told_though_no_look_comes_any_more() -> None:
    world = started(canary={"steps": [{"weight": 5, "hold": "1s"}]})
    world.git("v2")
    world.run(until=P.STEPPING)
    world.gates = {}
    for _ in range(200):
        world.run_once()
    assert (world.status.phase, world.status.step) == (P.STEPPING, 0)
    assert world.status.message == "held, no evidence from slo; step 1/1 at 5%"
    assert "Warning NoEvidence" in world.events


def test_a_route_that_somebody_resets_is_put_right_at_once() -> None:
    world = started()
    world.git("v2")
    world.run(until=P.WATCHING)
    world.reset()
    world.look()
    assert world.routes["pricing"].stated[:2] == (0, 100)
    for _ in range(400):
        world.run_once()
        world.reset()
        world.look()
        if world.status.phase is P.STABLE:
            break
    assert world.status.stable_revision == "v2"


def test_a_candidate_that_never_is_ready_gets_nothing_and_fails() -> None:
    world = started()
    world.broken = {"v2"}
    world.git("v2")
    world.run()
    assert (world.status.phase, world.status.reason, world.weights) == (P.FAILED, "CandidateNotReady", [])


def test_pods_of_the_target_that_do_not_come_up_leave_the_candidate_in_place() -> None:
    world = started()
    world.git("v2")
    world.run(until=P.PROMOTING)
    world.broken = {"v2"}
    for _ in range(100):
        world.run_once()
    assert world.status.phase is P.PROMOTING
    assert world.ours is not None
    assert world.routes["pricing"].stated[:2] == (0, 100)
    assert world.events.count("Warning PromotionSlow") == 1
    world.broken = set()
    world.run()
    assert world.status.stable_revision == "v2"


def test_a_target_that_fails_after_it_got_the_requests_back_keeps_the_candidate() -> None:
    world = started()
    world.git("v2")
    world.run(until=P.RETURNING)
    world.router()
    world.target.pods[0].ready = False
    world.advance(minutes=1)
    world.look()
    assert world.ours is not None
    assert not world.ours.deleting
    world.run()
    assert world.status.stable_revision == "v2"
    assert world.scene().candidate is None


def test_a_candidate_that_dies_under_its_requests_is_taken_out() -> None:
    world = started()
    world.git("v2")
    world.run(until=P.WATCHING)
    assert world.ours is not None
    world.broken = {"v2"}
    for pod in world.ours.pods:
        pod.ready = False
    world.run()
    assert (world.status.phase, world.status.reason) == (P.FAILED, "CandidateLost")


def test_promotion_waits_for_a_person_where_it_is_manual() -> None:
    world = started(approval={"promotion": "Manual"})
    world.git("v2")
    world.run()
    assert world.status.phase is P.APPROVING
    world.ask("promote", "1")
    world.run()
    assert (world.status.phase, world.status.stable_revision) == (P.STABLE, "v2")
    assert world.status.control is not None
    assert (world.status.control.nonce, world.status.control.by, world.status.control.accepted) == ("1", "alice", True)


def test_a_paused_canary_stays_and_still_rolls_back() -> None:
    world = started()
    world.git("v2")
    world.run(until=P.STEPPING)
    world.ask("pause", "1")
    for _ in range(100):
        world.run_once()
    assert (world.status.phase, world.status.step) == (P.STEPPING, 0)
    world.ask("resume", "2")
    world.run(until=P.WATCHING)
    world.ask("pause", "3")
    world.look()
    world.metric = Outcome.FAIL
    world.run()
    assert world.status.phase is P.FAILED


def test_skip_and_promotion_in_full_leave_out_what_they_say() -> None:
    world = started()
    world.git("v2")
    world.run(until=P.STEPPING)
    world.ask("skip", "1")
    world.look()
    assert world.status.step == 1
    world.ask("promoteInFull", "2")
    world.run(until=P.PROMOTING)
    world.run()
    assert world.weights == [5, 50, 100, 0]
    assert world.status.stable_revision == "v2"


def test_what_cannot_be_done_is_refused_with_where_it_can() -> None:
    world = started()
    world.ask("abort", "1")
    world.settle()
    assert world.status.control is not None
    assert not world.status.control.accepted
    assert "cannot be done in phase Stable" in world.status.control.message
    assert world.events[-1] == "Warning ControlRefused"


def test_a_hook_that_fails_for_good_takes_the_candidate_out() -> None:
    world = started(**HOOKS)
    world.hook_answer = "Failed"
    world.git("v2")
    world.run()
    assert (world.status.phase, world.status.reason) == (P.FAILED, "HookFailed")
    assert [attempt for key, attempt in world.hook_effects if "BeforeRollout" in key] == [1, 2, 3]


@pytest.mark.parametrize("way", ["aborted", "another revision", "deleted"])
def test_a_hook_that_is_under_way_is_ended_when_its_rollout_goes_back(way: str) -> None:
    world = started(**HOOKS)
    world.git("v2")
    world.run(until=P.PREPARING)
    world.hook_answer = "Running"
    for _ in world.ticks(100):
        world.look()
    (key,) = [key for key, result in world.hooks.items() if result.state == "Running"]
    assert "/BeforeStep-0/" in key
    match way:
        case "aborted":
            world.ask("abort", "1")
        case "another revision":
            world.git("v3")
        case "deleted":
            world.deleting = True
    for _ in world.ticks(100):
        world.look()
    assert world.hooks[key].state == "GivenUp"
    assert {row.state for row in world.status.hooks if row.key == key} <= {"GivenUp"}
    rollback = [result.state for key, result in world.hooks.items() if "/OnRollback/" in key]
    assert rollback == (["Running"] if way == "aborted" else [])


@pytest.mark.parametrize("until", [P.STABLE, P.HOLDING, P.STEPPING, P.WATCHING, P.PROMOTING, P.RETURNING])
def test_a_deleted_canary_gives_everything_back(until: P) -> None:
    world = started()
    if until is not P.STABLE:
        go_to(world, until)
    world.deleting = True
    world.run(until=P.GONE)
    world.look()
    assert (world.finalizer, world.ours, world.target.paused, world.target.adopted) == (False, None, False, False)
    assert not any(any(route.stated[1:]) for route in world.routes.values())


def test_a_canary_that_goes_leaves_the_target_to_its_successor_held_as_it_is() -> None:
    world = started()
    world.git("v2")
    world.run(until=P.STEPPING)
    world.deleting = True
    world.successor = True
    world.run(until=P.GONE)
    assert (world.ours, world.target.paused, world.target.held, world.target.adopted) == (None, True, True, True)
    assert {pod.revision for pod in world.target.pods} == {"v1"}, "the successor lets the new version in"


def test_a_target_that_is_held_already_is_taken_over_before_anything_is_let_in() -> None:
    world = World(canary_spec())
    world.target.held = world.target.paused = True
    world.target.revision = "v2"
    world.run(until=P.PREPARING)
    assert world.target.adopted
    world.target.adopted = False
    world.run(until=P.STEPPING)
    assert world.target.adopted


def test_a_canary_does_not_take_the_target_of_another() -> None:
    world = World(canary_spec())
    world.successor = True
    for _ in range(20):
        world.run_once()
    assert not world.target.adopted


def test_a_canary_whose_spec_cannot_be_acted_on_says_so_from_the_beginning() -> None:
    world = World(canary_spec())
    world.spec = None
    world.look()
    assert (world.status.phase, world.status.reason) == (P.WAITING, "InvalidSpec")
    assert {row.type: row.status for row in world.status.conditions}["Stalled"] == "True"
    assert not world.target.adopted


def test_a_candidate_that_is_ready_gets_nothing_before_its_service_leads_to_it() -> None:
    world = started()
    world.git("v2")
    world.run(until=P.PREPARING)
    for _ in range(10):
        world.look()
        world.controllers()
        world.kubelet()
    assert world.ours is not None
    assert [pod.ready for pod in world.ours.pods] == [True] * 3
    assert (world.status.phase, world.weights) == (P.PREPARING, [])
    world.endpoints()
    world.run()
    assert (world.status.phase, world.status.stable_revision) == (P.STABLE, "v2")


def test_the_target_gets_nothing_back_before_its_service_leads_to_its_new_pods() -> None:
    world = started()
    world.git("v2")
    world.run(until=P.PROMOTING)
    for _ in range(30):
        world.look()
        world.controllers()
        world.kubelet()
        world.router()
    assert all(pod.revision == "v2" and pod.ready for pod in world.target.pods)
    assert world.weights[-1] == 100
    world.endpoints()
    world.run()
    assert (world.status.phase, world.weights[-1]) == (P.STABLE, 0)


def test_a_hold_that_came_too_late_is_reported_and_the_version_is_taken_as_it_is() -> None:
    world = started()
    world.webhook = False
    world.git("v2")
    for _ in range(10):
        world.controllers()
        world.kubelet()
    world.run()
    assert (world.status.phase, world.status.stable_revision) == (P.STABLE, "v2")
    assert "Warning HoldBroken" in world.events


def good(world: World) -> None:
    world.git("v2")


def bad(world: World) -> None:
    world.git("v2")
    world.metric = Outcome.FAIL


def reverted(world: World) -> None:
    world.git("v2")
    world.run(until=P.WATCHING)
    world.git("v1")


def again(world: World) -> None:
    world.git("v2")
    world.run(until=P.PROMOTING)
    world.git("v3")


@pytest.mark.parametrize("story", [good, bad, reverted, again])
@pytest.mark.parametrize("fields", [HOOKS, BLUE_GREEN, REPLICAS])
def test_killed_between_any_two_writes_it_ends_as_if_it_had_not_been(
    fields: dict[str, Any], story: Callable[[World], None]
) -> None:
    whole = started(**fields)
    story(whole)
    whole.run()
    for index in range(60):
        world = started(**fields)
        story(world)
        killed = crash_at(world, index)
        assert world.status.phase is whole.status.phase
        assert world.status.stable_revision == whole.status.stable_revision
        assert world.weights == whole.weights
        assert {key for key, _ in world.hook_effects} == {key for key, _ in whole.hook_effects}
        assert [(row.round, row.outcome, row.reason) for row in world.status.rollouts] == [
            (row.round, row.outcome, row.reason) for row in whole.status.rollouts
        ]
        if not killed:
            return
    raise AssertionError("more writes than expected")


def crash_at(world: World, index: int) -> bool:
    """Run to the end, killed before write number `index`; False when there are not so many."""
    count, killed = 0, False
    for _ in world.ticks():
        _, plan = world.plan()
        writes = len([action for action in plan.after if "Look" not in type(action).__name__])
        writes += plan.status is not None
        if not killed and count + writes > index:
            everything = len(plan.after) + (plan.status is not None)
            world.look(min(index - count, everything - 1))
            killed = True
            continue
        count += writes
        moved = world.look()
        if not moved and world.resting and (world.target.paused or world.scene().target.rolled_out):  # type: ignore[union-attr]
            return killed
    raise AssertionError(f"does not end: {world.status}")


def test_a_converged_canary_writes_nothing() -> None:
    world = started()
    world.settle()
    for _ in range(5):
        world.advance(hours=1)
        plan = plan_canary(world.scene())
        assert (plan.status, plan.after, plan.occurrences) == (None, (), ())


def test_the_weight_is_held_for_its_time_and_metrics_are_not_looked_at_before_the_warm_up() -> None:
    world = started(canary={"steps": [{"weight": 10, "hold": "5m"}], "warmup": "2m"})
    world.git("v2")
    world.run(until=P.STEPPING)
    begin = world.now
    while not world.tallies:
        world.run_once()
    assert world.now - begin >= timedelta(minutes=2)
    world.run(until=P.WATCHING)
    assert world.now - begin >= timedelta(minutes=5)


@pytest.mark.parametrize("gates", [{}, {"gates": None, "approval": {"promotion": "Manual"}}])
def test_that_a_weight_has_arrived_is_written_once_in_a_step_that_lasts(gates: dict[str, Any]) -> None:
    world = started(canary={"steps": [{"weight": 10, "hold": "30m"}]}, **gates)
    world.git("v2")
    world.run(until=P.STEPPING)
    begin = world.now
    for _ in world.ticks(50):
        world.look()
        if world.status.weight_seen == 10:
            break
    assert (world.status.phase, world.status.weight_seen) == (P.STEPPING, 10)
    assert world.now - begin <= timedelta(seconds=31), "ten seconds, or with the first look"
    _, plan = world.plan()
    assert plan.status is None


def test_the_requests_of_an_earlier_candidate_are_not_held_against_a_new_one() -> None:
    """Both have the same Service, so a window that reaches back would count them together."""
    world = started()
    measured = gate_view(query=None, requests={"measure": "ErrorRate", "window": "40s"})
    world.gates["slo"] = measured
    world.git("v2")
    world.run(until=P.STEPPING)
    begun = world.status.started_at
    assert begun is not None
    while not world.tallies:
        world.run_once()
    assert timedelta(seconds=40) <= world.now - begun < timedelta(seconds=60)
