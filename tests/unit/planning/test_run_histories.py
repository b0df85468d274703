"""plan_run over random histories: random graphs, pods that meet every fate, crashes between any two writes, lost time.

A RuleBasedStateMachine rather than a driver of our own: hypothesis shrinks the graph and the history together, and
prints what is left as a program. The rules that must hold are in `world.py`; each is checked on the write that would
break it.
"""

import os
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from sluice.api.pipeline import DataPipelineSpec
from sluice.planning.observed import PodView
from tests.builders import pipeline_spec, step_dict
from tests.unit.planning.world import World, is_live

EXAMPLES = int(os.environ.get("SLUICE_HISTORIES", "120"))
"""Histories tried. The default suits every change; a nightly run may set thousands."""

_RETRIES: tuple[dict[str, Any], ...] = (
    {},
    {"retry": {"limit": 1, "backoff": {"duration": "0s"}}},
    {"retry": {"limit": 2, "backoff": {"duration": "10s", "cap": "1m"}}},
)
_CLOCKS: tuple[dict[str, Any], ...] = ({}, {"timeouts": {"step": "5m"}}, {"timeouts": {"pending": "2m"}})
_RUN_CLOCKS: tuple[dict[str, Any], ...] = ({}, {"run": "10m"}, {"run": "1h", "finally": "5m"}, {"finally": "30s"})
_LIMITS: tuple[dict[str, Any], ...] = (
    {},
    {"concurrency": {"maxActiveSteps": 1}},
    {"concurrency": {"maxActiveSteps": 2}},
)


@st.composite
def graphs(draw: st.DrawFn, prefix: str, least: int, most: int) -> list[dict[str, Any]]:
    """Up to `most` steps, each depending on some of those before it, in any order of the list."""
    rows: list[dict[str, Any]] = []
    for index in range(draw(st.integers(least, most))):
        above = draw(st.sets(st.sampled_from([row["name"] for row in rows]), max_size=3)) if rows else set()
        extra = draw(st.sampled_from(_RETRIES)) | draw(st.sampled_from(_CLOCKS))
        rows.append(step_dict(f"{prefix}{index}", *sorted(above), **extra))
    return draw(st.permutations(rows))


@st.composite
def pipelines(draw: st.DrawFn) -> DataPipelineSpec:
    """A pipeline with up to eight steps and up to three finally steps."""
    steps = draw(graphs("s", 1, 8))
    final = draw(graphs("f", 0, 3))
    for row in final:
        row["args"] = ["$(run.outcome)", "$(run.reason)", f"$(steps.{steps[0]['name']}.phase)"]
    clocks = draw(st.sampled_from(_RUN_CLOCKS))
    return pipeline_spec(*steps, **{"finally": final, "timeouts": clocks} | draw(st.sampled_from(_LIMITS)))


class Histories(RuleBasedStateMachine):
    """What may happen to a run."""

    world: World

    @initialize(spec=pipelines(), refused=st.integers(0, 20), crash=st.integers(0, 3))
    def begin(self, spec: DataPipelineSpec, refused: int, crash: int) -> None:
        self.world = World(spec)
        everyone = [step.name for step in spec.all_steps()]
        self.world.refused_steps = {everyone[refused]} if refused < len(everyone) else set()
        self.world.look(crash)

    def _pick(self, index: int, pods: list[PodView]) -> PodView:
        return pods[index % len(pods)]

    def _live(self) -> list[PodView]:
        return [pod for pod in self.world.pods.values() if is_live(pod)]

    def _running(self) -> list[PodView]:
        return [pod for pod in self._live() if pod.running_since is not None]

    @rule()
    def looks(self) -> None:
        self.world.settle()

    @rule(writes=st.integers(0, 5), backwards=st.booleans())
    def looks_and_crashes(self, writes: int, backwards: bool) -> None:
        self.world.look(writes, backwards=backwards)

    @rule()
    def looks_and_loses_the_answers(self) -> None:
        self.world.look(deaf=True)

    @rule(seconds=st.sampled_from([0.05, 0.4, 1, 7, 31, 61, 130, 301, 4000, 90000]))
    def time_passes(self, seconds: float) -> None:
        self.world.advance(seconds=seconds)

    @precondition(lambda self: self.world.wake_at is not None)
    @rule()
    def is_woken(self) -> None:
        self.world.now = max(self.world.now, self.world.wake_at or self.world.now)
        self.world.settle()

    @rule()
    def cache_stands_still(self) -> None:
        self.world.lagging = True

    @precondition(lambda self: self.world.lagging)
    @rule()
    def cache_catches_up(self) -> None:
        self.world.lagging = False

    @precondition(lambda self: not self.world.cancel)
    @rule(dice=st.integers(0, 3))
    def is_cancelled(self, dice: int) -> None:
        self.world.cancel = dice == 0

    @precondition(lambda self: self._live())
    @rule(index=st.integers(0, 9))
    def pod_starts(self, index: int) -> None:
        pod = self._pick(index, self._live())
        if pod.running_since is None and not pod.stopping and not pod.deleting:
            self.world.start(pod)

    @precondition(lambda self: self._live())
    @rule(index=st.integers(0, 9), exit_code=st.sampled_from([0, 0, 0, 1, 3, 143]), settled=st.booleans())
    def pod_ends(self, index: int, exit_code: int, settled: bool) -> None:
        pod = self._pick(index, self._live())
        if not pod.stopping and not pod.deleting:
            self.world.finish(pod, exit_code, settled=settled)

    @precondition(lambda self: any(p.exit_code is not None and p.phase == "Running" for p in self.world.pods.values()))
    @rule()
    def phase_follows_container(self) -> None:
        for pod in list(self.world.pods.values()):
            if pod.exit_code is not None and pod.phase == "Running":
                self.world.put(replace(pod, phase="Succeeded" if pod.exit_code == 0 else "Failed"))

    @precondition(lambda self: self._running())
    @rule(index=st.integers(0, 9))
    def pod_is_killed_for_memory(self, index: int) -> None:
        self.world.finish(self._pick(index, self._running()), 137, term_reason="OOMKilled")

    @precondition(lambda self: self._live())
    @rule(
        index=st.integers(0, 9),
        why=st.sampled_from(["PreemptionByScheduler", "DeletionByTaintManager", "EvictionByEvictionAPI"]),
    )
    def pod_is_disrupted(self, index: int, why: str) -> None:
        self.world.finish(self._pick(index, self._live()), 137, disruption=why, deleting=True)

    @precondition(lambda self: self._live())
    @rule(index=st.integers(0, 9))
    def node_evicts_pod(self, index: int) -> None:
        self.world.put(replace(self._pick(index, self._live()), phase="Failed", reason="Evicted", running_since=None))

    @precondition(lambda self: self._live())
    @rule(index=st.integers(0, 9), why=st.sampled_from(["unschedulable", "ImagePullBackOff", "ErrImageNeverPull"]))
    def pod_cannot_start(self, index: int, why: str) -> None:
        pod = self._pick(index, self._live())
        if pod.running_since is not None:
            return
        if why == "unschedulable":
            self.world.put(replace(pod, unschedulable_message="0/3 nodes are available"))
        else:
            self.world.put(replace(pod, scheduled=True, waiting_reason=why))

    @precondition(lambda self: self._live())
    @rule(index=st.integers(0, 9), at_once=st.booleans())
    def user_deletes_pod(self, index: int, at_once: bool) -> None:
        pod = self._pick(index, self._live())
        if at_once or not pod.scheduled:
            self.world.remove(pod)
        else:
            self.world.put(replace(pod, deleting=True))

    @precondition(lambda self: any(pod.stopping or pod.deleting for pod in self.world.pods.values()))
    @rule(index=st.integers(0, 9), exit_code=st.sampled_from([0, 137, 143]))
    def kubelet_obeys(self, index: int, exit_code: int) -> None:
        pods = [pod for pod in self.world.pods.values() if pod.stopping or pod.deleting]
        self.world.obey(self._pick(index, pods), exit_code)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            drive_to_the_end(self.world)


def drive_to_the_end(world: World) -> None:
    """From here on the cluster does what it is asked to. Then every run ends, and comes to rest."""
    world.lagging = False
    for _ in range(300):
        world.settle()
        moved = False
        for pod in list(world.pods.values()):
            if pod.deleting or (pod.stopping and is_live(pod)):
                world.obey(pod)
            elif is_live(pod) and not pod.unschedulable_message and not pod.waiting_reason:
                world.finish(pod, 0)
            else:
                continue
            moved = True
        if world.status.phase.ended and not moved:
            world.check_end()
            return
        if not moved:
            assert world.wake_at is not None, "nothing would wake this run"
            world.now = max(world.now, world.wake_at)
    raise AssertionError(f"the run does not end: {world.status}")


Histories.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=40,
    deadline=None,
    derandomize="SLUICE_HISTORIES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
TestHistories = Histories.TestCase
