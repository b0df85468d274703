"""DataPipeline: the graph of steps, its schedule and its rules. Git owns the spec; the operator owns the status."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from sluice.api.base import (
    OPAQUE,
    Condition,
    DnsSubdomain,
    Duration,
    Identifier,
    Image,
    Json,
    Model,
    Quantity,
    StatusModel,
    Time,
    list_map,
    matching,
)
from sluice.api.commits import CommitRecord
from sluice.api.names import DNS_LABEL, MAX_STEP_NAME
from sluice.api.pod_template import Opaque, PodTemplate, StringMap, VolumeMount


def _empty(value: object) -> bool:
    return not value


ParamType = Literal["string", "integer", "number", "boolean", "array", "object"]
AnyValue = Annotated[Json, Field(json_schema_extra=OPAQUE)]

StepName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_STEP_NAME,
        json_schema_extra=matching(
            DNS_LABEL, f"must be lower-case letters, digits and -, at most {MAX_STEP_NAME} characters"
        ),
    ),
]


class Param(Model):
    """A typed parameter of the pipeline. Without a default every run has to give it."""

    name: Identifier = Field(description="Name, used as $(params.NAME).")
    type: ParamType = Field(default="string", description="Type of the value. Default: string.")
    description: str | None = Field(default=None, max_length=1024, description="What it means.")
    default: AnyValue | None = Field(default=None, description="Value of runs that do not give one.")
    enum: list[AnyValue] | None = Field(default=None, max_length=256, description="The values allowed.")
    pattern: str | None = Field(
        default=None, max_length=512, description="Regular expression that the whole of a string has to match."
    )
    minimum: float | None = Field(default=None, description="Least number allowed.")
    maximum: float | None = Field(default=None, description="Greatest number allowed.")
    min_length: int | None = Field(default=None, ge=0, description="Least length of a string or an array.")
    max_length: int | None = Field(default=None, ge=0, description="Greatest length of a string or an array.")


class CatchUp(Model):
    """What happens to ticks that passed while the operator was down or the schedule suspended."""

    policy: Literal["Skip", "Latest", "All"] = Field(
        default="Latest",
        description="Skip: missed ticks never run. Latest: only the newest. All: each, oldest first. Default: Latest.",
    )
    limit: int | None = Field(
        default=None, ge=1, le=1000, description="With All: at most so many, the newest. Default: 100."
    )


class Schedule(Model):
    """When runs start by themselves. A run starts at a tick and covers the interval since the tick before it."""

    cron: list[Annotated[str, Field(max_length=128)]] = Field(
        min_length=1, max_length=16, description="Cron lines of five fields; ticks of all of them together."
    )
    time_zone: str = Field(max_length=64, description="IANA name of the zone that the lines are read in.")
    suspend: bool | None = Field(default=None, description="True: no run starts by schedule.")
    start: Time | None = Field(default=None, description="No tick before this moment.")
    end: Time | None = Field(default=None, description="No tick after this moment.")
    catch_up: CatchUp | None = Field(default=None, description="What happens to missed ticks.")
    starting_deadline: Duration | None = Field(
        default=None, description="With Skip: a tick that is this late counts as missed. Default: 1m."
    )


class Concurrency(Model):
    """How many runs of the pipeline, and steps of a run, are under way at once."""

    policy: Literal["Allow", "Queue", "Forbid", "Replace"] = Field(
        default="Allow",
        description="What a run beyond maxActiveRuns does. Queue: waits. Forbid: ends as Cancelled. Replace: cancels the "
        "oldest run. Allow: there is no limit. Default: Allow.",
    )
    max_active_runs: int | None = Field(
        default=None, ge=1, le=1000, description="Runs at once, with Queue, Forbid and Replace. Default: 1."
    )
    max_active_steps: int | None = Field(default=None, ge=1, le=1000, description="Pods of one run at once.")


class Timeouts(Model):
    """The separate clocks of a run."""

    queue: Duration | None = Field(
        default=None, description="From a run's creation to its start, while others are under way. Default: 24h."
    )
    run: Duration | None = Field(default=None, description="From a run's start to its last step. Default: 24h.")
    pending: Duration | None = Field(
        default=None, description="From a pod's creation to its container's start: scheduling, image. Default: 10m."
    )
    step: Duration | None = Field(
        default=None, description="From a container's start to its end, each attempt. Default: none but the run's."
    )
    finally_: Duration | None = Field(
        default=None, alias="finally", description="For all finally steps together. Default: 1h."
    )


class StepTimeouts(Model):
    """Clocks of one step, over those of the pipeline."""

    pending: Duration | None = Field(default=None, description="From a pod's creation to its container's start.")
    step: Duration | None = Field(default=None, description="From a container's start to its end, each attempt.")


class Backoff(Model):
    """Waiting time before a retry: duration x factor^(retry - 1), at most cap, plus or minus jitter."""

    duration: Duration = Field(default="10s", description="Before the first retry. Default: 10s.")
    factor: float | None = Field(default=None, ge=1, le=100, description="Growth from retry to retry. Default: 2.")
    cap: Duration | None = Field(default=None, description="Longest waiting time. Default: 5m.")
    jitter: float | None = Field(
        default=None, ge=0, le=1, description="Share of the waiting time by which it may differ. Default: 0.1."
    )


class Retry(Model):
    """Retries of a step whose container failed."""

    limit: int = Field(ge=0, le=100, description="Retries after the first attempt.")
    backoff: Backoff | None = Field(default=None, description="Waiting time between attempts.")


class Output(Model):
    """A small value that a step hands on. The step writes one JSON object with it to /dev/termination-log."""

    name: Identifier = Field(description="Key in the JSON object, used as $(steps.STEP.outputs.NAME).")
    type: ParamType | None = Field(default=None, description="Type of the value. Default: any.")
    default: AnyValue | None = Field(default=None, description="Value where the step did not give one.")
    description: str | None = Field(default=None, max_length=1024, description="What it means.")


class EnvVar(Model):
    """An environment variable."""

    name: str = Field(min_length=1, max_length=256, description="Name of the variable.")
    value: str | None = Field(default=None, max_length=32768, description="Value; may hold $(...) references.")
    value_from: Opaque | None = Field(
        default=None, description="Source of the value: secretKeyRef, configMapKeyRef, fieldRef, resourceFieldRef."
    )


class EnvFrom(Model):
    """Environment variables from all keys of a ConfigMap or a Secret."""

    prefix: str | None = Field(default=None, max_length=256, description="Put before each name.")
    config_map_ref: Opaque | None = Field(default=None, description="{name, optional}.")
    secret_ref: Opaque | None = Field(default=None, description="{name, optional}.")


class Resources(Model):
    """Requests and limits of the container."""

    requests: dict[str, Quantity] = Field(default={}, description="What the scheduler sets aside.")
    limits: dict[str, Quantity] = Field(default={}, description="What the container may not exceed.")


class Spot(Model):
    """Cheaper nodes that may be taken away at any time. They are tried first; then the step goes to other nodes."""

    node_selector: StringMap = Field(default={}, description="Labels of such nodes.")
    tolerations: list[Opaque] = Field(default=[], max_length=32, description="Taints of such nodes.")
    attempts: int | None = Field(
        default=None, ge=1, le=10, description="How many of the first attempts are made there. Default: 1."
    )
    wait: Duration | None = Field(
        default=None, description="How long a pod waits for such a node before the step goes elsewhere. Default: 2m."
    )


class Hold(Model):
    """What a step does while its gate knows nothing: it looks again."""

    interval: Duration | None = Field(default=None, description="From one look at the data to the next. Default: 1m.")
    limit: Duration | None = Field(
        default=None, description="How long it is held before the step fails. Default: 1h. Metrics count as well."
    )
    alert_after: Duration | None = Field(
        default=None, description="How long it is held before an Event says so. Default: 1m."
    )


class GateUse(Model):
    """A QualityGate as a step: the step succeeds only when the gate says that the run may go on."""

    name: DnsSubdomain = Field(description="Name of the QualityGate, in the same namespace.")
    sources: dict[str, Annotated[str, Field(max_length=2048)]] = Field(
        default={},
        description="Where the gate's data sets lie, over what the gate says; may hold $(...) references. A data set "
        "that has the name of a step upstream lies by default at that step's output uri.",
    )
    args: dict[str, Annotated[str, Field(max_length=1024)]] = Field(
        default={}, description="Values for $(args.NAME) in the gate; may hold $(...) references."
    )
    quarantine: str | None = Field(
        default=None,
        max_length=2048,
        description="Folder for the rows that the gate sets aside; may hold $(...) references.",
    )
    passing: str | None = Field(
        default=None,
        max_length=2048,
        description="Parquet file for the rows that are not set aside, written when the gate lets the run go on; it is "
        "the step's output uri. May hold $(...) references.",
    )
    report: str | None = Field(
        default=None,
        max_length=2048,
        description="Folder for report.json and report.html; may hold $(...) references. The step's log has the "
        "report as well.",
    )
    hold: Hold | None = Field(default=None, description="What happens while nothing is known.")


class Step(Model):
    """One pod of the graph: a container, or a gate."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": "has(self.image) || has(self.gate)",
                    "message": "a step has an image or a gate",
                    "reason": "FieldValueRequired",
                    "fieldPath": ".image",
                },
                {
                    "rule": "!has(self.gate) || !(has(self.image) || has(self.command) || has(self.args) || has(self.outputs))",
                    "message": "a step with a gate has no image, command, args or outputs of its own",
                },
            ]
        }
    )

    name: StepName = Field(description="Name, unique among steps and finally steps.")
    image: Image | None = Field(default=None, description="Container image.")
    gate: GateUse | None = Field(default=None, description="The gate that the step waits for.")
    depends_on: list[StepName] = Field(
        default=[],
        max_length=256,
        description="Steps that have to succeed before this one starts.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    command: list[Annotated[str, Field(max_length=8192)]] = Field(
        default=[], max_length=256, description="Entry point; may hold $(...) references."
    )
    args: list[Annotated[str, Field(max_length=8192)]] = Field(
        default=[], max_length=256, description="Arguments; may hold $(...) references."
    )
    env: list[EnvVar] = Field(
        default=[], max_length=256, description="Environment variables.", json_schema_extra=list_map()
    )
    env_from: list[EnvFrom] = Field(default=[], max_length=32, description="Environment variables from objects.")
    working_dir: str | None = Field(default=None, max_length=1024, description="Folder to start in.")
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = Field(
        default=None, description="When the image is pulled."
    )
    resources: Resources | None = Field(default=None, description="Requests and limits.")
    volume_mounts: list[VolumeMount] = Field(
        default=[],
        max_length=64,
        description="Where volumes of the pod template appear.",
        json_schema_extra=list_map("mountPath"),
    )
    security_context: Opaque | None = Field(
        default=None, description="Container security context, merged over the restricted default."
    )
    retry: Retry | None = Field(default=None, description="Retries. Default: none.")
    timeouts: StepTimeouts | None = Field(default=None, description="Clocks of this step.")
    outputs: list[Output] = Field(
        default=[],
        max_length=64,
        description="Values that the step promises. When given, no other output of it can be referred to.",
        json_schema_extra=list_map(),
    )
    pod_template: PodTemplate | None = Field(default=None, description="Merged over the pipeline's.")
    spot: Spot | None = Field(default=None, description="Nodes to try first, for a step that bears to lose its pod.")


class Retention(Model):
    """How many ended runs are kept. A run's pods, and so its logs, are kept as long as the run."""

    succeeded: int | None = Field(default=None, ge=0, le=10000, description="Succeeded runs. Default: 10.")
    failed: int | None = Field(default=None, ge=0, le=10000, description="Failed and cancelled runs. Default: 10.")


class DataPipelineSpec(Model):
    """What the user wants."""

    description: str | None = Field(default=None, max_length=4096, description="What the pipeline is for.")
    params: list[Param] = Field(
        default=[], max_length=64, description="Typed parameters.", json_schema_extra=list_map()
    )
    schedule: Schedule | None = Field(default=None, description="When runs start by themselves.")
    concurrency: Concurrency | None = Field(default=None, description="Runs and steps at once.")
    timeouts: Timeouts | None = Field(default=None, description="Clocks of every run.")
    retention: Retention | None = Field(default=None, description="How many ended runs are kept.")
    pod_template: PodTemplate | None = Field(default=None, description="What all pods have in common.")
    steps: list[Step] = Field(min_length=1, max_length=256, description="The graph.", json_schema_extra=list_map())
    finally_: list[Step] = Field(
        default=[],
        alias="finally",
        max_length=32,
        description="Steps that run after all others, whatever became of them.",
        json_schema_extra=list_map(),
    )

    def all_steps(self) -> tuple[Step, ...]:
        """Steps and finally steps, in the order of the spec."""
        return (*self.steps, *self.finally_)


class RevisionStatus(StatusModel):
    """The current revision."""

    name: str = Field(description="Name of the ControllerRevision.")
    number: int = Field(description="Counts up with every change of the spec.")


class LastRun(StatusModel):
    """The newest run."""

    name: str = Field(description="Name of the PipelineRun.")
    phase: str = Field(description="Its phase.")
    finished_at: Time | None = Field(default=None, description="When it ended.")


class Delivery(StatusModel):
    """A revision whose first run has succeeded."""

    revision: str = Field(description="Name of the ControllerRevision.")
    run: str = Field(description="The run.")
    commit: str = Field(default="", exclude_if=_empty, description="Id of the commit, as far as it is known.")
    commit_time: Time | None = Field(default=None, description="When it was committed.")
    delivered_at: Time = Field(description="When the run ended.")
    again: Literal[True] | None = Field(
        default=None,
        description="True: the revision had been delivered before, so that this takes back what came after it.",
    )


class DataPipelineStatus(StatusModel):
    """What the operator sees."""

    observed_generation: int | None = Field(default=None, description="Generation of the spec that was acted on.")
    revision: RevisionStatus | None = Field(default=None, description="The current revision.")
    commit: str | None = Field(
        default=None, description="Where the revision comes from: the first digits of the commit."
    )
    revision_commit: CommitRecord | None = Field(default=None, description="The commit of the revision.")
    schedule: str | None = Field(default=None, description="The schedule in one line.")
    last_tick: Time | None = Field(
        default=None, description="The newest tick that was dealt with, or when the schedule began."
    )
    next_run: Time | None = Field(default=None, description="The next tick.")
    next: str | None = Field(
        default=None, description="The same on the clock of the schedule's zone, or why there is none."
    )
    active_runs: int = Field(default=0, description="Runs that have not ended.")
    last_run: LastRun | None = Field(default=None, description="The newest run.")
    deliveries: tuple[Delivery, ...] = Field(
        default=(),
        exclude_if=_empty,
        description="Revisions whose first run has succeeded, newest last, the last fifty.",
    )
    health: str | None = Field(default=None, description="Healthy, Failing, Suspended or Invalid.")
    conditions: tuple[Condition, ...] = Field(
        default=(), description="Ready, Reconciling, Stalled.", json_schema_extra=list_map("type")
    )


class DataPipeline(Model):
    """The kind, as the CRD states it."""

    spec: DataPipelineSpec
    status: DataPipelineStatus | None = None
