"""A small world for the tests of plan_run: an API that holds a run and its pods, a kubelet, an executor that may crash.

The executor applies a plan in its order (`before`, status, `after`) and can be stopped before any of these writes. What
the planner is shown afterwards is what was stored. Pods are seen through a cache, which may lag behind.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sluice.api import names
from sluice.api.pipeline import DataPipelineSpec
from sluice.api.reasons import Reason
from sluice.api.run import PipelineRunStatus, RunPhase, StepPhase, StepStatus
from sluice.planning.actions import Action, CreatePod, StopPod
from sluice.planning.graph import ancestors
from sluice.planning.observed import PodView
from sluice.planning.retries import INFRASTRUCTURE_RETRIES
from sluice.planning.run import RunPlan, plan_run
from sluice.planning.views import Refusal, RunView
from tests.builders import NOW, pipeline_view, pod_view, revision_view, run_scene, run_view

NEVER = 10**6


def is_live(pod: PodView) -> bool:
    """Whether the pod's container runs or may still come to run."""
    return pod.phase in ("Pending", "Running") and pod.exit_code is None


class World:
    """One run of one pipeline, with all rules that must hold checked on every write."""

    def __init__(
        self,
        spec: DataPipelineSpec,
        *,
        origin: RunView | None = None,
        from_: Sequence[str] = (),
        name: str = "flights-1",
    ) -> None:
        self.spec = spec
        self.name = name
        self.origin = origin
        """The run that this one is a rerun of."""
        self.from_ = list(from_)
        self.now = NOW
        self.cancel = False
        self.status = PipelineRunStatus()
        self.pods: dict[str, PodView] = {}
        self.cache: dict[str, PodView] = {}
        self.lagging = False
        self.has_lagged = False
        self.refusals: dict[str, Refusal] = {}
        self.refused_steps: set[str] = set()
        self.created: list[tuple[str, int]] = []
        self.status_writes = 0
        self.wake_at: datetime | None = None
        self._uids = 0

    # -- the API server's side ---------------------------------------------------------------------------------------

    def view(self) -> RunView:
        """The run as it is stored."""
        spec: dict[str, Any] = {"cancel": True} if self.cancel else {}
        if self.origin is not None:
            spec["rerun"] = {"of": self.origin.name, "from": self.from_}
        return run_view(self.name, spec=spec, status=self.status)

    def put(self, pod: PodView) -> None:
        """A pod changed."""
        self.pods[pod.name] = pod

    def remove(self, pod: PodView) -> None:
        """A pod is gone."""
        del self.pods[pod.name]

    def pod(self, step: str) -> PodView:
        """The newest pod of a step."""
        return max((pod for pod in self.pods.values() if pod.step == step), key=lambda pod: pod.attempt)

    def step(self, name: str) -> StepStatus:
        """The status of a step."""
        return next(step for step in self.status.steps if step.name == name)

    # -- the operator's side -----------------------------------------------------------------------------------------

    def plan(self) -> RunPlan:
        """What the planner says now; it has to say so twice."""
        self.has_lagged |= self.lagging
        if not self.lagging:
            self.cache = dict(self.pods)
        scene = run_scene(
            self.spec,
            run=self.view(),
            pipeline=pipeline_view(self.spec),
            revision=revision_view(self.spec),
            origin=self.origin if self.status.started_at is None else None,
            pods=tuple(pod for pod in self.cache.values() if pod.run_uid == self.view().uid),
            refusals=dict(self.refusals),
            now=self.now,
        )
        plan = plan_run(scene)
        assert plan_run(replace(scene, run=self.view())) == plan, "the same scene gives the same plan"
        self._check_wake(plan)
        return plan

    def look(self, writes: int = NEVER, *, backwards: bool = False, deaf: bool = False) -> RunPlan:
        """Plan, then apply at most so many writes of it; fewer than it has is a crash.

        What comes after the status is done side by side: `backwards` is another order of it.
        `deaf`: what the API server answers is lost, so the cache learns of new pods only when it catches up.
        """
        plan = self.plan()
        todo: list[Action | PipelineRunStatus] = [*plan.before]
        if plan.status is not None:
            todo.append(plan.status)
        todo.extend(reversed(plan.after) if backwards else plan.after)
        for write in todo[:writes]:
            match write:
                case PipelineRunStatus():
                    self._write_status(write)
                case CreatePod():
                    self._create(write)
                    if not deaf:
                        self._read_back(write.manifest["metadata"]["name"])
                case StopPod():
                    self._stop(write)
                    self._read_back(write.name)
                case _:
                    raise AssertionError(f"unexpected {write}")
        self.wake_at = plan.wake_at
        if writes < len(todo):
            self.crash()
        return plan

    def _read_back(self, name: str) -> None:
        """The executor puts what the API server answers into the cache."""
        if name in self.pods:
            self.cache[name] = self.pods[name]

    def crash(self) -> None:
        """The operator starts anew: what it only remembered is gone, its cache is filled from the API server."""
        self.refusals = {}
        self.cache = dict(self.pods)

    def settle(self) -> None:
        """Look until there is nothing to do at this moment."""
        for _ in range(6):
            known = dict(self.refusals)
            plan = self.look()
            if plan.status is None and self.refusals == known and not any(map(self._is_news, plan.after)):
                return
        raise AssertionError(f"the planner does not come to rest: {plan}")

    def _is_news(self, action: Action) -> bool:
        """Whether it will change the cache; what is repeated because the cache stands still is no news."""
        match action:
            case CreatePod():
                return action.manifest["metadata"]["name"] not in self.pods
            case StopPod():
                return not self.lagging
            case _:
                return True

    def _write_status(self, written: PipelineRunStatus) -> None:
        before = self.status
        status = PipelineRunStatus.model_validate(json.loads(json.dumps(written.to_dict())))
        assert status.to_dict() != before.to_dict(), "a status is written only when it changed"
        assert not before.phase.ended, "a run that has ended is not touched"
        old = {step.name: step for step in before.steps}
        for step in status.steps:
            known = old.get(step.name, StepStatus(name=step.name))
            assert not known.phase.ended or known == step, f"{step.name} had ended"
            assert step.attempt >= known.attempt
            if step.taken_from is not None:
                self._check_taken_over(step, before)
                continue
            assert step.attempt - known.attempt <= 1, "an attempt is on record before the next one"
        if before.outcome is not None:
            assert status.outcome == before.outcome, "the outcome does not change"
        if status.phase.ended and before.started_at is not None:
            assert all(step.phase.ended for step in status.steps)
        self.status = status
        self.status_writes += 1

    def _create(self, action: CreatePod) -> None:
        metadata = action.manifest["metadata"]
        name, spec_hash = metadata["name"], metadata["annotations"][names.ANNOTATION_SPEC_HASH]
        recorded = self.step(action.step)
        assert (recorded.pod, recorded.attempt, recorded.phase.live) == (name, action.attempt, True), "it is on record"
        if name in self.pods:
            if self.pods[name].spec_hash != spec_hash:
                self.refusals[name] = Refusal(name, "another pod has this name", Reason.NAME_TAKEN, self.now)
            return
        if action.step in self.refused_steps:
            problem = "spec.containers[0].image: Invalid value"
            self.refusals[name] = Refusal(name, problem, Reason.POD_REJECTED, self.now)
            return
        self._check_creation(action)
        self._uids += 1
        pod = pod_view(
            name=name,
            uid=f"pod-{self._uids}",
            run=self.name,
            run_uid=self.view().uid,
            step=action.step,
            attempt=action.attempt,
            spec_hash=spec_hash,
            created=self.now.replace(microsecond=0),
        )
        self.put(pod)
        self.created.append((action.step, action.attempt))

    def _stop(self, action: StopPod) -> None:
        pod = self.pods.get(action.name)
        if pod is None or pod.uid != action.uid:
            return
        if not action.delete:
            self.put(replace(pod, stopping=True))
        elif pod.scheduled:
            self.put(replace(pod, deleting=True))
        else:
            self.remove(pod)

    # -- the rules ---------------------------------------------------------------------------------------------------

    def _check_creation(self, action: CreatePod) -> None:
        """A pod that is really new: whether it may be."""
        states = {step.name: step.phase for step in self.status.steps}
        spec = next(step for step in self.spec.all_steps() if step.name == action.step)
        mine = [pod for pod in self.pods.values() if pod.step == action.step]
        assert not any(map(is_live, mine)), f"{action.step} has a live pod already"
        assert not any(pod.phase == "Succeeded" for pod in mine), f"{action.step} has succeeded already"
        for above in spec.depends_on:
            assert states[above] is StepPhase.SUCCEEDED, f"{action.step} starts before {above} has succeeded"
        assert self.step(action.step).pod_uid is None, "an attempt whose pod was seen gets no other"
        assert action.attempt == 1 or (action.step, action.attempt - 1) in self.created, "no attempt is passed over"
        limit = spec.retry.limit if spec.retry is not None else 0
        assert action.attempt <= 1 + limit + INFRASTRUCTURE_RETRIES, f"{action.step} has too many attempts"
        if spec in self.spec.finally_:
            assert all(states[step.name].ended for step in self.spec.steps), "finally steps come last"
            if not self.has_lagged:
                ordinary = {step.name for step in self.spec.steps}
                assert not any(is_live(pod) for pod in self.pods.values() if pod.step in ordinary)
        else:
            assert not self.status.phase.ended
            assert self.status.phase is RunPhase.RUNNING
        limit = self.spec.concurrency.max_active_steps if self.spec.concurrency is not None else None
        if limit is not None and not self.has_lagged:
            assert sum(map(is_live, self.pods.values())) < limit, "maxActiveSteps"

    def _check_taken_over(self, step: StepStatus, before: PipelineRunStatus) -> None:
        """A step that did not run here: whether it may be taken over, and whether nothing of it is lost."""
        if before.started_at is not None:
            assert step in before.steps, "steps are taken over when the run starts, and never again"
            return
        assert self.origin is not None
        states = {row.name: row for row in self.origin.status.steps}
        graph = {row.name: row.depends_on for row in self.spec.steps}
        assert step.name in graph, "finally steps are never taken over"
        for name in {step.name, *ancestors(graph, step.name)}:
            assert states[name].phase is StepPhase.SUCCEEDED, f"{step.name} stands on {name}, which did not succeed"
            assert name not in self.from_, f"{step.name} is downstream of {name}, which is to run again"
        was = states[step.name]
        assert step.taken_from == (was.taken_from or self.origin.name)
        assert step.model_copy(update={"taken_from": was.taken_from}) == was, "all that is known of it is kept"

    def _check_wake(self, plan: RunPlan) -> None:
        status = plan.status or self.status
        if plan.status is not None or plan.after:
            return
        due = [step.retry_at for step in status.steps if step.retry_at is not None and step.retry_at > self.now]
        assert not due or (plan.wake_at is not None and plan.wake_at <= min(due)), "a retry would come late"
        assert plan.wake_at is None or plan.wake_at > self.now, "it would be woken again and again for nothing"
        waits_for_pods = any(step.phase.live for step in status.steps)
        assert status.phase.ended or plan.wake_at is not None or waits_for_pods, "nothing would wake this run"

    def check_end(self) -> None:
        """What holds of a run that has ended and been looked at since."""
        assert self.status.phase.ended
        plan = self.plan()
        assert (plan.status, plan.before, plan.after, plan.wake_at) == (None, (), (), None), "it has converged"
        assert not any(is_live(pod) and not pod.stopping and not pod.deleting for pod in self.pods.values())
        if self.status.started_at is None:
            assert not self.created
            return
        started = {step for step, _ in self.created}
        for step in self.spec.finally_:
            state = self.step(step.name)
            assert state.phase.ended
            if not step.depends_on and step.name not in self.refused_steps:
                assert step.name in started or state.reason == "FinallyTimedOut", f"{step.name} did not run"
        succeeded = all(step.phase is StepPhase.SUCCEEDED for step in self.status.steps)
        assert (self.status.phase is RunPhase.SUCCEEDED) == succeeded

    # -- the kubelet's side ------------------------------------------------------------------------------------------

    def schedule(self, pod: PodView) -> None:
        """The pod gets a node."""
        self.put(replace(pod, scheduled=True, node="n1", unschedulable_message="", waiting_reason="ContainerCreating"))

    def start(self, pod: PodView) -> None:
        """Its container starts."""
        since = self.now.replace(microsecond=0)
        self.put(replace(pod, phase="Running", scheduled=True, node="n1", waiting_reason="", running_since=since))

    def end(self, pod: PodView, exit_code: int, *, settled: bool = True, **fields: Any) -> None:
        """Its container ends; with `settled` the phase of the pod says so too."""
        phase = ("Succeeded" if exit_code == 0 else "Failed") if settled else "Running"
        ended = replace(
            pod,
            phase=phase,
            scheduled=True,
            running_since=None,
            waiting_reason="",
            exit_code=exit_code,
            term_reason="Completed" if exit_code == 0 else "Error",
            started_at=pod.running_since,
            finished_at=self.now.replace(microsecond=0),
        )
        self.put(replace(ended, **fields))

    def finish(self, pod: PodView, exit_code: int, **fields: Any) -> None:
        """The pod ends, having started if it had not."""
        if pod.running_since is None:
            self.start(pod)
        self.end(self.pods[pod.name], exit_code, **fields)

    def obey(self, pod: PodView, exit_code: int = 143) -> None:
        """The kubelet ends what it was asked to end."""
        if pod.deleting:
            self.remove(pod)
        elif is_live(pod):
            self.put(
                replace(
                    pod,
                    phase="Failed",
                    reason="DeadlineExceeded",
                    message="Pod was active on the node longer than the specified deadline",
                    exit_code=exit_code if pod.running_since is not None else None,
                    term_reason="Error" if pod.running_since is not None else "",
                    running_since=None,
                    started_at=pod.running_since,
                    finished_at=self.now.replace(microsecond=0),
                )
            )

    def advance(self, **lengths: float) -> None:
        """Time passes."""
        self.now += timedelta(**lengths)
