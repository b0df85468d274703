"""The engine: the harness builds it when it is missing, so no test skips for want of it."""

from collections.abc import Iterator

import pytest

from dev.cluster.settings import Settings
from dev.cluster.tools import Toolbox
from tests.unit.argocd.engine import Engine


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """Argo CD's Lua."""
    toolbox = Toolbox(Settings.from_environment().cache)
    try:
        program = toolbox.path("argocd-lua")
    finally:
        toolbox.close()
    with Engine(program) as made:
        yield made
