"""S3-compatible storage: pyarrow's file system, registered with DuckDB under a scheme for each set of credentials.

Credentials and the endpoint come from the environment under the source's prefix, AWS by default: PREFIX_ACCESS_KEY_ID,
PREFIX_SECRET_ACCESS_KEY, PREFIX_SESSION_TOKEN, PREFIX_REGION, PREFIX_ENDPOINT (or PREFIX_ENDPOINT_URL). Without keys
requests are anonymous. Time is bounded: a store that does not answer is an error, and not a hang.
"""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import duckdb
from fsspec.implementations.arrow import ArrowFSWrapper
from pyarrow import fs

from sluice.api.gate import Source
from sluice.checks.stores import files
from sluice.checks.stores.base import CannotRead

DEFAULT_PREFIX = "AWS"
CONNECT_SECONDS = 5
REQUEST_SECONDS = 30
ATTEMPTS = 3
_CHUNK = 16 * 1024 * 1024
_REFUSED = re.compile(r"ACCESS_DENIED|SIGNATURE|INVALID_ACCESS_KEY|InvalidAccessKeyId|UserNotFound|HTTP status 40[13]")
_GLOB = re.compile(r"[*?\[{]")


def file_system(prefix: str | None, environment: Mapping[str, str]) -> fs.S3FileSystem:
    """The storage that a prefix of environment variables leads to. Raises CannotRead for half of a pair of keys."""
    name = prefix or DEFAULT_PREFIX

    def get(*endings: str) -> str | None:
        return next((value for end in endings if (value := environment.get(f"{name}_{end}"))), None)

    key, secret = get("ACCESS_KEY_ID"), get("SECRET_ACCESS_KEY")
    if (key is None) != (secret is None):
        raise CannotRead(f"{name}_ACCESS_KEY_ID and {name}_SECRET_ACCESS_KEY are needed both, or neither")
    settings: dict[str, Any] = {"anonymous": True}
    if key is not None:
        settings = {"access_key": key, "secret_key": secret, "session_token": get("SESSION_TOKEN")}
    endpoint = get("ENDPOINT", "ENDPOINT_URL")
    if endpoint is not None:
        parts = urlsplit(endpoint if "://" in endpoint else f"https://{endpoint}")
        settings |= {"endpoint_override": parts.netloc, "scheme": parts.scheme}
    return fs.S3FileSystem(
        region=get("REGION", "DEFAULT_REGION") or "us-east-1",
        connect_timeout=CONNECT_SECONDS,
        request_timeout=REQUEST_SECONDS,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
        **settings,
    )


class _Storage(ArrowFSWrapper):  # type: ignore[misc]
    """pyarrow's file system as fsspec calls it, where paths begin with the bucket."""

    root_marker = ""

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path.partition("://")[2] if "://" in path else path


class Storages:
    """The file systems that one DuckDB connection reads through."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, environment: Mapping[str, str]) -> None:
        self._connection = connection
        self._environment = environment
        self._known: dict[str, fs.S3FileSystem] = {}

    def read(self, source: Source, uri: str) -> tuple[str, str]:
        """(what stands after FROM, the path as DuckDB has to be allowed to read it). Raises CannotRead."""
        scheme, system = self._register(source.credentials or DEFAULT_PREFIX)
        path = uri.removeprefix("s3://")
        bucket, _, key = path.partition("/")
        if not bucket:
            raise CannotRead("there is no bucket in it: s3://BUCKET/KEY is the form")
        whole = _GLOB.search(path)
        known = path[: whole.start()].rpartition("/")[0] if whole else path.rstrip("/")
        self._require(system, bucket, known, key)
        if not whole and system.get_file_info(known).type == fs.FileType.Directory:
            path = files.in_folder(source, known)
        return files.reader(source, f"{scheme}://{path}"), f"{scheme}://{path}"

    def shown(self, text: str) -> str:
        """A message of DuckDB's with uris as the user knows them."""
        for prefix in self._known:
            text = text.replace(f"{_scheme(prefix)}://", "s3://")
        return text

    def _register(self, prefix: str) -> tuple[str, fs.S3FileSystem]:
        scheme = _scheme(prefix)
        if prefix not in self._known:
            system = file_system(prefix, self._environment)
            storage = type("Storage", (_Storage,), {"protocol": scheme})
            self._connection.register_filesystem(storage(system, skip_instance_cache=True))
            self._known[prefix] = system
        return scheme, self._known[prefix]

    def _require(self, system: fs.S3FileSystem, bucket: str, known: str, key: str) -> None:
        """Raise CannotRead, in plain words, unless what the uri names is there."""
        try:
            if known and known != bucket and system.get_file_info(known).type != fs.FileType.NotFound:
                return
            there = system.get_file_info(bucket).type != fs.FileType.NotFound
        except OSError as error:
            raise CannotRead(explain(error)) from None
        if not there:
            raise CannotRead(f'there is no bucket "{bucket}"')
        if known != bucket:
            raise CannotRead(f'there is no "{key}" in the bucket "{bucket}"')


def explain(error: OSError) -> str:
    """An error of the storage in plain words."""
    text = str(error)
    if _REFUSED.search(text):
        return "the storage refuses access: the keys are wrong, or lack the right to read it"
    if re.search(r"NETWORK_CONNECTION|curlCode", text):
        return f"the storage cannot be reached within {ATTEMPTS} attempts of {CONNECT_SECONDS} s"
    if "NO_SUCH_BUCKET" in text:
        return "there is no such bucket"
    return text.strip().splitlines()[0] if text.strip() else type(error).__name__


def upload(local: Path, uri: str, prefix: str | None, environment: Mapping[str, str]) -> None:
    """Put a whole file in the place of an object. It is there when all of it is, and not before. Raises OSError."""
    try:
        system = file_system(prefix, environment)
    except CannotRead as error:
        raise OSError(str(error)) from None
    path = uri.removeprefix("s3://")
    try:
        with local.open("rb") as file, system.open_output_stream(path) as stream:
            shutil.copyfileobj(file, stream, _CHUNK)
        written = system.get_file_info(path).size
    except OSError as error:
        raise OSError(explain(error)) from None
    if written != local.stat().st_size:
        raise OSError(f"the storage has {written or 0} of {local.stat().st_size} bytes")


def _scheme(prefix: str) -> str:
    return f"s3-{prefix.lower().replace('_', '-')}"
