"""From the kind of a route to its router: one line for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sluice.routing.base import Router
from sluice.routing.gateway_api import GRPC_ROUTE, HTTP_ROUTE

ROUTERS: Final[Mapping[str, Router]] = {
    "HTTPRoute": HTTP_ROUTE,
    "GRPCRoute": GRPC_ROUTE,
}
"""What steers each kind of route, by the kind."""
