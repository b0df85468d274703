"""One conversation with a cluster: connect, do something, and turn what goes wrong into a sentence."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from sluice import __version__
from sluice.api.durations import parse_duration
from sluice.cli.errors import CliError, Exit, explain
from sluice.cli.kubeconfig import choose
from sluice.cli.options import Place
from sluice.kube.client import KubeClient
from sluice.kube.connection import Connection
from sluice.kube.errors import KubeError
from sluice.telemetry.logs import configure, get_logger

T = TypeVar("T")

FIELD_MANAGER = "sluice-cli"

log = get_logger(__name__)


@dataclass(frozen=True)
class Session:
    """A client and the namespace that was chosen."""

    client: KubeClient
    namespace: str


def converse(place: Place, action: Callable[[Session], Awaitable[T]]) -> T:
    """The result of `action` in the cluster at `place`. Raises CliError for everything that is to be expected."""
    configure(format="console", level="DEBUG" if place.verbose else "ERROR")
    return asyncio.run(_converse(place, action))


async def _converse(place: Place, action: Callable[[Session], Awaitable[T]]) -> T:
    chosen = choose(place.kubeconfig, place.context)
    host = ""
    try:
        connection = await Connection.load(kubeconfig=place.kubeconfig, context=place.context)
        host = connection.host
        client = KubeClient(connection, field_manager=FIELD_MANAGER, user_agent=f"sluice-cli/{__version__}")
        async with client:
            return await action(Session(client, place.namespace or chosen.namespace))
    except KubeError as error:
        log.debug("the API server could not be asked, or refused", exc_info=True)
        raise explain(error, host, chosen.context) from error


def seconds_of(timeout: str | None) -> float | None:
    """The value of --timeout."""
    if timeout is None:
        return None
    try:
        return parse_duration(timeout).total_seconds()
    except ValueError as error:
        raise CliError(f"--timeout {error}", Exit.USAGE) from error
