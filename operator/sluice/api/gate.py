"""QualityGate: checks on data and on metrics, how much each counts, and what they come to together."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from sluice.api.base import Condition, Duration, Model, StatusModel, Time, list_map, validations
from sluice.api.data_checks import ColumnName, DataCheck, Fraction, NumberBounds
from sluice.api.pipeline import AnyValue

CheckName = Annotated[str, Field(min_length=1, max_length=63)]

SeverityName = Literal["Block", "Warn", "Info"]
NoDataName = Literal["Hold", "Fail", "Count"]
ReduceName = Literal["min", "max", "sum", "avg"]
OverTimeName = Literal["last", "min", "max", "avg"]
MeasureName = Literal["SuccessRate", "ErrorRate", "Latency", "Rate"]


class RangeWindow(Model):
    """A range query: samples over a window of time, which come to one number."""

    window: Duration = Field(description="How far back from the moment of the look.")
    step: Duration | None = Field(default=None, description="Distance of the samples. Default: 15s.")
    over: OverTimeName | None = Field(
        default=None, description="What the samples of a series come to: last, min, max or avg. Default: avg."
    )


class FailureLimit(Model):
    """How many looks may fail before the check does."""

    consecutive: int | None = Field(default=None, ge=0, le=1000, description="In a row. Default: 0.")
    total: int | None = Field(default=None, ge=0, le=10000, description="In all. Default: no limit but consecutive.")


class Requests(Model):
    """What the proxy in front of a canary's Services has counted of the requests to one of them."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            ("!has(self.quantile) || self.measure == 'Latency'", "quantile is for measure: Latency only")
        )
    )

    measure: MeasureName = Field(
        description="SuccessRate or ErrorRate: share of the requests that did not fail, or failed, 0 to 1. Latency: in "
        "seconds. Rate: requests a second."
    )
    of: Literal["Candidate", "Stable"] | None = Field(
        default=None, description="Whose requests: the candidate's Service or the user's. Default: Candidate."
    )
    quantile: float | None = Field(
        default=None, ge=0.01, le=0.9999, description="With Latency: which quantile, 0.01 to 0.9999. Default: 0.99."
    )
    window: Duration | None = Field(default=None, description="How far back, 1s to 10m. Default: 30s.")
    min_requests: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="Fewer within the window are no evidence: Inconclusive. Default: 1.",
    )
    failures: Literal["5xx"] | None = Field(
        default=None, description="Which answers are failures. 5xx, the default, is the only value."
    )


class MetricCheck(NumberBounds):
    """A number from a metric source lies between bounds, look after look: that of a query, or one that is built in."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            ("has(self.query) != has(self.requests)", "exactly one of query, requests is needed")
        )
    )

    source: str = Field(
        min_length=1,
        max_length=253,
        description="Name of a MetricSource of the namespace, or else of a ClusterMetricSource.",
    )
    query: str | None = Field(
        default=None,
        min_length=1,
        max_length=8192,
        description="In the language of the source; may hold $(args.NAME), $(run.name), $(interval.start) and "
        "$(canary.service), which are escaped for the text that they stand in.",
    )
    requests: Requests | None = Field(
        default=None,
        description="Instead of a query, in gates of canaries: what the proxy has counted of the requests. Sources with "
        "prometheus.proxy or proxy can say it.",
    )
    warn: NumberBounds | None = Field(default=None, description="Stricter bounds, outside which the check warns.")
    range: RangeWindow | None = Field(default=None, description="Ask for a window of time instead of one moment.")
    reduce: ReduceName | None = Field(
        default=None, description="What several series come to. Without it several series are Inconclusive."
    )
    max_age: Duration | None = Field(
        default=None,
        description="Older samples are no evidence. Default: 5m; with requests the window, and no less than 15s.",
    )
    interval: Duration | None = Field(
        default=None, description="From one look to the next, at least 250ms. Default: 30s."
    )
    for_: Duration | None = Field(
        default=None, alias="for", description="How long no look may have failed before the check passes. Default: 0s."
    )
    min_samples: int | None = Field(
        default=None, ge=1, le=1000, description="Conclusive looks that a pass needs. Default: 1."
    )
    failure_limit: FailureLimit | None = Field(
        default=None, description="Failed looks that are borne. Default: the first failed look fails the check."
    )


class Check(Model):
    """One check of a gate: of data, or of a metric."""

    name: CheckName = Field(description="Name, unique in the gate.")
    description: str | None = Field(default=None, max_length=1024, description="What it is for.")
    data: DataCheck | None = Field(default=None, description="What is asserted of a data set.")
    metric: MetricCheck | None = Field(default=None, description="What is asserted of a metric.")
    severity: SeverityName | None = Field(
        default=None,
        description="Block: a failure fails the gate. Warn: it warns. Info: it is reported. Default: Block.",
    )
    critical: bool | None = Field(default=None, description="True: its failure always fails the gate, exempt or not.")
    weight: float | None = Field(default=None, ge=0, le=1000, description="Weight in the score. Default: 1.")
    on_no_data: NoDataName | None = Field(
        default=None,
        description="What it means when there is nothing to judge. Fail, Hold, or Count as a failure. Default: Fail for "
        "data, Hold for metrics.",
    )
    quarantine: bool | None = Field(
        default=None,
        description="True, of a check on rows: rows that fail are set aside and do not fail the gate, while their share "
        "stays within spec.quarantine.",
    )
    pii: list[ColumnName] = Field(
        default=[], max_length=64, description="Columns with personal data: masked in sample rows."
    )

    @property
    def on_data(self) -> DataCheck:
        """What is asserted of a data set. Only for checks that `QualityGateSpec.data_checks` returns."""
        assert self.data is not None
        return self.data

    @property
    def on_metric(self) -> MetricCheck:
        """What is asserted of a metric. Only for checks that `QualityGateSpec.metric_checks` returns."""
        assert self.metric is not None
        return self.metric


class Sample(Model):
    """Some of the rows of a source. What was looked at is stated in the evidence."""

    percent: float | None = Field(default=None, ge=0.001, le=100, description="Share of the rows, drawn by the seed.")
    rows: int | None = Field(default=None, ge=1, description="Number of rows, drawn by the seed.")
    seed: int | None = Field(default=None, ge=0, le=2147483647, description="Seed. Default: 0.")


class Source(Model):
    """A data set."""

    name: str = Field(max_length=63, description="Name, used by checks.")
    uri: str | None = Field(
        default=None,
        max_length=2048,
        description="File, glob or folder; s3://BUCKET/KEY; postgresql://HOST/DATABASE. May hold $(interval.start.date) "
        "and $(args.NAME). A step can give it too.",
    )
    format: Literal["parquet", "csv", "json", "table"] | None = Field(
        default=None, description="Format. Default: by the ending of the file, or table of a database."
    )
    table: str | None = Field(
        default=None,
        max_length=255,
        description="With a database: the table, SCHEMA.TABLE where it is not in the path.",
    )
    credentials: str | None = Field(
        default=None,
        max_length=64,
        description="Prefix of the environment variables with the credentials: with DB, DB_USER and DB_PASSWORD. The "
        "step takes them from a Secret (envFrom).",
    )
    baseline: Literal["PreviousInterval", "SameWeekday", "LastRun", "StableRevision"] | None = Field(
        default=None,
        description="It is earlier data. PreviousInterval and SameWeekday: the uri is filled in for the interval before, or "
        "seven days before. LastRun: the output uri of `step` in the newest earlier interval's run that succeeded. "
        "StableRevision: the same, of a run of another revision, by preference for the same interval.",
    )
    step: str | None = Field(
        default=None, max_length=63, description="With LastRun and StableRevision: the step whose output uri it is."
    )
    sample: Sample | None = Field(default=None, description="Look at some of the rows only.")
    delimiter: str | None = Field(
        default=None, min_length=1, max_length=4, description="With csv: what stands between values. Default: a comma."
    )
    null_texts: list[Annotated[str, Field(max_length=64)]] = Field(
        default=[], max_length=16, description="With csv: texts that stand for a missing value, besides the empty one."
    )
    strict: bool | None = Field(
        default=None,
        description="With csv: False passes over broken lines, True refuses the file. Default: True.",
    )


class Score(Model):
    """Lines of the 0-100 score. The score can lower the verdict that severities give, never raise it."""

    pass_: float = Field(alias="pass", ge=0, le=100, description="Below this the gate warns.")
    warn: float = Field(ge=0, le=100, description="Below this the gate fails.")


class Exemption(Model):
    """A known failure that somebody answers for, for a while."""

    check: CheckName = Field(description="Name of the check.")
    reason: str = Field(min_length=1, max_length=1024, description="Why.")
    approver: str = Field(min_length=1, max_length=253, description="Who answers for it.")
    expires: Time = Field(description="From this moment on it no longer counts.")


class Examples(Model):
    """Rows that have to pass, and rows that have to fail, all checks on rows of one source. Run by `sluice gate test`."""

    source: str = Field(max_length=63, description="Name of the data set that the rows stand for.")
    passing: list[AnyValue] = Field(default=[], max_length=100, description="Rows as objects.")
    failing: list[AnyValue] = Field(default=[], max_length=100, description="Rows as objects.")


class Quarantine(Model):
    """Rows that fail checks with `quarantine: true` are set aside; the rest goes on."""

    source: str = Field(max_length=63, description="Name of the data set.")
    max_share: Fraction = Field(
        description="Share of the rows that may be set aside, 0 to 1; beyond it the checks fail as others do."
    )


class QualityGateSpec(Model):
    """What the user wants."""

    description: str | None = Field(default=None, max_length=4096, description="What the gate is for.")
    sources: list[Source] = Field(
        default=[], max_length=32, description="Data sets by name.", json_schema_extra=list_map()
    )
    checks: list[Check] = Field(min_length=1, max_length=128, description="The checks.", json_schema_extra=list_map())
    score: Score | None = Field(default=None, description="Lines of the score.")
    dry_run: bool | None = Field(default=None, description="True: the verdict is reported and stops nothing.")
    quarantine: Quarantine | None = Field(default=None, description="How many rows may be set aside.")
    exemptions: list[Exemption] = Field(default=[], max_length=64, description="Known failures.")
    examples: list[Examples] = Field(default=[], max_length=16, description="Tests of the gate itself.")

    def data_checks(self) -> list[Check]:
        """The checks on data: what a runner evaluates in a pod."""
        return [check for check in self.checks if check.data is not None]

    def metric_checks(self) -> list[Check]:
        """The checks on metrics: what the operator evaluates."""
        return [check for check in self.checks if check.metric is not None]


class QualityGateStatus(StatusModel):
    """What the gate came to when it was last evaluated."""

    observed_generation: int | None = Field(default=None, description="Generation of the spec that was looked at.")
    verdict: str | None = Field(default=None, description="Pass, Warn, Fail, Inconclusive, Error or NotEvaluated.")
    score: float | None = Field(default=None, description="0 to 100: the weighted share of checks that passed.")
    worst_check: str | None = Field(default=None, description="The check that decided, unless all passed.")
    message: str | None = Field(default=None, description="The verdict for people.")
    evaluated_by: str | None = Field(default=None, description="Where it was evaluated: run/NAME or canary/NAME.")
    run: str | None = Field(default=None, description="PipelineRun that it was evaluated in.")
    step: str | None = Field(default=None, description="Step of that run.")
    evaluated_at: Time | None = Field(default=None, description="When it was evaluated.")
    conditions: tuple[Condition, ...] = Field(
        default=(), description="Ready, Reconciling, Stalled.", json_schema_extra=list_map("type")
    )


class QualityGate(Model):
    """Checks on data and on metrics, with what they come to together."""

    spec: QualityGateSpec
    status: QualityGateStatus | None = None
