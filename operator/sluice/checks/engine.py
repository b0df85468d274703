"""Evaluates a gate's data checks with DuckDB: opens the sources, runs the compiled SQL, judges what comes back.

All checks on rows and numbers of one source share one scan. When that query fails, its checks are run one by one, so
that a bad expression is the Error of its own check and of no other. Nothing here raises for bad data: an unreadable
file, a missing column, a query that writes are Errors of the checks that need them, with a message.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb

from sluice.api.base import Json
from sluice.api.gate import Check, QualityGateSpec
from sluice.checks.compile import compile_check, expressions, fuse, sample_query
from sluice.checks.files import target_file, writable
from sluice.checks.isolation import lock, refuse_expression, refuse_query
from sluice.checks.judging import Measurement, judge, read_row
from sluice.checks.places import resolve_places
from sluice.checks.quarantine import set_aside, write_passing
from sluice.checks.report import Finding, Report, SetAside
from sluice.checks.sampling import draw_samples
from sluice.checks.sources import Resources, connect, describe, escaped, first_line, open_all
from sluice.checks.sql import CannotCompile, Compiled, Measure, Table, When, quote
from sluice.checks.time_limit import TimeLimit
from sluice.planning.verdicts import Decision, Outcome, ScoreLines, combine, decide

SAMPLE_ROWS = 5
MASK = "***"


@dataclass(frozen=True)
class _Data:
    """The opened data sets of a gate."""

    connection: duckdb.DuckDBPyConnection
    limit: TimeLimit
    tables: Mapping[str, Table]
    broken: Mapping[str, str]
    samples: Mapping[str, str] = field(default_factory=dict)


def evaluate(
    gate: str,
    spec: QualityGateSpec,
    uris: Mapping[str, str],
    when: When,
    resources: Resources | None = None,
    *,
    args: Mapping[str, Json] | None = None,
    quarantine: Path | str | None = None,
    passing: Path | str | None = None,
    time_limit: float | None = None,
    score_lines: bool = True,
) -> Report:
    """Run all checks of a gate.

    `uris` say where sources lie, over what the gate itself says; both may refer to the interval and to `args`. Rows that
    fail checks with quarantine go to `quarantine`, those that do not to `passing`, if the decision is Continue: folders,
    in which the file is named after the source. After `time_limit` seconds, what still runs is an Error of its check.
    Without `score_lines` the score does not lower the verdict: somebody joins it with that of other checks first.

    Raises CannotWrite when the rows that pass cannot be written.
    """
    places, unplaced = resolve_places(spec.sources, uris, when, args or {})
    split = spec.quarantine
    aside_file = target_file(quarantine, split.source) if quarantine is not None and split is not None else None
    rest_file = target_file(passing, split.source) if passing is not None and split is not None else None
    with closing(connect(resources or Resources())) as connection, TimeLimit(connection, time_limit) as limit:
        opened = [source for source in spec.sources if source.name not in unplaced]
        tables, broken = open_all(connection, opened, places, spec.data_checks())
        broken |= unplaced
        for source in spec.sources:
            if source.baseline is not None and source.name in broken:
                broken[source.name] = f"the baseline ({source.baseline}) is missing: {broken[source.name]}"
        samples = draw_samples(connection, spec.sources, tables, broken)
        files = [path for file in (aside_file, rest_file) if file is not None for path in writable(file)]
        lock(connection, places.values(), files)
        data = _Data(connection, limit, tables, broken, samples)
        compiled, found = _compile_all(spec, data, when)
        found |= _measure_all(data, compiled)
        aside = None
        to_set_aside = [row for row in compiled if row.check.quarantine]
        if split is not None and split.source in tables and split.source not in broken:
            aside = set_aside(connection, tables[split.source], to_set_aside, aside_file)
            found |= {
                row.check.name: _quarantined(found[row.check.name], aside, split.max_share) for row in to_set_aside
            }
        exempt = {exemption.check for exemption in spec.exemptions if exemption.expires > when.now}
        findings = [replace(found[check.name], exempt=check.name in exempt) for check in spec.data_checks()]
        lines = ScoreLines(spec.score.pass_, spec.score.warn) if spec.score is not None and score_lines else None
        verdict = combine([finding.result() for finding in findings], lines)
        decision = decide(verdict.outcome, dry_run=bool(spec.dry_run))
        written = None
        if rest_file is not None and aside is not None and not aside.problem and decision is Decision.CONTINUE:
            written = write_passing(connection, tables[aside.source], to_set_aside, rest_file)
    return Report(gate, when, verdict, decision, bool(spec.dry_run), tuple(findings), places, samples, aside, written)


def evaluate_rows(spec: QualityGateSpec, source: str, row: Mapping[str, Any], when: When) -> list[Finding]:
    """Run the checks on rows of one source against a single row, given as an object: a gate's embedded example.

    Checks on columns that the row does not have, and checks that are not about single rows, have no finding.
    """
    with closing(connect(Resources(memory="64MB", threads=1))) as connection, TimeLimit(connection, None) as limit:
        columns = ", ".join(f"{_value(value)} AS {quote(name)}" for name, value in row.items())
        connection.execute(f"CREATE TABLE {quote(source)} AS SELECT {columns}")
        lock(connection, ())
        checks = [
            check.model_copy(update={"quarantine": None})
            for check in spec.data_checks()
            if check.on_data.source == source
        ]
        data = _Data(connection, limit, {source: describe(connection, source)}, {})
        compiled, found = _compile_all(spec.model_copy(update={"checks": checks}), data, when)
        found |= _measure_all(data, compiled)
    return [found[check.name] for check in checks if found[check.name].rows_failed is not None]


# -- compiling --------------------------------------------------------------------------------------------------------


def _compile_all(spec: QualityGateSpec, data: _Data, when: When) -> tuple[list[Compiled], dict[str, Finding]]:
    """(checks that can be measured, findings of those that cannot)."""
    compiled, found = [], {}
    for check in spec.data_checks():
        try:
            compiled.append(_compile(spec, check, data, when))
        except CannotCompile as error:
            found[check.name] = Finding(check, Outcome.ERROR, str(error))
    return compiled, found


def _compile(spec: QualityGateSpec, check: Check, data: _Data, when: When) -> Compiled:
    for name in (check.on_data.source, *check.on_data.others):
        if name in data.broken:
            raise CannotCompile(data.broken[name])
    compiled = compile_check(check, data.tables, when)
    for expression in expressions(check.on_data):
        if problem := refuse_expression(data.connection, expression):
            raise CannotCompile(problem)
    if check.on_data.sql is not None and (problem := refuse_query(data.connection, check.on_data.sql.query)):
        raise CannotCompile(problem)
    for name in compiled.whole:
        if name in data.samples:
            raise CannotCompile(f'this cannot be judged on a sample, and "{name}" is one ({data.samples[name]})')
    if check.quarantine:
        _check_quarantine(spec, compiled, data)
    return compiled


def _check_quarantine(spec: QualityGateSpec, compiled: Compiled, data: _Data) -> None:
    source = compiled.check.on_data.source
    if spec.quarantine is None:
        raise CannotCompile("quarantine needs spec.quarantine: the source and how many of its rows may be set aside")
    if spec.quarantine.source != source:
        raise CannotCompile(f'rows of "{spec.quarantine.source}" are set aside, not of "{source}"')
    if compiled.measure is not Measure.ROWS:
        raise CannotCompile("quarantine: this check is not about single rows, so there are none to set aside")
    if source in data.samples:
        raise CannotCompile(f'rows of a sample cannot be set aside, and "{source}" is one ({data.samples[source]})')


# -- measuring --------------------------------------------------------------------------------------------------------


def _measure_all(data: _Data, compiled: Sequence[Compiled]) -> dict[str, Finding]:
    """Findings by check. Shared scans come first: what never ends is more often a query of its own."""
    fusible: dict[str, list[Compiled]] = {}
    for row in compiled:
        if row.fused is not None:
            fusible.setdefault(row.check.on_data.source, []).append(row)
    measured = {
        row.check.name: numbers
        for source, group in fusible.items()
        for row, numbers in zip(group, _measure_fused(data, source, group), strict=True)
    }
    for row in compiled:
        if row.query is not None:
            measured[row.check.name] = _query(data, row.query)
    return {row.check.name: _finding(data, row, measured[row.check.name]) for row in compiled}


def _measure_fused(data: _Data, source: str, group: Sequence[Compiled]) -> Iterator[Measurement]:
    try:
        row = data.connection.execute(fuse(source, group)).fetchall()[0]
    except duckdb.Error:
        for compiled in group:
            yield _query(data, fuse(source, [compiled]))
        return
    for index in range(len(group)):
        yield read_row(row[2 * index], row[2 * index + 1])


def _query(data: _Data, sql: str) -> Measurement:
    if data.limit.over:
        return str(data.limit)
    try:
        row = data.connection.execute(sql).fetchall()[0]
    except duckdb.Error as error:
        return str(data.limit) if data.limit.over else first_line(error)
    return read_row(*row)


def _finding(data: _Data, compiled: Compiled, measured: Measurement) -> Finding:
    failed = not isinstance(measured, str) and compiled.measure is Measure.ROWS and bool(measured.value)
    found = judge(compiled, measured, _samples(data.connection, compiled) if failed else ())
    # A query may read any source.
    read = data.samples if compiled.check.on_data.sql is not None else (compiled.check.on_data.source, *compiled.tables)
    parts = [f"{name}: {data.samples[name]}" for name in read if name in data.samples]
    return replace(found, sampled="; ".join(parts))


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


def _quarantined(found: Finding, aside: SetAside, most: float) -> Finding:
    """What a check with quarantine comes to: a warning, while the share of all that is set aside stays in its limit."""
    if found.outcome not in (Outcome.PASS, Outcome.FAIL) or not found.rows_failed:
        return found
    if aside.problem:
        return replace(found, outcome=Outcome.ERROR, message=f"{found.message}; {aside.problem}")
    rows = f"{aside.rows} rows"
    if aside.uri is None:
        return replace(
            found, outcome=Outcome.FAIL, message=f"{found.message}; {rows} are to be set aside, and no place was given"
        )
    share = f"{100 * aside.share:.3g} %"
    # A share like 0.01 has no exact binary form: one part in a million million is given.
    if aside.rows > (most + 1e-12) * aside.total:
        limit = f"more than {100 * most:.3g} %"
        return replace(found, outcome=Outcome.FAIL, message=f"{found.message}; {rows} set aside ({share}), {limit}")
    return replace(found, outcome=Outcome.WARN, message=f"{found.message}; {rows} set aside ({share})")


def _value(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        return repr(value)
    return f"'{escaped(str(value))}'"
