"""What is registered with Kopf: a review for every kind, and nothing else that would write or list."""

from typing import Any, cast

import kopf
import pytest

from sluice.api.crd import KINDS
from sluice.controllers.handlers import register
from sluice.kube.client import KubeClient
from sluice.reconcile.engine import Engine
from tests.builders import manifest

BAD = {"checks": [{"name": "rows", "data": {"source": "flights"}}]}


def reviews(*, webhooks: bool = True) -> dict[str, Any]:
    """The functions that review, by the id that stands in their path."""
    registry = kopf.OperatorRegistry()
    register(registry, cast("Engine", None), cast("KubeClient", None), webhooks=webhooks)
    return {str(handler.id): handler.fn for handler in registry._webhooks.get_all_handlers()}


def test_every_kind_is_reviewed_at_a_path_of_its_own() -> None:
    assert set(reviews()) == {kind.plural for kind in KINDS}


def test_nothing_is_reviewed_without_a_webhook() -> None:
    assert reviews(webhooks=False) == {}


@pytest.mark.parametrize("operation", ["CREATE", "UPDATE"])
async def test_a_gate_that_cannot_work_is_refused(operation: str) -> None:
    with pytest.raises(kopf.AdmissionError, match="exactly one assertion"):
        await reviews()["qualitygates"](body=manifest("QualityGate", BAD), operation=operation)


async def test_deleting_is_never_refused() -> None:
    await reviews()["qualitygates"](body=manifest("QualityGate", BAD), operation="DELETE")
