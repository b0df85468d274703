"""Which error an answer of the API server becomes."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.kube import errors
from sluice.kube.errors import ApiError, Attempt, KubeError, error_from_status

ATTEMPT = Attempt("create", "pods", "team-a", "extract-1")


def status(reason: str, message: str = "no", **details: Any) -> dict[str, object]:
    return {"kind": "Status", "reason": reason, "message": message, "details": details}


@pytest.mark.parametrize(
    ("code", "reason", "message", "expected", "retryable"),
    [
        (400, "BadRequest", "field label not supported: x", errors.Invalid, False),
        (401, "Unauthorized", "Unauthorized", errors.Unauthorized, True),
        (403, "Forbidden", 'pods is forbidden: User "x" cannot create resource', errors.Forbidden, False),
        (
            403,
            "Forbidden",
            'pods "a" is forbidden: exceeded quota: compute, requested: pods=1',
            errors.QuotaExceeded,
            True,
        ),
        (404, "NotFound", 'pods "extract-1" not found', errors.NotFound, False),
        (405, "MethodNotAllowed", "no", ApiError, False),
        (409, "AlreadyExists", 'pods "extract-1" already exists', errors.AlreadyExists, False),
        (409, "Conflict", "the object has been modified", errors.Conflict, True),
        (410, "Expired", "too old resource version: 1 (404)", errors.Gone, True),
        (410, "Gone", "gone", errors.Gone, True),
        (422, "Invalid", "spec.containers: Required value", errors.Invalid, False),
        (429, "TooManyRequests", "slow down", errors.TooManyRequests, True),
        (500, "InternalError", "failed calling webhook", errors.ServerError, True),
        (500, "Expired", "The provided continue parameter is too old", errors.Gone, True),
        (503, "ServiceUnavailable", "etcd", errors.ServerError, True),
        (504, "Timeout", "request did not complete", errors.ServerError, True),
    ],
)
def test_an_answer_becomes_the_error_that_names_it(
    code: int, reason: str, message: str, expected: type[ApiError], retryable: bool
) -> None:
    error = error_from_status(ATTEMPT, code, status(reason, message))

    assert type(error) is expected
    assert error.retryable is retryable
    assert (error.code, error.reason) == (code, reason)


def test_an_error_says_what_was_attempted_and_what_was_answered() -> None:
    error = error_from_status(ATTEMPT, 404, status("NotFound", 'pods "extract-1" not found'))

    assert str(error) == 'create pods team-a/extract-1: pods "extract-1" not found (404 NotFound)'


def test_an_attempt_without_a_name_names_the_namespace_alone() -> None:
    assert str(Attempt("list", "pods", "team-a")) == "list pods team-a"
    assert str(Attempt("list", "pods")) == "list pods"
    assert str(Attempt("get", "namespaces", None, "team-a")) == "get namespaces team-a"


def test_causes_are_kept_with_their_fields() -> None:
    causes = [
        {"field": "spec.steps", "message": "Required value"},
        {"reason": "FieldManagerConflict", "message": "x"},
        {},
    ]
    error = error_from_status(ATTEMPT, 422, status("Invalid", causes=causes))

    assert error.causes == ("spec.steps: Required value", "FieldManagerConflict: x", "?: ")


@pytest.mark.parametrize(
    ("header", "said", "expected"), [(3.0, None, 3.0), (None, 2, 2.0), (3.0, 2, 3.0), (None, None, None)]
)
def test_retry_after_comes_from_the_header_or_else_from_the_status(
    header: float | None, said: int | None, expected: float | None
) -> None:
    details: dict[str, Any] = {} if said is None else {"retryAfterSeconds": said}

    assert (
        error_from_status(ATTEMPT, 429, status("TooManyRequests", **details), retry_after=header).retry_after
        == expected
    )


def test_an_answer_that_is_no_status_is_told_by_its_code_and_text() -> None:
    assert str(error_from_status(ATTEMPT, 502, None, text="Bad Gateway")).endswith("Bad Gateway (502)")
    assert str(error_from_status(ATTEMPT, 502, None)).endswith("HTTP 502 (502)")
    assert str(error_from_status(ATTEMPT, 502, {"kind": "Pod", "message": "not a status"})).endswith("HTTP 502 (502)")


def test_a_long_message_is_cut() -> None:
    assert len(error_from_status(ATTEMPT, 500, status("InternalError", "x" * 100_000)).message) < 1100


def test_every_class_is_drawn_in_the_docstring() -> None:
    classes = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, KubeError)]

    assert errors.__doc__ is not None
    assert [one.__name__ for one in classes if one.__name__ not in errors.__doc__] == []
