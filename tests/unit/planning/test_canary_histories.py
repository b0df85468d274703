"""plan_canary over random histories: crashes between any two writes, commits, resets, metrics of every sort, requests.

The rules that must hold are in `canary_world.py`; each is checked on the write that would break it. However a history
goes, it comes to rest once the cluster does what it is asked to.
"""

import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from sluice.api.canary_status import CanaryPhase as P
from sluice.api.canary_status import ControlAction
from sluice.planning.canary_history import MAX_ROLLOUTS
from sluice.planning.canary_scene import Dependency
from sluice.planning.verdicts import Outcome
from tests.unit.planning.canary_world import World, canary_spec, gate_view

EXAMPLES = int(os.environ.get("SLUICE_HISTORIES", "120"))
"""Histories tried. The default suits every change; a nightly run may set thousands."""

_STRATEGIES: tuple[dict[str, Any], ...] = (
    {},
    {"canary": {"steps": [{"weight": 20, "hold": "30s"}], "warmup": "20s"}, "watch": "0s"},
    {
        "canary": None,
        "blueGreen": {
            "preview": {"name": "preview"},
            "checks": [{"name": "slo"}],
            "watch": "30s",
            "keepOld": "1m",
        },
    },
    {"routing": {"gatewayAPI": {"routes": [{"name": "pricing"}, {"name": "quotes"}]}}},
    {"routing": {"replicas": {}}},
    {"candidate": {"byWeight": True, "ceiling": 60}},
    {
        "canary": {
            "match": [{"header": {"name": "X-Tester", "value": "yes"}}],
            "steps": [
                {"weight": 0, "mirror": 50, "hold": "30s"},
                {"weight": 0, "hold": "30s"},
                {"weight": 20, "hold": "30s"},
            ],
        }
    },
)
_EXTRAS: tuple[dict[str, Any], ...] = (
    {},
    {"approval": {"promotion": "Manual"}},
    {"rollback": {"window": 2}},
    {"analysis": {"onNoEvidence": {"policy": "Rollback", "limit": "1m"}, "failureLimit": {"consecutive": 2}}},
    {
        "hooks": [
            {"name": "a", "at": "BeforeRollout", "http": {"url": "http://hooks/a"}},
            {"name": "b", "at": "BeforeStep", "http": {"url": "http://hooks/b"}, "retries": 1},
            {"name": "c", "at": "BeforePromotion", "job": {"template": {}}},
            {"name": "d", "at": "AfterPromotion", "http": {"url": "http://hooks/d"}},
            {"name": "e", "at": "OnRollback", "http": {"url": "http://hooks/e"}},
        ]
    },
)
_ACTIONS: tuple[ControlAction, ...] = ("pause", "resume", "skip", "promote", "promoteInFull", "abort", "retry")


class Histories(RuleBasedStateMachine):
    """What may happen to a canary."""

    world: World
    asked = 0

    @initialize(
        strategy=st.sampled_from(_STRATEGIES),
        extra=st.sampled_from(_EXTRAS),
        webhook=st.booleans(),
        phase=st.sampled_from(P),
    )
    def begin(self, strategy: dict[str, Any], extra: dict[str, Any], webhook: bool, phase: P) -> None:
        stepless = "blueGreen" in strategy
        hooks = [hook for hook in extra.get("hooks", []) if not (stepless and hook["at"] == "BeforeStep")]
        self.world = World(canary_spec(**strategy | extra | {"hooks": hooks}), webhook=webhook)
        self.world.run()
        self.world.git("v2")
        self.goes_on_until(phase)

    @rule()
    def looks(self) -> None:
        self.world.settle()

    @rule(writes=st.integers(0, 3))
    def looks_and_crashes(self, writes: int) -> None:
        self.world.look(writes)

    @rule(revision=st.sampled_from(["v1", "v2", "v3", "v4"]))
    def commit_comes_between_plan_and_act(self, revision: str) -> None:
        self.world.look(race=lambda: self.world.git(revision))

    @rule()
    def reset_comes_between_plan_and_act(self) -> None:
        self.world.look(race=self.world.reset)

    @rule()
    def operator_restarts(self) -> None:
        self.world.crash()

    @rule(seconds=st.sampled_from([0.3, 5, 11, 31, 61, 130, 301, 700]))
    def time_passes(self, seconds: float) -> None:
        self.world.advance(seconds=seconds)

    @rule(times=st.integers(1, 12))
    def goes_on(self, times: int) -> None:
        for _ in range(times):
            self.world.run_once()

    @rule(phase=st.sampled_from(P))
    def phase_is_awaited(self, phase: P) -> None:
        self.goes_on_until(phase)

    def goes_on_until(self, phase: P) -> None:
        for _ in range(60):
            if self.world.status.phase is phase:
                return
            self.world.run_once()

    @rule()
    def controllers_run(self) -> None:
        self.world.controllers()

    @rule()
    def pods_become_ready(self) -> None:
        self.world.kubelet()

    @rule()
    def services_lead_to_pods(self) -> None:
        self.world.endpoints()

    @rule()
    def router_follows(self) -> None:
        self.world.router()

    @rule(revision=st.sampled_from(["v1", "v2", "v3", "v4"]))
    def commit(self, revision: str) -> None:
        self.world.git(revision)

    @rule()
    def route_is_reset(self) -> None:
        self.world.reset()

    @rule(outcome=st.sampled_from(Outcome))
    def metric_turns(self, outcome: Outcome) -> None:
        self.world.metric = outcome

    @rule(generation=st.integers(1, 3), there=st.booleans())
    def gate_is_edited_or_gone(self, generation: int, there: bool) -> None:
        view = gate_view()
        self.world.gates = {"slo": type(view)(**{**vars(view), "generation": generation})} if there else {}

    @rule(action=st.sampled_from(_ACTIONS))
    def somebody_asks(self, action: ControlAction) -> None:
        self.asked += 1
        self.world.ask(action, str(self.asked))

    @rule(answer=st.sampled_from(["Succeeded", "Running", "Failed"]))
    def hooks_answer(self, answer: str) -> None:
        self.world.hook_answer = answer
        self.world.crash()

    @precondition(lambda self: self.world.ours is not None)
    @rule(every=st.booleans())
    def candidate_pods_fail(self, every: bool) -> None:
        assert self.world.ours is not None
        for pod in self.world.ours.pods[: None if every else 1]:
            pod.ready = False

    @rule(count=st.integers(1, 3))
    def pods_of_the_target_fail(self, count: int) -> None:
        for pod in self.world.target.pods[:count]:
            pod.ready = False

    @rule(revision=st.sampled_from(["v2", "v3"]), broken=st.booleans())
    def image_is_broken(self, revision: str, broken: bool) -> None:
        (self.world.broken.add if broken else self.world.broken.discard)(revision)

    @rule(stable=st.booleans())
    def other_canary(self, stable: bool) -> None:
        self.world.dependencies = [Dependency("other", stable=stable)]

    @rule()
    def hold_is_taken_off(self) -> None:
        target = self.world.target
        target.paused = target.held = False
        target.version += 1
        target.generation += 1

    @rule(most=st.sampled_from([None, 4, 6]), replicas=st.integers(1, 4), grown=st.integers(0, 2))
    def autoscalers_act(self, most: int | None, replicas: int, grown: int) -> None:
        world = self.world
        world.autoscaled = most
        if most is not None and replicas != world.target.replicas:
            world.scale(replicas)
        if most is not None and world.ours is not None and world.ours.floor is not None:
            world.ours.replicas = min(most, world.ours.replicas + grown)

    @rule(dice=st.integers(0, 15))
    def canary_is_deleted(self, dice: int) -> None:
        self.world.deleting |= dice == 0

    def teardown(self) -> None:
        if hasattr(self, "world"):
            drive_to_the_end(self.world)


def drive_to_the_end(world: World) -> None:
    """From here on the cluster does what it is asked to, and metrics are good. Then every canary comes to rest."""
    world.gates = {"slo": gate_view()}
    world.metric, world.hook_answer, world.broken, world.dependencies = Outcome.PASS, "Succeeded", set(), []
    world.crash()
    world.ask("resume", "last")
    if not world.deleting:
        world.run()
        if world.status.phase is P.APPROVING:
            world.ask("promote", "approved")
            world.run()
        assert world.status.phase in (P.STABLE, P.FAILED)
        assert not any(any(route.stated[1:]) for route in world.routes.values())
        assert world.ours is None
        assert (world.status.phase is P.FAILED) == world.target.paused
        if world.status.phase is P.STABLE:
            assert world.status.stable_revision == world.target.revision
        check_records(world)
    else:
        world.run(until=P.GONE)
        world.look()
        assert not world.finalizer
        assert not world.target.paused


def check_records(world: World) -> None:
    """Every round has left its record, once, and its times are in their order."""
    rows = world.status.rollouts
    told = [(row.round, row.reason == "HoldBroken") for row in rows]
    assert len(told) == len(set(told))
    if len(rows) < MAX_ROLLOUTS:
        assert {row.round for row in rows} == set(range(1, world.status.round + 1))
    for row in rows:
        times = [row.started_at, row.requests_at, row.failed_at, row.restored_at, row.ended_at]
        known = [time for time in times if time is not None]
        assert known == sorted(known), row
        assert row.restored_at is None or row.requests_at is not None


Histories.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=40,
    deadline=None,
    derandomize="SLUICE_HISTORIES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
TestHistories = Histories.TestCase
