"""What a check can assert of a data set: a model for each assertion, and `DataCheck`, which holds exactly one of them."""

from typing import Annotated, Literal

from pydantic import Field

from sluice.api.base import Duration, Model
from sluice.api.pipeline import AnyValue

ColumnName = Annotated[str, Field(min_length=1, max_length=255)]
Columns = Annotated[list[ColumnName], Field(min_length=1, max_length=64)]
Expression = Annotated[str, Field(min_length=1, max_length=4096)]
Fraction = Annotated[float, Field(ge=0, le=1)]

AggregateName = Literal["sum", "mean", "min", "max", "stdev", "median", "quantile", "distinct", "nullShare"]
AnomalyFunction = Literal["count", "sum", "mean", "min", "max", "stdev", "median", "distinct", "nullShare"]


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
    same_as: str | None = Field(
        default=None,
        max_length=63,
        description="Name of a data set whose columns and types these have to be, such as that of the run before.",
    )
    exact: bool | None = Field(
        default=None, description="True: no other column may be there. Default: true with sameAs, else false."
    )


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


class Conditional(Model):
    """A condition that holds in every row in which another one does."""

    when: Expression = Field(description="SQL condition of the rows that are looked at.")
    then: Expression = Field(description="SQL condition that these rows fulfil.")


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


class Ratio(NumberBounds):
    """A share of the rows lies between bounds."""

    numerator: Expression = Field(description="SQL condition of the rows that count.")
    denominator: Expression | None = Field(
        default=None, description="SQL condition of the rows among which they are counted. Default: all."
    )


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


class Anomaly(Model):
    """A number is not unusual, seen from its own history. What is tested is left out of the history."""

    column: ColumnName | None = Field(default=None, description="Name of a column, in both. Not needed with count.")
    function: AnomalyFunction = Field(description="What is computed for each group.")
    history: str = Field(max_length=63, description="Name of the data set with the history.")
    by: ColumnName = Field(
        description="Column that tells the points apart, in both, such as the day. Points of the history that the "
        "tested data contains itself are left out."
    )
    method: Literal["MAD", "ZScore"] = Field(
        description="MAD: distance from the median in (scaled) median absolute deviations. ZScore: from the mean in "
        "standard deviations."
    )
    max: float = Field(ge=0, description="Greatest distance allowed. 3.5 is a common line for MAD, 3 for ZScore.")
    min_points: int | None = Field(
        default=None, ge=2, le=100000, description="With fewer points the check is Inconclusive. Default: 7."
    )


class Reconciliation(Model):
    """Two data sets agree: rows, keys, sums of columns, and whole rows of some keys."""

    source: str = Field(max_length=63, description="Name of the other data set.")
    keys: Columns = Field(description="Columns that identify a row, in both.")
    sums: list[ColumnName] = Field(default=[], max_length=32, description="Columns whose sums have to agree.")
    tolerance: Fraction | None = Field(default=None, description="Relative difference of sums allowed. Default: 1e-9.")
    sample_rows: int | None = Field(
        default=None, ge=1, le=1000000, description="For how many keys whole rows are compared, drawn by their hash."
    )
    columns: list[ColumnName] = Field(
        default=[], max_length=1000, description="With sampleRows: the columns compared. Default: all of this data set."
    )


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
    conditional: Conditional | None = Field(default=None, description="Where one condition holds, another one does.")
    reference: Reference | None = Field(default=None, description="Values exist elsewhere.")
    freshness: Freshness | None = Field(default=None, description="The data is recent.")
    window: TimeWindow | None = Field(default=None, description="The data belongs to the run's interval.")
    aggregate: Aggregate | None = Field(default=None, description="A number over a column.")
    ratio: Ratio | None = Field(default=None, description="A share of the rows.")
    sql: Query | None = Field(default=None, description="A query that returns no rows.")
    drift: Drift | None = Field(default=None, description="A distribution has not moved.")
    anomaly: Anomaly | None = Field(default=None, description="A number is not unusual against its history.")
    reconcile: Reconciliation | None = Field(default=None, description="Two data sets agree.")

    @property
    def others(self) -> tuple[str, ...]:
        """Names of the other data sets that it is compared with."""
        named = [rule.source for rule in (self.reference, self.drift, self.reconcile) if rule is not None]
        if self.anomaly is not None:
            named.append(self.anomaly.history)
        if self.columns is not None and self.columns.same_as is not None:
            named.append(self.columns.same_as)
        return tuple(named)


ASSERTIONS: tuple[str, ...] = tuple(
    name for name in DataCheck.model_fields if name not in ("source", "where", "mostly")
)
"""Names of the assertions a DataCheck can make."""
