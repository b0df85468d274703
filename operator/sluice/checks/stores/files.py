"""Files: Parquet, CSV and JSON, compressed or not, one, a glob, or a folder. As SQL that DuckDB reads them by."""

from pathlib import Path

from sluice.api.gate import Source
from sluice.checks.stores.base import CannotRead, escaped

_ENDINGS = {".parquet": "parquet", ".csv": "csv", ".tsv": "csv", ".json": "json", ".ndjson": "json"}
_COMPRESSED = (".gz", ".zst")


def read(source: Source, uri: str) -> str:
    """What stands after FROM. Raises CannotRead."""
    path = uri.removeprefix("file://")
    if "://" not in path and Path(path).is_dir():
        path = in_folder(source, path)
    return reader(source, path)


def in_folder(source: Source, folder: str) -> str:
    """The glob of a folder's files. Raises CannotRead when the source does not say their format."""
    if source.format not in ("parquet", "csv", "json"):
        raise CannotRead("it is a folder; say format: parquet, csv or json")
    return f"{folder.rstrip('/')}/**/*.{source.format}*"


def reader(source: Source, path: str) -> str:
    """What stands after FROM for a file or a glob. Raises CannotRead."""
    kind = source.format or _format_of(path)
    if kind == "parquet":
        return f"read_parquet('{escaped(path)}', union_by_name=true)"
    if kind == "json":
        return f"read_json('{escaped(path)}')"
    if kind == "table":
        raise CannotRead("it is a file, and format: table is for databases")
    lenient = source.strict is False
    nulls = ", ".join(f"'{escaped(text)}'" for text in ("", *source.null_texts))
    # The dialect is stated, not guessed: a guess may take broken lines for a preamble and pass over them in silence.
    dialect = f"header=true, delim='{escaped(source.delimiter or ',')}', quote='\"', escape='\"', skip=0, comment=''"
    return f"read_csv('{escaped(path)}', {dialect}, strict_mode=true, ignore_errors={lenient}, nullstr=[{nulls}])"


def _format_of(path: str) -> str:
    name = path.rstrip("/").lower()
    for suffix in _COMPRESSED:
        name = name.removesuffix(suffix)
    for ending, kind in _ENDINGS.items():
        if name.endswith(ending):
            return kind
    raise CannotRead("its format cannot be told from its name; say format: parquet, csv or json")
