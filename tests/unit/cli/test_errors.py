"""What a user is told when the cluster says no, or nothing."""

import pytest

from sluice.cli.errors import Exit, explain
from sluice.kube.errors import (
    ApiError,
    Attempt,
    Conflict,
    ConnectionFailed,
    Forbidden,
    Invalid,
    KubeError,
    NotConfigured,
    NotFound,
    RequestTimeout,
    ServerError,
    TooManyRequests,
    Unauthorized,
)

GET = Attempt("get", "pipelineruns.sluice.dev", "data", "x")
DENIED = (
    'admission webhook "runs.sluice.dev" denied the request: spec.params.rows: Invalid value: "a": must be an integer'
)


def refused() -> ConnectionFailed:
    class Cause(Exception):
        os_error = ConnectionRefusedError(111, "Connect call failed")

    error = ConnectionFailed(GET, "ClientConnectorError: Cannot connect to host")
    error.__cause__ = Cause()
    return error


@pytest.mark.parametrize(
    ("error", "message", "code"),
    [
        (
            refused(),
            'cannot reach the API server at https://host:6443 (context "kind"): Connection refused; is the cluster up, '
            "and is this the right --context?",
            Exit.UNKNOWN,
        ),
        (
            ConnectionFailed(GET, "ClientConnectorDNSError: no such host"),
            'cannot reach the API server at https://host:6443 (context "kind"): ClientConnectorDNSError: no such host; '
            "is the cluster up, and is this the right --context?",
            Exit.UNKNOWN,
        ),
        (
            RequestTimeout(GET, "no complete answer within 10 s"),
            'the API server at https://host:6443 (context "kind") gave no answer: no complete answer within 10 s; '
            "try again",
            Exit.UNKNOWN,
        ),
        (
            NotConfigured(GET, "no kubeconfig at /x, and not running in a pod"),
            "no kubeconfig at /x, and not running in a pod; give --kubeconfig, or set KUBECONFIG",
            Exit.USAGE,
        ),
        (
            Unauthorized(GET, "Unauthorized (401 Unauthorized)", code=401),
            'the API server at https://host:6443 (context "kind") does not accept the credentials; log in again, or '
            "choose another --context",
            Exit.NO,
        ),
        (
            NotFound(GET, 'pipelineruns.sluice.dev "x" not found (404 NotFound)', code=404),
            'pipelineruns.sluice.dev "x" not found in namespace data; is it the right name and namespace?',
            Exit.NO,
        ),
        (
            NotFound(GET, "the server could not find the requested resource (404 NotFound)", code=404),
            "the cluster does not know pipelineruns.sluice.dev; install sluice's CRDs first",
            Exit.NO,
        ),
        (
            NotFound(GET, "404 page not found", code=404),
            "the cluster does not know pipelineruns.sluice.dev; install sluice's CRDs first",
            Exit.NO,
        ),
        (
            Forbidden(GET, 'pipelineruns.sluice.dev is forbidden: User "u" cannot get (403 Forbidden)', code=403),
            'pipelineruns.sluice.dev is forbidden: User "u" cannot get; ask for a role that allows it',
            Exit.NO,
        ),
        (Forbidden(GET, f"{DENIED} (403 Forbidden)", code=403), DENIED, Exit.NO),
        (Invalid(GET, "spec.x: Invalid value (422 Invalid)", code=422), "spec.x: Invalid value", Exit.NO),
        (Conflict(GET, "changed (409 Conflict)", code=409), "changed", Exit.NO),
        (
            ServerError(GET, "etcd is down (500 InternalError)", code=500),
            "the API server cannot do it now: etcd is down; try again",
            Exit.UNKNOWN,
        ),
        (
            TooManyRequests(GET, "slow down (429 TooManyRequests)", code=429),
            "the API server cannot do it now: slow down; try again",
            Exit.UNKNOWN,
        ),
        (ApiError(GET, "a teapot (418)", code=418), "a teapot", Exit.NO),
    ],
)
def test_every_error_is_one_line_that_says_what_to_do(error: KubeError, message: str, code: Exit) -> None:
    found = explain(error, "https://host:6443", "kind")
    assert (str(found), found.code) == (message, code)
    assert "\n" not in str(found)
