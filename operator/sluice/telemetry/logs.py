"""Logging: structlog for the operator, and the standard library's loggers (Kopf, aiohttp, kubernetes) through the same
processors.

Every record, whoever wrote it, passes `redact` just before it is rendered, so that no credential reaches a log (safety
rule 11).
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, Final, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from sluice.telemetry.redaction import REDACTED, redact_text

_SECRET_KEY: Final = re.compile(
    r"(^|[-_.])(token|password|passwd|passphrase|secret|authorization|cookie|credentials?|api[-_]?key|access[-_]?key|private[-_]?key"
    r"|client[-_]?key([-_]data)?|session[-_]?key)$",
    re.IGNORECASE,
)
"""Names of fields whose value is never shown. Only the last word counts: `tokens` and `secret_name` say nothing
secret."""

_CAMEL_STEP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_MAX_DEPTH: Final = 8


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Structlog processor: no secret in any key or value of the record, however deep."""
    return {key: _clean(key, value, 0) for key, value in event.items()}


def _clean(key: object, value: Any, depth: int) -> Any:
    if isinstance(key, str) and value is not None and not isinstance(value, bool) and _names_secret(key):
        return REDACTED
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, (bytes, bytearray)):
        return redact_text(bytes(value).decode(errors="replace"))
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if depth >= _MAX_DEPTH:
        return redact_text(repr(value))
    if isinstance(value, Mapping):
        return {inner: _clean(inner, item, depth + 1) for inner, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_clean(None, item, depth + 1) for item in value]
    return redact_text(str(value))


def _names_secret(key: str) -> bool:
    return _SECRET_KEY.search(_CAMEL_STEP.sub("_", key)) is not None


_ALWAYS: Final[tuple[Processor, ...]] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
)
_AT_LAST: Final[tuple[Processor, ...]] = (structlog.processors.format_exc_info, redact)
"""Tracebacks become text before they are redacted. They are plain ones: structlog's own default shows local
variables."""


_EXTRA: Final = structlog.stdlib.ExtraAdder(allow=["k8s_ref"])
"""Of what Kopf attaches to its records only the object is kept; the rest is all of its settings, 3 KB a line."""


def configure(
    *,
    format: Literal["json", "console"] = "json",  # noqa: A002 (the built-in is not needed here)
    level: int | str = logging.INFO,
    stream: TextIO | None = None,
) -> None:
    """Set up logging for the process; a second call replaces the first. Writes to stderr unless told otherwise."""
    stream = stream or sys.stderr
    render: Processor = structlog.processors.JSONRenderer(default=str)
    if format == "console":
        render = structlog.dev.ConsoleRenderer(colors=stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_ALWAYS, _EXTRA],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_AT_LAST, render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    _configure_structlog(structlog.stdlib.ProcessorFormatter.wrap_for_formatter, cache=True)


def _configure_structlog(*last: Processor, cache: bool) -> None:
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *_ALWAYS, *last],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=cache,
    )


# Until `configure` is called (in tests, in programs that only use a part of sluice) records go to the standard library,
# just as safe.
_configure_structlog(*_AT_LAST, structlog.processors.JSONRenderer(default=str), cache=False)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module, which gives its `__name__`. Say what happened, and the rest as fields: `run=...,
    step=...`."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
