"""What can go wrong when talking to the API server: one tree of errors.

    KubeError
    ├── NotConfigured            there is no cluster to talk to, or its configuration cannot be read
    ├── NotLeading               (in `lease`) another replica may write, and this one may not
    ├── ApiError                 the server answered, with an error
    │   ├── NotFound             404
    │   ├── Conflict             409: the object changed since it was read, or a precondition (uid, resourceVersion)
    does not hold │   ├── AlreadyExists        409, reason AlreadyExists: the name is taken
    │   ├── Gone                 410, or reason Expired: the resourceVersion or continue token is too old; list again
    │   ├── Invalid              400 and 422: the object was refused; sending it again cannot help
    │   ├── Unauthorized         401: no valid credentials
    │   ├── Forbidden            403: no permission, or admission said no
    │   │   ├── QuotaExceeded    403 because of a ResourceQuota: may succeed once others have ended
    │   │   └── NamespaceTooNew  403 because the namespace has no default service account yet
    │   ├── TooManyRequests      429, with the number of seconds to wait
    │   └── ServerError          5xx
    └── TransportError           no answer, or not a whole one
        ├── RequestTimeout       the deadline passed; whether a write took effect is unknown
        └── ConnectionFailed     refused, reset, cut off; whether a write took effect is unknown unless it was refused

Each says what was attempted (verb, resource, namespace/name) and what the server answered. `retryable` says whether the
same request may succeed later without anyone changing anything. The client never retries by itself: the work queue
does, with back-off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

_MAX_MESSAGE = 1024
"""Server messages are cut to this many characters: an admission message may quote a whole object."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What was being done: `create pods team-a/extract-1`."""

    verb: str
    resource: str
    namespace: str | None = None
    name: str | None = None

    def __str__(self) -> str:
        target = "/".join(part for part in (self.namespace, self.name) if part)
        return f"{self.verb} {self.resource} {target}" if target else f"{self.verb} {self.resource}"


class KubeError(Exception):
    """Anything that went wrong between the operator and the API server."""

    retryable: ClassVar[bool] = False

    def __init__(self, attempt: Attempt, message: str) -> None:
        super().__init__(f"{attempt}: {message}")
        self.attempt = attempt
        self.message = message


class NotConfigured(KubeError):
    """No usable kubeconfig, and not inside a cluster."""


class ApiError(KubeError):
    """The API server answered with an error."""

    def __init__(
        self,
        attempt: Attempt,
        message: str,
        *,
        code: int,
        reason: str = "",
        causes: tuple[str, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(attempt, message)
        self.code = code
        """HTTP status code, or the code in the Status object of a watch."""
        self.reason = reason
        """The API's CamelCase reason, such as `AlreadyExists`; empty when it gave none."""
        self.causes = causes
        """One `field: message` for each cause the server named."""
        self.retry_after = retry_after
        """Seconds the server asked to wait, or None when it did not say."""


class NotFound(ApiError):
    """The object, its namespace or its kind is not there."""


class Conflict(ApiError):
    """The object changed since it was read, or it is not the one that was meant."""

    retryable = True


class AlreadyExists(ApiError):
    """An object of this name exists. Whether it is ours is for the caller to find out."""


class Gone(ApiError):
    """The history asked for has been compacted: list again."""

    retryable = True


class Invalid(ApiError):
    """The server refused the object; it has to be changed first."""


class Unauthorized(ApiError):
    """The credentials are missing, expired or unknown. Retryable because tokens are refreshed."""

    retryable = True


class Forbidden(ApiError):
    """Not allowed, by RBAC or by admission."""


class QuotaExceeded(Forbidden):
    """A ResourceQuota leaves no room; may pass once other objects are gone."""

    retryable = True


class NamespaceTooNew(Forbidden):
    """The namespace was made a moment ago, and its default service account, which pods need, is about to follow."""

    retryable = True


class TooManyRequests(ApiError):
    """The server asks to slow down; `retry_after` says for how long."""

    retryable = True


class ServerError(ApiError):
    """The server, an admission webhook or etcd failed."""

    retryable = True


class TransportError(KubeError):
    """There was no answer, or not a whole one."""

    retryable = True


class RequestTimeout(TransportError):
    """No complete answer before the deadline. A write may or may not have taken effect."""


class ConnectionFailed(TransportError):
    """The connection could not be made, or broke. A write may have taken effect unless the connection was refused."""


_BY_CODE: dict[int, type[ApiError]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}


def error_from_status(
    attempt: Attempt, code: int, status: Mapping[str, Any] | None, *, retry_after: float | None = None, text: str = ""
) -> ApiError:
    """The error for an API `Status` object (or, when the body was none, for the HTTP code and the text of the answer).

    `retry_after` is the answer's Retry-After header in seconds; the Status may say it too.
    """
    status = status if status is not None and status.get("kind") == "Status" else {}
    reason = str(status.get("reason") or "")
    message = str(status.get("message") or text or f"HTTP {code}")[:_MAX_MESSAGE]
    details = status.get("details") or {}
    if retry_after is None and details.get("retryAfterSeconds"):
        retry_after = float(details["retryAfterSeconds"])
    causes = tuple(
        f"{cause.get('field') or cause.get('reason') or '?'}: {cause.get('message', '')}"[:_MAX_MESSAGE]
        for cause in details.get("causes") or ()
    )
    return _class_of(code, reason, message)(
        attempt,
        f"{message} ({code}{' ' + reason if reason else ''})",
        code=code,
        reason=reason,
        causes=causes,
        retry_after=retry_after,
    )


def _class_of(code: int, reason: str, message: str) -> type[ApiError]:
    if reason == "AlreadyExists":
        return AlreadyExists
    if reason in ("Expired", "Gone"):
        return Gone
    if code == 403 and "exceeded quota" in message:
        return QuotaExceeded
    if code == 403 and 'serviceaccount "default" not found' in message:
        return NamespaceTooNew
    if code >= 500:
        return ServerError
    return _BY_CODE.get(code, ApiError)
