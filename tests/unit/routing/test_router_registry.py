"""The registry of routers."""

from sluice.routing.base import Router
from sluice.routing.registry import ROUTERS


def test_every_kind_of_route_has_a_router() -> None:
    routers: list[Router] = list(ROUTERS.values())
    assert set(ROUTERS) == {"HTTPRoute", "GRPCRoute"}
    assert len(routers) == 2
