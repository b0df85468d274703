"""A server of repositories, somebody who pushes, and clones that may speak HTTP."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sluice.git.clones import Clones
from tests.unit.git.git_server import GitServer, Person


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    folder = tmp_path / "served"
    folder.mkdir()
    found = GitServer(folder)
    yield found
    found.close()


@pytest.fixture
def url(server: GitServer) -> str:
    return server.repository()


@pytest.fixture
def person(server: GitServer, url: str, tmp_path: Path) -> Person:
    return Person(tmp_path / "asha", server.folder / "apps.git")


@pytest.fixture
def clones(tmp_path: Path) -> Clones:
    return Clones(tmp_path / "cache", protocols=("http", "https", "ssh"))
