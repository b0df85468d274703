"""Keeps what users write in SQL to the data sets that the gate names: nothing else is read, nothing is written.

Three walls, of which each would do for most: a query has to be one SELECT and a condition one expression; the database
gets at the files of the gate's sources and targets only; its settings are locked, extensions are not loaded, and Python
variables are no tables.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path

import duckdb

from sluice.checks.sources import first_line
from sluice.checks.sql import literal

_GLOB = re.compile(r"[*?\[{]")


def lock(connection: duckdb.DuckDBPyConnection, readable: Iterable[str], writable: Iterable[str] = ()) -> None:
    """Close the database to all files but these, for good. A glob or folder opens the folder that it begins with."""
    paths, folders = [*writable], []
    for uri in readable:
        match = _GLOB.search(uri)
        if match is not None:
            folders.append(uri[: uri.rfind("/", 0, match.start()) + 1] or "./")
        elif uri.endswith("/") or ("://" not in uri and Path(uri).is_dir()):
            folders.append(uri.rstrip("/") + "/")
            paths += [uri, uri.rstrip("/")]
        else:
            paths.append(uri)
    connection.execute("SET enable_progress_bar = false")  # it would stand between the lines of the report
    connection.execute("SET python_enable_replacements = false")
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute("SET autoload_known_extensions = false")
    connection.execute(f"SET allowed_paths = [{', '.join(map(literal, paths))}]")
    connection.execute(f"SET allowed_directories = [{', '.join(map(literal, folders))}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def refuse_query(connection: duckdb.DuckDBPyConnection, query: str) -> str | None:
    """Why a user's query is refused, None when it is one SELECT."""
    try:
        statements = connection.extract_statements(query)
    except duckdb.Error as error:
        return f"the query cannot be parsed: {first_line(error)}"
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        return "the query must be a single SELECT"
    return None


def refuse_expression(connection: duckdb.DuckDBPyConnection, expression: str) -> str | None:
    """Why a user's condition is refused, None when it is one expression, inside parentheses and without them."""
    for text in (f"SELECT {expression}", f"SELECT ({expression})"):
        try:
            row = connection.execute("SELECT json_serialize_sql(?)", [text]).fetchall()[0]
        except duckdb.Error as error:
            return f"{expression} cannot be parsed: {first_line(error)}"
        tree = json.loads(row[0])
        if tree["error"]:
            return f"{expression} cannot be parsed: {str(tree.get('error_message', '')).splitlines()[0]}"
        nodes = [statement["node"] for statement in tree["statements"]]
        if len(nodes) != 1 or not _is_expression(nodes[0]):
            return f"{expression} is not one SQL expression"
    return None


def _is_expression(node: dict[str, object]) -> bool:
    columns, source = node.get("select_list"), node.get("from_table")
    return (
        node.get("type") == "SELECT_NODE"
        and isinstance(columns, list)
        and len(columns) == 1
        and isinstance(source, dict)
        and source.get("type") == "EMPTY"
        and node.get("where_clause") is None
        and not node.get("modifiers")
    )
