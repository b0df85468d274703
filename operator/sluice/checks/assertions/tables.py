"""Assertions on a table as a whole: its columns, a query over it, and its agreement with another table."""

from sluice.checks.sql import CannotCompile, Compiled, Context, Measure, Table, count, listed, plain, quote


def columns(context: Context) -> Compiled:
    """The columns are there, have the types stated or those of another data set, and, if exact, are the only ones."""
    wanted = context.data.columns
    assert wanted is not None
    types: dict[str, str] = {}
    exact, text = wanted.exact, ""
    tables: tuple[str, ...] = ()
    if wanted.same_as is not None:
        types |= context.other(wanted.same_as).columns
        exact = True if exact is None else exact
        text = f" as {wanted.same_as}"
        tables = (wanted.same_as,)
    types |= wanted.types
    names = list(dict.fromkeys([*wanted.names, *types]))
    if not names and not exact:
        raise CannotCompile("names, types or sameAs are needed")
    table = context.table
    problems = [f'column "{name}" is missing' for name in names if name not in table.columns]
    problems += [
        f'column "{name}" is {table.columns[name]}, not {kind.upper()}'
        for name, kind in types.items()
        if name in table.columns and table.columns[name].upper() != kind.upper()
    ]
    if exact:
        problems += [f'column "{name}" is not expected' for name in table.columns if name not in names]
    return Compiled(
        context.check,
        Measure.SCHEMA,
        fused=("count(*)", "0"),
        problems=tuple(problems),
        text=f"columns{text} {', '.join(names)}",
        tables=tables,
    )


def sql(context: Context) -> Compiled:
    """A query returns no rows. The rows evaluated are those of the check's source."""
    assert context.data.sql is not None
    rows = f"(SELECT {count(context.looked_at())} FROM {quote(context.table.name)})"
    query = f"SELECT {rows}, (SELECT count(*) FROM ({context.data.sql.query}))"
    return Compiled(context.check, Measure.NUMBER, query=query, bounds=(None, 0), text="the query returns no rows")


def reconcile(context: Context) -> Compiled:
    """Two data sets have the same keys as often, sums that agree, and the same rows for a sample of the keys.

    The measured number counts the differences: keys that are only on one side (each occurrence), sums that differ, and
    rows of sampled keys that are only on one side. The sample is drawn by the hash of the keys, so that it is the same
    whenever the keys are.
    """
    rule = context.data.reconcile
    assert rule is not None
    table, other = context.table, context.other(rule.source)
    key_columns = [table.column(name) for name in rule.keys]
    for name in rule.keys:
        other.column(name)
    keys = listed(key_columns)
    here = f"SELECT {keys} FROM {quote(table.name)} WHERE {context.looked_at()}"
    there = f"SELECT {keys} FROM {quote(other.name)}"
    parts = [("keys only here", _only(here, there)), (f"keys only in {rule.source}", _only(there, here))]
    tolerance = 1e-9 if rule.tolerance is None else rule.tolerance
    for name in rule.sums:
        left = f"(SELECT sum({table.number(name)}) FROM {quote(table.name)} WHERE {context.looked_at()})"
        right = f"(SELECT sum({other.number(name)}) FROM {quote(other.name)})"
        close = f"abs({left} - {right}) <= {tolerance!r} * greatest(abs({left}), abs({right}))"
        parts.append((f"sum of {name} differs", f"(CASE WHEN ({close}) IS TRUE THEN 0 ELSE 1 END)"))
    with_ = ""
    if rule.sample_rows is not None:
        with_ = _sampled(context, other, key_columns, rule.sample_rows)
        parts.append(("rows only here", "(SELECT count(*) FROM (FROM a EXCEPT ALL FROM b))"))
        parts.append((f"rows only in {rule.source}", "(SELECT count(*) FROM (FROM b EXCEPT ALL FROM a))"))
    found = listed(f"{sql} AS d{number}" for number, (_, sql) in enumerate(parts))
    note = listed(
        f"CASE WHEN d{number} > 0 THEN d{number}::BIGINT || ' {text.replace(chr(39), chr(39) * 2)}' END"
        for number, (text, _) in enumerate(parts)
    )
    query = (
        f"{with_}SELECT n, {' + '.join(f'd{number}' for number in range(len(parts)))}, concat_ws(', ', {note}) "
        f"FROM (SELECT (SELECT count(*) FROM ({here})) AS n, {found})"
    )
    return Compiled(
        context.check,
        Measure.NUMBER,
        query=query,
        bounds=(None, 0),
        text=f"the same rows as {rule.source} by {', '.join(rule.keys)}",
        tables=(rule.source,),
        whole=(table.name, rule.source),
    )


def _only(left: str, right: str) -> str:
    return f"(SELECT count(*) FROM ({left} EXCEPT ALL {right}))"


def _sampled(context: Context, other: Table, keys: list[str], rows: int) -> str:
    """The WITH clause of the rows here (a) and there (b) that belong to the sampled keys."""
    rule = context.data.reconcile
    assert rule is not None
    names = rule.columns or list(context.table.columns)
    compared = listed(f"x.{context.table.column(name)}" for name in names)
    for name in names:
        other.column(name)
    same = " AND ".join(f"x.{key} IS NOT DISTINCT FROM s.{key}" for key in keys)
    distinct = f"SELECT DISTINCT {listed(keys)} FROM {quote(context.table.name)} WHERE {context.looked_at()}"
    drawn = f"SELECT * FROM ({distinct}) ORDER BY hash({listed(keys)}) LIMIT {plain(rows)}"
    chosen = f"WHERE EXISTS (SELECT 1 FROM s WHERE {same})"
    return (
        f"WITH s AS ({drawn}), "
        f"a AS (SELECT {compared} FROM (SELECT * FROM {quote(context.table.name)} WHERE {context.looked_at()}) x {chosen}), "
        f"b AS (SELECT {compared} FROM {quote(other.name)} x {chosen}) "
    )
