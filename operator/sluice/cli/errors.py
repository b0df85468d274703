"""How a command ends when it cannot do what it was asked: an exit code and one line that says what to do.

| code | meaning |
|---|---|
| 0 | done; the run succeeded; the new version was promoted; everything is valid |
| 1 | no: the run failed, the new version was rolled back, an object is invalid, something drifts, or it was refused |
| 2 | the command line is wrong, or a file cannot be read |
| 3 | the run was cancelled; with `diff --exit-code`: something changes |
| 4 | not known: no answer from the API server or the operator, the timeout passed, what was watched was deleted |
"""

from __future__ import annotations

import os
import re
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sluice.kube.errors import ApiError, KubeError


class Exit(IntEnum):
    """The exit codes. Part of the interface: scripts rely on them."""

    OK = 0
    NO = 1
    USAGE = 2
    CANCELLED = 3
    CHANGED = 3
    UNKNOWN = 4
    INTERRUPTED = 130


class CliError(Exception):
    """An expected error. `str` is what the user is told."""

    def __init__(self, message: str, code: Exit = Exit.NO) -> None:
        super().__init__(message)
        self.code = code


def explain(error: KubeError, host: str, context: str) -> CliError:
    """What to tell the user of an error of the API server at `host`, which the kubeconfig's `context` names."""
    from sluice.kube.errors import ApiError, NotConfigured, RequestTimeout, Unauthorized

    where = f"the API server at {host}" + (f' (context "{context}")' if context else "")
    match error:
        case NotConfigured():
            return CliError(f"{error.message}; give --kubeconfig, or set KUBECONFIG", Exit.USAGE)
        case Unauthorized():
            return CliError(f"{where} does not accept the credentials; log in again, or choose another --context")
        case ApiError():
            return CliError(_answer(error), Exit.UNKNOWN if error.retryable and error.code >= 429 else Exit.NO)
        case RequestTimeout():
            return CliError(f"{where} gave no answer: {error.message}; try again", Exit.UNKNOWN)
        case _:
            advice = "is the cluster up, and is this the right --context?"
            return CliError(f"cannot reach {where}: {_cause(error)}; {advice}", Exit.UNKNOWN)


def message_of(error: ApiError) -> str:
    """The API server's own words, without the code that the client puts behind them."""
    return re.sub(r" \(\d{3}( \w+)?\)$", "", error.message)


def _answer(error: ApiError) -> str:
    from sluice.kube.errors import Forbidden, NotFound, ServerError, TooManyRequests

    text = message_of(error)
    match error:
        case NotFound() if "could not find the requested resource" in text or text == "404 page not found":
            return f"the cluster does not know {error.attempt.resource}; install sluice's CRDs first"
        case NotFound():
            place = f" in namespace {error.attempt.namespace}" if error.attempt.namespace else ""
            return f"{text}{place}; is it the right name and namespace?"
        case Forbidden() if "is forbidden: User" in text:
            return f"{text}; ask for a role that allows it"
        case ServerError() | TooManyRequests():
            return f"the API server cannot do it now: {text}; try again"
        case _:
            return text


def _cause(error: KubeError) -> str:
    """Why the connection failed, in as few words as there are."""
    os_error = getattr(error.__cause__, "os_error", None)
    number = getattr(os_error, "errno", None)
    if isinstance(number, int) and number > 0:
        return os.strerror(number)
    return error.message
