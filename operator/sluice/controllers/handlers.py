"""The Kopf handlers: a few lines each. Events go into the engine's caches, reviews to `sluice.controllers.admission`.

They are coroutines: Kopf runs plain functions in threads, and the caches belong to the event loop.

Handlers are made for one operator by `register`, so that several can live in one process (tests) without globals.
"""

from typing import Any

import kopf

from sluice.api.names import GROUP, VERSION
from sluice.controllers import admission
from sluice.kube.client import KubeClient
from sluice.reconcile.engine import PIPELINE, RUN, Engine


def register(registry: kopf.OperatorRegistry, engine: Engine, client: KubeClient, *, webhooks: bool) -> None:
    """Add all handlers to `registry`."""

    @kopf.on.login(registry=registry)
    async def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

    @kopf.on.event(GROUP, VERSION, "datapipelines", registry=registry)
    async def pipeline_event(event: Any, **_: Any) -> None:
        engine.observe(PIPELINE, event["type"], event["object"])

    @kopf.on.event(GROUP, VERSION, "pipelineruns", registry=registry)
    async def run_event(event: Any, **_: Any) -> None:
        engine.observe(RUN, event["type"], event["object"])

    if not webhooks:
        return

    async def review(body: kopf.Body, operation: str, **_: Any) -> None:
        if operation in ("CREATE", "UPDATE"):
            admission.review_object(dict(body))

    for plural in ("datapipelines", "qualitygates", "metricsources", "clustermetricsources"):
        kopf.on.validate(GROUP, VERSION, plural, id=plural, registry=registry)(review)  # type: ignore[arg-type]

    @kopf.on.validate(GROUP, VERSION, "canaries", id="canaries", registry=registry)  # type: ignore[arg-type]
    async def canary_review(body: kopf.Body, old: kopf.BodyEssence | None, operation: str, **_: Any) -> None:
        if operation in ("CREATE", "UPDATE"):
            before = dict(old) if operation == "UPDATE" and old else None
            admission.review_canary(engine.caches.canaries, dict(body), before)

    @kopf.on.validate(GROUP, VERSION, "pipelineruns", id="pipelineruns", registry=registry)  # type: ignore[arg-type]
    async def run_review(body: kopf.Body, old: kopf.BodyEssence | None, operation: str, **_: Any) -> None:
        if operation in ("CREATE", "UPDATE"):
            before = dict(old) if operation == "UPDATE" and old else None
            await admission.review_run(client, engine.caches.pipelines, dict(body), before)
