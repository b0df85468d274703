"""Evaluates a gate's data checks with DuckDB: runs the compiled SQL, judges what comes back.

All checks on rows and numbers of one source share one scan. When that
query fails, its checks are run one by one, so that a bad expression is the Error of its own check and of no other.
Nothing here raises for bad data: an unreadable file, a missing column, a query that writes are Errors of the checks
that need them, with a message.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import duckdb

from sluice.api.gate import Check, QualityGateSpec
from sluice.checks.compile import (
    CannotCompile,
    Compiled,
    Measure,
    Table,
    When,
    compile_check,
    fuse,
    quote,
    sample_query,
)
from sluice.checks.sources import Resources, connect, describe, escaped, first_line, open_all
from sluice.planning.verdicts import (
    Bounds,
    CheckResult,
    Decision,
    NoData,
    Outcome,
    ScoreLines,
    Severity,
    Verdict,
    combine,
    decide,
    judge_value,
)

SAMPLE_ROWS = 5
MASK = "***"


@dataclass(frozen=True)
class Finding:
    """What one check came to, with its evidence."""

    check: Check
    outcome: Outcome
    message: str
    bound: str = ""
    value: float | None = None
    """The measured number; for a check on rows, the share of rows for which it holds."""
    rows_evaluated: int | None = None
    rows_failed: int | None = None
    samples: tuple[Mapping[str, Any], ...] = ()
    exempt: bool = False

    @property
    def severity(self) -> Severity:
        """How much it counts."""
        return Severity(self.check.severity or Severity.BLOCK)

    def result(self) -> CheckResult:
        """The check as the verdict is told of it."""
        return CheckResult(
            name=self.check.name,
            outcome=self.outcome,
            severity=self.severity,
            weight=1.0 if self.check.weight is None else self.check.weight,
            critical=bool(self.check.critical),
            exempt=self.exempt,
            no_data=NoData(self.check.on_no_data or NoData.FAIL),
            message=self.message,
        )


@dataclass(frozen=True)
class Report:
    """The evidence of one evaluation of a gate."""

    gate: str
    when: When
    verdict: Verdict
    decision: Decision
    dry_run: bool
    findings: tuple[Finding, ...]
    sources: Mapping[str, str] = field(default_factory=dict)
    """URI of each source by name."""


def evaluate(
    gate: str, spec: QualityGateSpec, uris: Mapping[str, str], when: When, resources: Resources | None = None
) -> Report:
    """Run all checks of a gate. `uris` say where sources lie, over what the gate itself says."""
    with closing(connect(resources or Resources())) as connection:
        tables, broken = open_all(connection, spec.sources, uris, spec.data_checks())
        findings = _run(connection, spec, tables, broken, when)
    lines = ScoreLines(spec.score.pass_, spec.score.warn) if spec.score is not None else None
    verdict = combine([finding.result() for finding in findings], lines)
    places = {source.name: source.uri for source in spec.sources if source.uri is not None} | dict(uris)
    dry_run = bool(spec.dry_run)
    return Report(gate, when, verdict, decide(verdict.outcome, dry_run=dry_run), dry_run, tuple(findings), places)


def evaluate_rows(spec: QualityGateSpec, source: str, row: Mapping[str, Any], when: When) -> list[Finding]:
    """Run the checks on rows of one source against a single row, given as an object: a gate's embedded example.

    Checks on columns that the row does not have, and checks that are not about single rows, have no finding.
    """
    with closing(connect(Resources(memory="64MB", threads=1))) as connection:
        columns = ", ".join(f"{_value(value)} AS {quote(name)}" for name, value in row.items())
        connection.execute(f"CREATE TABLE {quote(source)} AS SELECT {columns}")
        tables = {source: describe(connection, source)}
        checks = [check for check in spec.data_checks() if check.on_data.source == source]
        findings = _run(connection, spec.model_copy(update={"checks": checks}), tables, {}, when)
    return [finding for finding in findings if finding.rows_failed is not None]


# -- checks -----------------------------------------------------------------------------------------------------------


def _run(
    connection: duckdb.DuckDBPyConnection,
    spec: QualityGateSpec,
    tables: Mapping[str, Table],
    broken: Mapping[str, str],
    when: When,
) -> list[Finding]:
    found: dict[str, Finding] = {}
    fusible: dict[str, list[Compiled]] = {}
    checks = spec.data_checks()
    for check in checks:
        missing = broken.get(check.on_data.source)
        if missing is not None:
            found[check.name] = Finding(check, Outcome.ERROR, missing)
            continue
        try:
            compiled = compile_check(check, tables, when)
        except CannotCompile as error:
            found[check.name] = Finding(check, Outcome.ERROR, str(error))
            continue
        if compiled.fused is not None:
            fusible.setdefault(check.on_data.source, []).append(compiled)
        else:
            found[check.name] = _judge(compiled, _measure_alone(connection, compiled), connection)
    for source, group in fusible.items():
        for compiled, numbers in zip(group, _measure_fused(connection, source, group), strict=True):
            found[compiled.check.name] = _judge(compiled, numbers, connection)
    exempt = _exempt(spec, when.now)
    return [replace(found[check.name], exempt=check.name in exempt) for check in checks]


Numbers = tuple[int, float | None] | str
"""The two numbers of a check, or why they cannot be had."""


def _measure_fused(connection: duckdb.DuckDBPyConnection, source: str, group: Sequence[Compiled]) -> Iterator[Numbers]:
    try:
        row = connection.execute(fuse(source, group)).fetchall()[0]
    except duckdb.Error:
        for compiled in group:
            yield _query(connection, fuse(source, [compiled]))
        return
    for index in range(len(group)):
        yield _numbers(row[2 * index], row[2 * index + 1])


def _measure_alone(connection: duckdb.DuckDBPyConnection, compiled: Compiled) -> Numbers:
    if compiled.query is None:
        return (0, None)
    user_query = compiled.check.on_data.sql
    if user_query is not None and (problem := _not_a_select(connection, user_query.query)):
        return problem
    return _query(connection, compiled.query)


def _not_a_select(connection: duckdb.DuckDBPyConnection, query: str) -> str | None:
    """Why a user's query is refused: it must be one SELECT, so that a check changes nothing."""
    try:
        statements = connection.extract_statements(query)
    except duckdb.Error as error:
        return f"the query cannot be parsed: {first_line(error)}"
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        return "the query must be a single SELECT"
    return None


def _query(connection: duckdb.DuckDBPyConnection, sql: str) -> Numbers:
    try:
        row = connection.execute(sql).fetchall()[0]
    except duckdb.Error as error:
        return first_line(error)
    return _numbers(row[0], row[1])


def _numbers(evaluated: Any, measured: Any) -> Numbers:
    if isinstance(measured, str | bytes | list | dict | bool):
        return f"the check measured {measured!r}, which is no number"
    return int(evaluated or 0), None if measured is None else float(measured)


def _judge(compiled: Compiled, numbers: Numbers, connection: duckdb.DuckDBPyConnection) -> Finding:
    check, bound = compiled.check, compiled.text
    if isinstance(numbers, str):
        return Finding(check, Outcome.ERROR, numbers, bound)
    if compiled.measure is Measure.SCHEMA:
        if compiled.problems:
            return Finding(check, Outcome.FAIL, "; ".join(compiled.problems), bound)
        return Finding(check, Outcome.PASS, "the columns are as stated", bound)
    evaluated, measured = numbers
    if compiled.measure is Measure.ROWS:
        return _judge_rows(compiled, evaluated, int(measured or 0), connection)
    empty_is_known = check.on_data.row_count is not None and check.on_data.row_count.min is not None
    if evaluated == 0 and not empty_is_known:
        return Finding(check, Outcome.INCONCLUSIVE, "there are no rows to judge", bound, measured, 0)
    outcome, message = judge_value(measured, Bounds(*compiled.bounds))
    return Finding(check, outcome, message, bound, _finite(measured), evaluated)


def _judge_rows(compiled: Compiled, evaluated: int, failed: int, connection: duckdb.DuckDBPyConnection) -> Finding:
    check, bound = compiled.check, compiled.text
    if evaluated == 0:
        return Finding(check, Outcome.INCONCLUSIVE, "there are no rows to judge", bound, None, 0, 0)
    mostly = 1.0 if check.on_data.mostly is None else check.on_data.mostly
    share = (evaluated - failed) / evaluated
    # A share like 0.98 has no exact binary form: one part in a million million is given.
    allowed = math.floor((1 - mostly) * evaluated + 1e-12 * evaluated)
    passed = failed <= allowed
    message = f"{failed} of {evaluated} rows fail"
    if mostly < 1:
        bound += f" for at least {mostly:.6g} of rows"
        message += f" ({share:.6g} hold)"
    samples = () if failed == 0 else _samples(connection, compiled)
    return Finding(check, Outcome.PASS if passed else Outcome.FAIL, message, bound, share, evaluated, failed, samples)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _samples(connection: duckdb.DuckDBPyConnection, compiled: Compiled) -> tuple[Mapping[str, Any], ...]:
    sql = sample_query(compiled, SAMPLE_ROWS)
    if sql is None:
        return ()
    try:
        result = connection.execute(sql)
        names = [column[0] for column in result.description or ()]
        rows = result.fetchall()
    except duckdb.Error:
        return ()  # samples are a courtesy; the finding stands without them
    hidden = set(compiled.check.pii)
    return tuple(
        {name: MASK if name in hidden and value is not None else value for name, value in zip(names, row, strict=True)}
        for row in rows
    )


def _exempt(spec: QualityGateSpec, now: datetime) -> set[str]:
    return {exemption.check for exemption in spec.exemptions if exemption.expires > now}


def _value(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        return repr(value)
    return f"'{escaped(str(value))}'"
