"""The mutating webhook: an AdmissionReview in, an AdmissionReview out. What it decides is in `sluice.planning.hold`.

It does not go through Kopf, so that it answers as soon as the server listens: a Deployment cannot be changed without it.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from sluice.planning.hold import review
from sluice.telemetry.logs import get_logger

PATH = "/hold"
REFUSED = 403

log = get_logger(__name__)


def answer(body: Mapping[str, Any], operator: str) -> dict[str, Any]:
    """The answer to an AdmissionReview. `operator` is the operator's own user name. Raises KeyError, TypeError for what is
    none."""
    request = body["request"]
    kind, user = request["kind"]["kind"], request["userInfo"].get("username", "")
    decided = review(kind, request.get("oldObject"), request["object"], user, operator)
    response: dict[str, Any] = {"uid": request["uid"], "allowed": not decided.refusal}
    if decided.refusal:
        response["status"] = {"code": REFUSED, "reason": "Forbidden", "message": decided.refusal}
    elif decided.patch:
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(json.dumps(decided.patch).encode()).decode()
    return {"apiVersion": body["apiVersion"], "kind": "AdmissionReview", "response": response}


def handler(operator: str) -> Any:
    """The handler of POST requests to `PATH`."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return web.json_response(answer(await request.json(), operator))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("not an admission review", problem=f"{type(error).__name__}: {error}")
            return web.Response(status=400, text=f"not an AdmissionReview: {type(error).__name__}: {error}\n")

    return handle
