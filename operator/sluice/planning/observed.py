"""What the planner is shown of the cluster: plain, frozen values made from API objects by `sluice.kube`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PodView:
    """A step's pod, reduced to what decisions are made on. All times are in UTC."""

    namespace: str
    name: str
    uid: str
    run: str
    """Name of its PipelineRun (label); empty when the pod carries no such label. The same goes for the next three."""
    run_uid: str
    step: str
    spec_hash: str
    """Hash of the intended pod (annotation), to tell our pod from another of the same name."""
    attempt: int
    """From its label; 0 when that is missing or not a number."""
    phase: str
    """Pending, Running, Succeeded, Failed or Unknown."""
    reason: str
    """Why the pod as a whole is in its phase, such as Evicted or DeadlineExceeded; mostly empty."""
    message: str
    created: datetime
    deleting: bool
    """True once deletion was asked for; the containers may go on running for their grace period."""
    stopping: bool
    """True once the operator has asked the kubelet to end it (a deadline in the past, `activeDeadlineSeconds: 1`)."""
    scheduled: bool
    unschedulable_message: str
    """The scheduler's explanation while no node fits, else empty."""
    node: str
    disruption: str
    """Why Kubernetes ended the pod before its time (PreemptionByScheduler, DeletionByTaintManager,
    EvictionByEvictionAPI, DeletionByPodGC, TerminationByKubelet), else empty."""

    # The container named `step`:
    waiting_reason: str
    """Such as ContainerCreating, ErrImagePull, ImagePullBackOff, CreateContainerConfigError; empty when it does not
    wait."""
    waiting_message: str
    running_since: datetime | None
    exit_code: int | None
    """None until it has ended."""
    term_reason: str
    """Completed, Error, OOMKilled, ContainerCannotRun and the like; empty until it has ended."""
    term_message: str
    """What it wrote to its termination log, at most 4,096 bytes."""
    started_at: datetime | None
    """When it started, once it has ended; while it runs, see `running_since`."""
    finished_at: datetime | None
    restarts: int
    deletion_asked: datetime | None = None
    """When somebody asked for the pod's deletion; whole seconds."""
