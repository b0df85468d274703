"""A commit is all it takes: Argo CD applies it, and says what became of it. Needs the add-on argocd."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.argo import Application, ArgoCD, Refused, Repository, application
from tests.cluster.kit import HELD, Namespace, pipeline, shell

pytestmark = pytest.mark.argocd

A_SECOND = 1.0
SLACK = 9.0
"""What a busy machine may take on top."""


@pytest.fixture
def repository(namespace: Namespace, tmp_path: Path) -> Repository:
    """A repository with one pipeline that succeeds."""
    made = Repository(namespace.name, tmp_path)
    made.commit("Add the pipeline one", one=pipeline("one", shell("main")))
    return made


@pytest.fixture
def app(namespace: Namespace, repository: Repository) -> Iterator[Application]:
    with application(namespace, repository) as made:
        made.synced(repository.git("rev-parse", "HEAD"))
        yield made


def test_a_commit_that_adds_a_pipeline_is_synced_and_one_that_removes_it_too(
    app: Application, repository: Repository, namespace: Namespace
) -> None:
    began = time.monotonic()
    app.synced(repository.commit("Add the pipeline two", two=pipeline("two", shell("main"))))
    # Without the push being told it would take until the next round, which is 30 s away.
    assert time.monotonic() - began < A_SECOND + SLACK
    assert namespace.get("pipeline", "two")["spec"]["steps"][0]["name"] == "main"
    app.is_healthy("Healthy")

    app.synced(repository.commit("Remove the pipeline two", two=None))
    assert namespace.kubectl("get", "pipeline", "two", check=False).returncode != 0
    assert namespace.get("pipeline", "one")
