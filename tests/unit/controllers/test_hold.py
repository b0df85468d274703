"""Reviews over HTTP: what comes in from an API server, what it gets back, and what is no review."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import ClientSession, web

from sluice.controllers.hold import PATH, HoldReviews

OPERATOR = "system:serviceaccount:sluice-system:sluice"
Ask = Callable[[object], Awaitable[tuple[int, str]]]


@pytest.fixture
async def ask() -> AsyncIterator[Ask]:
    """Sends a body to a server that reviews; status and text of the answer."""
    app = web.Application()
    app.router.add_post(PATH, HoldReviews(OPERATOR).handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}{PATH}"
    async with ClientSession() as session:

        async def send(body: object) -> tuple[int, str]:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            async with session.post(url, data=data) as answer:
                return answer.status, await answer.text()

        yield send
    await runner.cleanup()


def target(image: str, *, held: bool = False) -> dict[str, Any]:
    """A target as the API server sends it."""
    annotations = {"annotations": {"sluice.dev/held": "true"}} if held else {}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "pricing", "namespace": "shop", "labels": {"sluice.dev/canary": "pricing"}} | annotations,
        "spec": {"template": {"spec": {"containers": [{"image": image}]}}} | ({"paused": True} if held else {}),
    }


def review(old: Any, new: Any, user: str = "jo") -> dict[str, Any]:
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u1",
            "kind": {"group": "apps", "version": "v1", "kind": "Deployment"},
            "operation": "UPDATE",
            "namespace": "shop",
            "name": "pricing",
            "userInfo": {"username": user, "groups": ["system:authenticated"]},
            "object": new,
            "oldObject": old,
            "dryRun": False,
        },
    }


async def answered(ask: Ask, body: object) -> dict[str, Any]:
    status, text = await ask(body)
    assert status == 200, text
    answer = json.loads(text)
    assert (answer["apiVersion"], answer["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    response: dict[str, Any] = answer["response"]
    return response


async def test_a_new_template_is_let_in_with_a_patch(ask: Ask) -> None:
    response = await answered(ask, review(target("v1"), target("v2")))

    patch = json.loads(base64.b64decode(response.pop("patch")))
    assert response == {"uid": "u1", "allowed": True, "patchType": "JSONPatch"}
    assert patch == [
        {"op": "add", "path": "/metadata/annotations", "value": {"sluice.dev/held": "true"}},
        {"op": "add", "path": "/spec/paused", "value": True},
    ]


async def test_a_resume_by_hand_is_forbidden_with_a_message(ask: Ask) -> None:
    resumed = target("v1", held=True)
    del resumed["spec"]["paused"]

    response = await answered(ask, review(target("v1", held=True), resumed))

    assert (response["uid"], response["allowed"], response["status"]["code"]) == ("u1", False, 403)
    assert "`sluice canary promote --full pricing`" in response["status"]["message"]


@pytest.mark.parametrize(
    "body",
    [
        review(target("v1"), target("v1")),
        review(target("v1"), target("v2"), OPERATOR),
        review(None, target("v2")),
    ],
)
async def test_all_else_is_let_in_as_it_is(ask: Ask, body: object) -> None:
    assert await answered(ask, body) == {"uid": "u1", "allowed": True}


def without(field: str) -> dict[str, Any]:
    body = review(target("v1"), target("v2"))
    del body["request"][field]
    return body


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "Invalid JSON"),
        ([], "should be an object, not []"),
        ({}, "request: Field required"),
        (review(None, target("v2")) | {"apiVersion": "admission.k8s.io/v1beta1"}, "apiVersion: Input should be"),
        (review(None, target("v2")) | {"kind": "Review"}, "Input should be 'AdmissionReview', not \"Review\""),
        (without("uid"), "request.uid: Field required"),
        (without("object"), "request.object: Field required"),
        (without("userInfo"), "request.userInfo: Field required"),
        (review([], target("v2")), "request.oldObject: Input should be an object, not []"),
        (review(None, target("v2") | {"spec": 7}), "request.object.spec: Input should be an object, not 7"),
        (
            review(None, target("v2") | {"metadata": None}),
            "request.object.metadata: Input should be an object, not null",
        ),
    ],
)
async def test_what_is_no_review_gets_400_with_the_field(ask: Ask, body: object, words: str) -> None:
    status, text = await ask(body)

    assert status == 400
    assert words in text
