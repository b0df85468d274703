"""Reviews at POST /hold: an AdmissionReview v1 in, another one with the answer of `sluice.planning.hold` out.

Not through Kopf, which has to find out about the resources of the cluster first: while nobody answers here, the
templates of targets cannot be changed.
"""

import base64
import json
from typing import Any, Literal

from aiohttp import web
from pydantic import BaseModel, Field, ValidationError
from pydantic.alias_generators import to_camel

from sluice.planning.hold import Answer, Edit, Refusal, review
from sluice.telemetry.logs import get_logger

PATH = "/hold"
FORBIDDEN = 403

log = get_logger(__name__)


class _Part(BaseModel, alias_generator=to_camel):
    """A part of a review, with its fields named as Kubernetes does."""


class _Object(_Part, extra="allow"):
    """As much of an object as the rules build upon."""

    api_version: str
    kind: str
    metadata: dict[str, Any]
    spec: dict[str, Any] = Field(default_factory=dict)


class _User(_Part):
    username: str


class _Request(_Part):
    uid: str
    namespace: str = ""
    name: str = ""
    user_info: _User
    object: _Object
    old_object: _Object | None = None


class _Review(_Part):
    api_version: Literal["admission.k8s.io/v1"]
    kind: Literal["AdmissionReview"]
    request: _Request


class HoldReviews:
    """Answers reviews for one operator, whose name for the API server is `operator`."""

    def __init__(self, operator: str) -> None:
        self._operator = operator

    async def handle(self, request: web.Request) -> web.Response:
        """The answer to one review; 400 with the field and what is wrong for what is no review."""
        try:
            asked = _Review.model_validate_json(await request.read()).request
        except ValidationError as error:
            return web.Response(status=400, text=_problems(error))
        new = asked.object.model_dump(by_alias=True)
        old = asked.old_object.model_dump(by_alias=True) if asked.old_object is not None else None
        answer = review(old, new, user=asked.user_info.username, operator=self._operator)
        if answer is not None:
            log.info(
                "refused" if isinstance(answer, Refusal) else "changed at admission",
                kind=asked.object.kind,
                namespace=asked.namespace,
                name=asked.name,
                by=asked.user_info.username,
            )
        body = {
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "response": _response(asked.uid, answer),
        }
        return web.json_response(body)


def _response(uid: str, answer: Answer) -> dict[str, Any]:
    match answer:
        case Refusal(message):
            return {"uid": uid, "allowed": False, "status": {"code": FORBIDDEN, "message": message}}
        case Edit(operations):
            patch = base64.b64encode(json.dumps(operations).encode()).decode()
            return {"uid": uid, "allowed": True, "patchType": "JSONPatch", "patch": patch}
        case None:
            return {"uid": uid, "allowed": True}


def _problems(error: ValidationError) -> str:
    """A line for each field that is wrong: its path, what is wrong, and what was found if it is short."""
    lines = []
    for row in error.errors(include_url=False):
        path = ".".join(str(part) for part in row["loc"])
        found = "" if row["type"] in ("missing", "json_invalid") else f", not {json.dumps(row['input'])[:80]}"
        lines.append(f"{path}: {row['msg']}{found}" if path else f"{row['msg']}{found}")
    return "\n".join(lines)
