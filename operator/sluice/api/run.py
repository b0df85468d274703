"""PipelineRun: one execution of a DataPipeline for one data interval and one revision."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from sluice.api.base import Condition, Model, ObjectName, StatusModel, Time, list_map, matching, validations
from sluice.api.names import MAX_LABEL
from sluice.api.pipeline import AnyValue, StepName

RunName = Annotated[
    str,
    Field(
        max_length=MAX_LABEL,
        json_schema_extra=matching("^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", "must be lower-case letters, digits, - and ."),
    ),
]


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


class Rerun(Model):
    """What of another run is run again."""

    of: RunName = Field(
        description="The run: of the same pipeline, ended. Revision, parameters and interval are taken from it."
    )
    from_: list[StepName] = Field(
        default=[],
        alias="from",
        max_length=256,
        description="Steps that run again though they succeeded, with all that is downstream of them. What did not succeed "
        "runs again in any case.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


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
    rerun: Rerun | None = Field(
        default=None,
        description="Make this a rerun of an ended run: what succeeded there is taken over, the rest runs again.",
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


class CheckFound(StatusModel):
    """A check of a gate that did not pass."""

    name: str = Field(description="Name of the check.")
    outcome: str = Field(description="Warn, Fail, Inconclusive or Error.")
    message: str = Field(default="", description="What was found, and what is allowed.")
    value: float | None = Field(default=None, description="The measured number.")


class CheckTally(StatusModel):
    """What the looks at a check on a metric have come to so far. Written when a look fails or there is no evidence."""

    name: str = Field(description="Name of the check.")
    conclusive: int = Field(default=0, description="Looks that were evidence.")
    in_row: int = Field(default=0, description="Failed looks in a row.")
    total: int = Field(default=0, description="Failed looks in all.")
    first_at: Time | None = Field(default=None, description="First look.")
    last_at: Time | None = Field(default=None, description="Newest look.")
    last_failure: Time | None = Field(default=None, description="Newest failed look.")
    known_at: Time | None = Field(default=None, description="Newest look that was evidence.")
    newest: str | None = Field(default=None, description="What the newest look came to.")
    value: float | None = Field(default=None, description="The newest number.")
    message: str = Field(default="", description="What the newest look found.")
    failed: str = Field(default="", description="Why the check has failed for good.")


class GatePart(StatusModel):
    """What the checks on data came to, as their pod said."""

    verdict: str = Field(description="Pass, Warn, Fail, Inconclusive or Error.")
    score: float = Field(default=0.0, description="0 to 100.")
    weight: float = Field(default=0.0, description="Sum of the weights of the checks that count.")
    counting: int = Field(default=0, description="Number of checks that count.")
    worst: str | None = Field(default=None, description="The check that decided, unless all passed.")
    message: str = Field(default="", description="The verdict for people.")


class GateResult(StatusModel):
    """What the gate of a step came to."""

    name: str = Field(description="Name of the QualityGate.")
    uid: str = Field(default="", description="Its UID.")
    generation: int = Field(default=0, description="Generation of its spec that is evaluated.")
    since: Time | None = Field(default=None, description="When the step began to evaluate it.")
    verdict: str | None = Field(default=None, description="Pass, Warn, Fail, Inconclusive or Error.")
    decision: str | None = Field(default=None, description="Continue, Stop or Hold.")
    score: float | None = Field(default=None, description="0 to 100: the weighted share of checks that passed.")
    worst_check: str | None = Field(default=None, description="The check that decided, unless all passed.")
    message: str | None = Field(default=None, description="The verdict for people.")
    dry_run: bool | None = Field(default=None, description="True: the verdict stops nothing.")
    evaluated_at: Time | None = Field(default=None, description="When it was evaluated.")
    held_since: Time | None = Field(default=None, description="Since when there has been no evidence.")
    alerted_at: Time | None = Field(default=None, description="When an Event said so.")
    data: GatePart | None = Field(default=None, description="What the checks on data came to.")
    checks: tuple[CheckFound, ...] = Field(
        default=(),
        exclude_if=_empty,
        description="Checks that did not pass, worst first.",
        json_schema_extra=list_map(),
    )
    tallies: tuple[CheckTally, ...] = Field(
        default=(), exclude_if=_empty, description="Checks on metrics.", json_schema_extra=list_map()
    )


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
    gate: GateResult | None = Field(default=None, description="What the gate of the step came to.")
    retries: int = Field(default=0, exclude_if=_empty, description="Retries used of the step's own.")
    infrastructure_retries: int = Field(
        default=0, exclude_if=_empty, description="Retries used for failures of the cluster."
    )
    taken_from: str | None = Field(
        default=None,
        description="In a rerun: the run that the step succeeded in. All that is said of the step, its pod too, is of that run.",
    )
    failures: tuple[AttemptFailure, ...] = Field(
        default=(), exclude_if=_empty, description="Earlier attempts, the last five."
    )


class RerunOf(StatusModel):
    """The run that steps were taken over from."""

    name: str = Field(description="Name of the PipelineRun.")
    uid: str = Field(description="Its UID.")


class PipelineRunStatus(StatusModel):
    """What became of the run. Readable after its pods are gone."""

    observed_generation: int | None = Field(default=None, description="Generation of the spec that was acted on.")
    phase: RunPhase = Field(default=RunPhase.PENDING, description="Where the run stands.")
    reason: str | None = Field(default=None, description="One word: why.")
    message: str | None = Field(default=None, description="The same for people.")
    revision: str | None = Field(default=None, description="ControllerRevision that is run.")
    interval: Interval | None = Field(default=None, description="The data interval.")
    params: dict[str, AnyValue] | None = Field(default=None, description="All parameters with their values.")
    rerun_of: RerunOf | None = Field(default=None, description="The run that this one is a rerun of.")
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
