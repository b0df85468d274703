"""Fixtures over the real cluster that `make cluster` brings up. Each test has a namespace of its own and runs beside others."""

import fcntl
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster.boundaries import Boundaries, between
from tests.cluster.installation import Installation
from tests.cluster.kit import OPERATOR_NAMESPACE, ROOT, Namespace
from tests.cluster.prometheus import Prometheus, prometheus


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest: side by side with all else it costs nothing, and at the end it is waited for."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session")
def kubeconfig() -> Path:
    """The cluster's kubeconfig. The harness has brought the cluster up; it is not skipped when it is not there."""
    told = os.environ.get("SLUICE_KUBECONFIG")
    if told:
        return Path(told)
    found = subprocess.run(
        [sys.executable, "-m", "dev.cluster", "kubeconfig"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return Path(found.stdout.strip())


@pytest.fixture
def namespaces(kubeconfig: Path) -> Iterator[Callable[[], Namespace]]:
    """Makes namespaces that are gone after the test."""
    made: list[Namespace] = []

    def make() -> Namespace:
        namespace = Namespace(f"test-{uuid.uuid4().hex[:8]}", kubeconfig)
        namespace.kubectl("create", "namespace", namespace.name)
        namespace.kubectl("label", "namespace", namespace.name, "pod-security.kubernetes.io/enforce=restricted")
        made.append(namespace)
        return namespace

    yield make
    for namespace in made:
        namespace.kubectl("delete", "namespace", namespace.name, "--wait=false", check=False)


@pytest.fixture
def operator(kubeconfig: Path) -> Iterator[Installation]:
    """The operator as it is installed, for one test at a time: a restart takes its pod and its counts away."""
    with locked():
        yield Installation(Namespace(OPERATOR_NAMESPACE, kubeconfig))


@pytest.fixture(scope="module")
def boundaries_of_module(kubeconfig: Path) -> Iterator[Boundaries]:
    """An operator that can be ended at its boundaries, for all tests of a module: to make and unmake it takes long."""
    with locked(), between(Installation(Namespace(OPERATOR_NAMESPACE, kubeconfig))) as made:
        yield made


@pytest.fixture
def prom(namespace: Namespace, tmp_path: Path) -> Iterator[Prometheus]:
    """A Prometheus of the test's own, with few `errors`: what the gate of `tests.cluster.shop` asks for."""
    with prometheus(namespace, tmp_path) as made:
        made.lines = "errors 0.002\n"
        made.wait_for("errors", 0.002)
        yield made


@pytest.fixture
def boundaries(boundaries_of_module: Boundaries, namespace: Namespace) -> Iterator[Boundaries]:
    """The boundaries of what the operator does for the namespace."""
    boundaries_of_module.begin(namespace)
    yield boundaries_of_module
    boundaries_of_module.rest()


@contextmanager
def locked() -> Iterator[None]:
    """Have the operator alone. A lock, and not xdist_group: pytest-xdist 3.8 does not see that mark with pytest 9.2."""
    with Path(tempfile.gettempdir(), "sluice-operator-under-test.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def namespace(namespaces: Callable[[], Namespace]) -> Namespace:
    """A namespace that enforces the restricted Pod Security profile."""
    return namespaces()
