"""QualityGate: checks on data, each with what it asserts and how much it counts, and what they come to together."""

from typing import Annotated, Literal

from pydantic import Field

from sluice.api.base import Duration, Model, Time, list_map
from sluice.api.pipeline import AnyValue

ColumnName = Annotated[str, Field(min_length=1, max_length=255)]
Columns = Annotated[list[ColumnName], Field(min_length=1, max_length=64)]
Expression = Annotated[str, Field(min_length=1, max_length=4096)]
CheckName = Annotated[str, Field(min_length=1, max_length=63)]
Fraction = Annotated[float, Field(ge=0, le=1)]

SeverityName = Literal["Block", "Warn", "Info"]
NoDataName = Literal["Hold", "Fail", "Count"]
AggregateName = Literal["sum", "mean", "min", "max", "stdev", "median", "quantile", "distinct", "nullShare"]


class NumberBounds(Model):
    """Bounds of a measured number, ends included."""

    min: float | None = Field(default=None, description="Least value allowed.")
    max: float | None = Field(default=None, description="Greatest value allowed.")


class RequiredColumns(Model):
    """The columns of the table."""

    names: list[ColumnName] = Field(default=[], max_length=1000, description="Columns that have to be there.")
    types: dict[str, str] = Field(
        default={}, description="Column to SQL type, for instance BIGINT, DOUBLE, VARCHAR, TIMESTAMP."
    )
    exact: bool | None = Field(default=None, description="True: no other column may be there.")


class OnColumns(Model):
    """Columns that the check is about."""

    columns: Columns = Field(description="Names of columns.")


class Range(NumberBounds):
    """Values of a column lie between bounds."""

    column: ColumnName = Field(description="Name of a numeric column.")


class Membership(Model):
    """Values of a column are among these."""

    column: ColumnName = Field(description="Name of a column.")
    values: list[AnyValue] = Field(min_length=1, max_length=1000, description="The values allowed.")


class Pattern(Model):
    """Values of a column match a regular expression (RE2), all of the value."""

    column: ColumnName = Field(description="Name of a text column.")
    pattern: Expression = Field(description="Regular expression.")


class PresetPattern(Model):
    """Values of a column have a well-known form."""

    column: ColumnName = Field(description="Name of a text column.")
    name: Literal["in-phone", "in-pincode", "in-pan", "in-upi", "in-account", "in-gstin", "in-aadhaar"] = Field(
        description="The form."
    )


class Length(NumberBounds):
    """Length of the values of a text column."""

    column: ColumnName = Field(description="Name of a text column.")


class RowRule(Model):
    """A condition that every row fulfils, as an SQL expression over its columns."""

    expression: Expression = Field(description="SQL condition, for instance departed <= arrived.")


class Reference(Model):
    """Values of columns exist in another data set."""

    columns: Columns = Field(description="Columns of this data set.")
    source: str = Field(max_length=63, description="Name of the other data set.")
    keys: Columns = Field(description="Its columns, in the same order.")


class Freshness(Model):
    """The newest value of a time column is not older than this, seen from the time of evaluation."""

    column: ColumnName = Field(description="Name of a date or timestamp column.")
    max_age: Duration = Field(description="Greatest age.")


class TimeWindow(Model):
    """Values of a time column lie in the data interval of the run: from start (included) to end (excluded)."""

    column: ColumnName = Field(description="Name of a date or timestamp column.")
    slack: Duration | None = Field(default=None, description="How far outside the interval is still right.")


class Aggregate(NumberBounds):
    """One number computed over a column lies between bounds."""

    column: ColumnName = Field(description="Name of a column.")
    function: AggregateName = Field(description="What is computed.")
    quantile: Fraction | None = Field(default=None, description="With quantile: which one, 0 to 1.")


class Query(Model):
    """A query that must return no rows."""

    query: Expression = Field(description="SELECT statement; data sets are tables under their names.")


class Drift(Model):
    """How far the distribution of a column is from that of another data set, as an effect size."""

    column: ColumnName = Field(description="Name of a column, in both data sets.")
    source: str = Field(max_length=63, description="Name of the data set to compare with.")
    method: Literal["PSI", "KS"] = Field(
        description="PSI: population stability index over ten quantile bins, or the values of a text column. "
        "KS: Kolmogorov-Smirnov distance D."
    )
    max: float = Field(ge=0, description="Greatest distance allowed. PSI: 0.2 is a common line. KS: between 0 and 1.")


class Reconciliation(Model):
    """Two data sets agree: rows, keys, and sums of columns."""

    source: str = Field(max_length=63, description="Name of the other data set.")
    keys: Columns = Field(description="Columns that identify a row, in both.")
    sums: list[ColumnName] = Field(default=[], max_length=32, description="Columns whose sums have to agree.")
    tolerance: Fraction | None = Field(default=None, description="Relative difference of sums allowed. Default: 1e-9.")


class DataCheck(Model):
    """What is asserted of a data set: exactly one of the fields from rowCount on."""

    source: str = Field(max_length=63, description="Name of the data set: of a step, or of the gate's sources.")
    where: Expression | None = Field(default=None, description="SQL condition: only these rows are looked at.")
    mostly: Fraction | None = Field(
        default=None, description="Share of the looked-at rows for which a check on rows has to hold. Default: 1."
    )
    row_count: NumberBounds | None = Field(default=None, description="Number of rows.")
    columns: RequiredColumns | None = Field(default=None, description="Names and types of columns.")
    not_null: OnColumns | None = Field(default=None, description="No value is missing.")
    unique: OnColumns | None = Field(default=None, description="No combination of values comes twice.")
    range: Range | None = Field(default=None, description="Numbers lie between bounds.")
    in_set: Membership | None = Field(default=None, description="Values are among those listed.")
    regex: Pattern | None = Field(default=None, description="Texts match a pattern.")
    preset: PresetPattern | None = Field(default=None, description="Texts have a well-known form.")
    length: Length | None = Field(default=None, description="Texts have a length between bounds.")
    row: RowRule | None = Field(default=None, description="A condition on several columns.")
    reference: Reference | None = Field(default=None, description="Values exist elsewhere.")
    freshness: Freshness | None = Field(default=None, description="The data is recent.")
    window: TimeWindow | None = Field(default=None, description="The data belongs to the run's interval.")
    aggregate: Aggregate | None = Field(default=None, description="A number over a column.")
    sql: Query | None = Field(default=None, description="A query that returns no rows.")
    drift: Drift | None = Field(default=None, description="A distribution has not moved.")
    reconcile: Reconciliation | None = Field(default=None, description="Two data sets agree.")


ASSERTIONS: tuple[str, ...] = tuple(
    name for name in DataCheck.model_fields if name not in ("source", "where", "mostly")
)
"""Names of the assertions a DataCheck can make."""


class Check(Model):
    """One check of a gate."""

    name: CheckName = Field(description="Name, unique in the gate.")
    description: str | None = Field(default=None, max_length=1024, description="What it is for.")
    data: DataCheck = Field(description="What is asserted.")
    severity: SeverityName | None = Field(
        default=None,
        description="Block: a failure fails the gate. Warn: it warns. Info: it is reported. Default: Block.",
    )
    critical: bool | None = Field(default=None, description="True: its failure always fails the gate, exempt or not.")
    weight: float | None = Field(default=None, ge=0, le=1000, description="Weight in the score. Default: 1.")
    on_no_data: NoDataName | None = Field(
        default=None,
        description="What it means when there is nothing to judge. Fail, Hold, or Count as a failure. Default: Fail.",
    )
    pii: list[ColumnName] = Field(
        default=[], max_length=64, description="Columns with personal data: masked in sample rows."
    )


class Source(Model):
    """A data set."""

    name: str = Field(max_length=63, description="Name, used by checks.")
    uri: str | None = Field(default=None, max_length=2048, description="File, glob or folder. A step can give it too.")
    format: Literal["parquet", "csv", "json"] | None = Field(
        default=None, description="Format. Default: by the file's ending."
    )
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


class QualityGateSpec(Model):
    """What the user wants."""

    description: str | None = Field(default=None, max_length=4096, description="What the gate is for.")
    sources: list[Source] = Field(
        default=[], max_length=32, description="Data sets by name.", json_schema_extra=list_map()
    )
    checks: list[Check] = Field(min_length=1, max_length=128, description="The checks.", json_schema_extra=list_map())
    score: Score | None = Field(default=None, description="Lines of the score.")
    dry_run: bool | None = Field(default=None, description="True: the verdict is reported and stops nothing.")
    exemptions: list[Exemption] = Field(default=[], max_length=64, description="Known failures.")
    examples: list[Examples] = Field(default=[], max_length=16, description="Tests of the gate itself.")


class QualityGate(Model):
    """Checks on data, with what they come to together."""

    spec: QualityGateSpec
