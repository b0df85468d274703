"""PipelineRun: one execution of a DataPipeline for one data interval and one revision."""

from enum import StrEnum

from pydantic import Field

from sluice.api.base import Condition, Model, ObjectName, StatusModel, Time, list_map, validations
from sluice.api.pipeline import AnyValue


def _empty(value: object) -> bool:
    return not value


class RunPhase(StrEnum):
    """Where a run stands."""

    PENDING = "Pending"
    RUNNING = "Running"
    FINALIZING = "Finalizing"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"

    @property
    def ended(self) -> bool:
        """True once nothing more happens to the run."""
        return self in (RunPhase.SUCCEEDED, RunPhase.FAILED, RunPhase.CANCELLED)


class StepPhase(StrEnum):
    """Where a step stands. The words for the end of a step are Airflow's task states."""

    WAITING = "Waiting"
    PENDING = "Pending"
    RUNNING = "Running"
    RETRYING = "Retrying"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    UPSTREAM_FAILED = "UpstreamFailed"
    SKIPPED = "Skipped"
    CANCELLED = "Cancelled"

    @property
    def ended(self) -> bool:
        """True once no further attempt of the step is made."""
        return self not in (StepPhase.WAITING, StepPhase.PENDING, StepPhase.RUNNING, StepPhase.RETRYING)

    @property
    def live(self) -> bool:
        """True while an attempt has, or is about to have, a pod."""
        return self in (StepPhase.PENDING, StepPhase.RUNNING)


class Interval(Model):
    """A data interval: from start (included) to end (excluded)."""

    start: Time = Field(description="Begin of the data.")
    end: Time = Field(description="End of the data, not included.")


class PipelineRunSpec(Model):
    """What is to be run. Nothing of it but `cancel` can be changed later."""

    pipeline: ObjectName = Field(description="The DataPipeline, in the same namespace.")
    revision: str | None = Field(
        default=None, max_length=253, description="ControllerRevision to run. Default: the current one."
    )
    params: dict[str, AnyValue] = Field(default={}, description="Values of the pipeline's parameters.")
    interval: Interval | None = Field(
        default=None,
        description="The data interval. Default: the last complete interval of the schedule, else the moment of creation.",
        json_schema_extra=validations(("timestamp(self.start) <= timestamp(self.end)", "start must not be after end")),
    )
    cancel: bool | None = Field(
        default=None, description="True: end the run. Steps under way are stopped, finally steps run."
    )


class AttemptFailure(StatusModel):
    """Why an earlier attempt of a step failed."""

    attempt: int = Field(description="Number of the attempt, from 1.")
    reason: str = Field(description="One word.")
    message: str = Field(default="", description="The same for people.")
    exit_code: int | None = Field(default=None, description="Exit code of the container.")
    finished_at: Time | None = Field(default=None, description="When it ended.")


class StepStatus(StatusModel):
    """State of one step."""

    name: str = Field(description="Name of the step.")
    phase: StepPhase = Field(default=StepPhase.WAITING, description="Where it stands.")
    reason: str | None = Field(default=None, description="One word: why.")
    message: str | None = Field(default=None, description="The same for people.")
    attempt: int = Field(default=0, description="Number of the newest attempt; 0 before the first.")
    pod: str | None = Field(default=None, description="Pod of the newest attempt.")
    pod_uid: str | None = Field(default=None, description="Its UID, once it was seen.")
    launched_at: Time | None = Field(default=None, description="When the newest attempt was decided.")
    started_at: Time | None = Field(default=None, description="When its container started.")
    finished_at: Time | None = Field(default=None, description="When the step ended.")
    retry_at: Time | None = Field(default=None, description="When the next attempt is due.")
    exit_code: int | None = Field(default=None, description="Exit code of the newest attempt.")
    stopping: str | None = Field(default=None, description="Why the operator is stopping the newest attempt.")
    outputs: dict[str, AnyValue] | None = Field(default=None, description="Values that the step handed on.")
    retries: int = Field(default=0, exclude_if=_empty, description="Retries used of the step's own.")
    infrastructure_retries: int = Field(
        default=0, exclude_if=_empty, description="Retries used for failures of the cluster."
    )
    failures: tuple[AttemptFailure, ...] = Field(
        default=(), exclude_if=_empty, description="Earlier attempts, the last five."
    )


class PipelineRunStatus(StatusModel):
    """What became of the run. Readable after its pods are gone."""

    observed_generation: int | None = Field(default=None, description="Generation of the spec that was acted on.")
    phase: RunPhase = Field(default=RunPhase.PENDING, description="Where the run stands.")
    reason: str | None = Field(default=None, description="One word: why.")
    message: str | None = Field(default=None, description="The same for people.")
    revision: str | None = Field(default=None, description="ControllerRevision that is run.")
    interval: Interval | None = Field(default=None, description="The data interval.")
    params: dict[str, AnyValue] | None = Field(default=None, description="All parameters with their values.")
    started_at: Time | None = Field(default=None, description="When the run started.")
    finalizing_at: Time | None = Field(default=None, description="When the last ordinary step had ended.")
    finished_at: Time | None = Field(default=None, description="When the run ended.")
    outcome: RunPhase | None = Field(
        default=None, description="What the ordinary steps came to; what finally steps see as $(run.outcome)."
    )
    progress: str | None = Field(default=None, description="Steps ended / steps in all.")
    duration: str | None = Field(default=None, description="From start to end.")
    steps: tuple[StepStatus, ...] = Field(default=(), description="State of each step.", json_schema_extra=list_map())
    conditions: tuple[Condition, ...] = Field(
        default=(), description="Succeeded, Reconciling, Stalled.", json_schema_extra=list_map("type")
    )


class PipelineRun(Model):
    """The kind, as the CRD states it."""

    spec: PipelineRunSpec
    status: PipelineRunStatus | None = None
