"""A client of a loopback API server, for what a real one cannot be brought to do."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from kubernetes.aio.client import Configuration

from sluice.kube.client import KubeClient
from sluice.kube.connection import Connection
from tests.unit.kube.loopback_api import LoopbackApi, LoopbackCluster


@pytest.fixture
async def api() -> AsyncIterator[LoopbackApi]:
    """A server that answers what the test tells it to."""
    async with LoopbackApi() as server:
        yield server


@pytest.fixture
async def client(api: LoopbackApi) -> AsyncIterator[KubeClient]:
    """A client of `api`."""
    async with KubeClient(Connection(Configuration(host=api.url))) as kube:
        yield kube


@pytest.fixture
async def cluster() -> AsyncIterator[LoopbackCluster]:
    """A server with objects that can be listed and watched."""
    async with LoopbackCluster() as server:
        yield server


@pytest.fixture
async def cluster_client(cluster: LoopbackCluster) -> AsyncIterator[KubeClient]:
    """A client of `cluster`."""
    async with KubeClient(Connection(Configuration(host=cluster.url))) as kube:
        yield kube
