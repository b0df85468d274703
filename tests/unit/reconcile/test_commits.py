"""Work on repositories beside the queue: a real git server on loopback, Applications and Secrets in a small API server."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes.aio.client import Configuration

from sluice.git.process import Limits
from sluice.kube.client import KubeClient
from sluice.kube.clock import ManualClock
from sluice.kube.connection import Connection
from sluice.kube.resources import APPLICATIONS, SECRETS
from sluice.planning.canary_actions import TakeBack
from sluice.planning.origins import Origin, ReadCommit
from sluice.planning.write_back import RolledBack
from sluice.reconcile.commits import Commits, GitAccess
from sluice.reconcile.queue import Key
from tests.unit.git.git_server import GitServer, Person, git
from tests.unit.reconcile.small_api import SmallApi

UID = "canary-1"
CANARY = Key("Canary", "data", "pricing")
IMAGE = "apps/pricing/kustomization.yaml"


class World:
    """An API server, a git server with one bad commit, and what works on both."""

    def __init__(self, api: SmallApi, client: KubeClient, clock: ManualClock, server: GitServer, folder: Path) -> None:
        self.api, self.client, self.clock, self.server, self.folder = api, client, clock, server, folder
        self.url = server.repository()
        self.person = Person(folder / "asha", server.folder / "apps.git")
        self.person.write(IMAGE, "image: pricing:1\n")
        self.good = self.person.commit("Begin")
        self.person.write(IMAGE, "image: pricing:2\n")
        self.bad = self.person.commit("Sell apples")
        self.person.push()
        self.heard: list[Key] = []
        self.made: list[Commits] = []
        self.commits = self.working(server.url + "/")

    def working(self, *repositories: str, argocd: str = "argocd") -> Commits:
        access = GitAccess(
            folder=self.folder / "cache",
            repositories=repositories,
            protocols=("http",),
            argocd=argocd,
            limits=Limits(seconds=5),
        )
        self.commits = Commits(self.client, self.clock, access, found=self.heard.append)
        self.made.append(self.commits)
        return self.commits

    async def waited(self, known: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not known():
                if self.clock.pending:
                    self.clock.advance(1)
                await asyncio.sleep(0.005)

    async def read(self, origin: Origin, repository: str | None = None, secret: str | None = None) -> Any:
        action = ReadCommit("v2", origin, repository, secret)
        self.commits.read(CANARY, UID, action)
        self.commits.read(CANARY, UID, action)
        await self.waited(lambda: "v2" in self.commits.commits(UID))
        return self.commits.commits(UID)["v2"]

    async def take_back(self, attempt: int = 1, **fields: Any) -> Any:
        wanted = RolledBack(
            canary="data/pricing", revision="v2", commit=self.bad, stable=self.good, reason="GateFailed", message="slo"
        )
        rows = {"repository": self.url, "branch": "main", "path": "apps/pricing", "secret": None, "aside": False}
        action = TakeBack(**{"round": 1, "attempt": attempt, "wanted": wanted, **rows, **fields})
        self.commits.write(CANARY, UID, action)
        assert self.commits.written(UID, TakeBack).state == "Running"  # type: ignore[union-attr]
        self.commits.write(CANARY, UID, action)
        await self.waited(lambda: self.commits.written(UID, TakeBack).state != "Running")  # type: ignore[union-attr]
        return self.commits.written(UID, TakeBack)

    def application(self, **source: str) -> None:
        spec = {"source": {"repoURL": self.url, "path": "apps/pricing", **source}}
        status = {"sync": {"revision": self.bad}}
        self.api.put(APPLICATIONS, {"metadata": {"name": "pricing"}, "spec": spec, "status": status}, "argocd")

    def secret(self, **texts: str) -> None:
        data = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
        self.api.put(SECRETS, {"metadata": {"name": "bot"}, "data": data})

    def subjects(self) -> list[str]:
        self.person.pull()
        return git(self.person.folder, "log", "--format=%s").splitlines()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    folder = tmp_path / "served"
    folder.mkdir()
    found = GitServer(folder)
    yield found
    found.close()


@pytest.fixture
async def world(server: GitServer, tmp_path: Path) -> AsyncIterator[World]:
    clock = ManualClock()
    async with SmallApi(clock) as api, KubeClient(Connection(Configuration(host=api.url))) as client:
        made = World(api, client, clock, server, tmp_path)
        yield made
        for commits in made.made:
            await commits.stop()


async def test_argo_cd_names_the_commit_and_git_knows_it(world: World) -> None:
    world.application()
    found = await world.read(Origin(application="pricing"))
    assert (found.id, found.author, found.message, found.repository, found.path, found.problem) == (
        world.bad,
        "Asha Rao",
        "Sell apples",
        world.url,
        "apps/pricing",
        "",
    )
    assert found.time is not None
    assert world.heard == [CANARY]


async def test_the_annotation_comes_first_and_argo_cd_fills_in(world: World) -> None:
    world.application()
    found = await world.read(Origin(commit=world.good, application="pricing"))
    assert (found.id, found.message, found.path) == (world.good, "Begin", "apps/pricing")


async def test_a_repository_that_no_setting_names_is_never_asked(world: World) -> None:
    world.working("https://git.example/")
    found = await world.read(Origin(commit=world.good, repository=world.url))
    assert (found.id, found.author, found.problem) == (world.good, "", "")
    done = await world.take_back()
    assert done.state == "Failed"
    assert "not one that the operator may use: https://git.example/" in done.message
    assert world.server.requests == []


async def test_a_commit_that_is_not_there_is_told(world: World) -> None:
    found = await world.read(Origin(commit="1" * 40, repository=world.url))
    assert found.id == "1" * 40
    assert "not our ref" in found.problem


async def test_an_application_that_is_not_there_is_told(world: World) -> None:
    found = await world.read(Origin(application="nothing"))
    assert found.id == ""
    assert found.problem.startswith("Application argocd/nothing: ")


async def test_what_is_no_commit_is_told(world: World) -> None:
    found = await world.read(Origin(commit="main", repository=world.url))
    assert "'main': must be the whole id" in found.problem


async def test_a_server_that_is_away_for_a_while_is_asked_again(world: World) -> None:
    world.server.answer = (503, {})
    action = ReadCommit("v2", Origin(commit=world.good, repository=world.url), None, None)
    world.commits.read(CANARY, UID, action)
    await world.waited(lambda: bool(world.server.requests))
    world.server.answer = None
    await world.waited(lambda: "v2" in world.commits.commits(UID))
    assert world.commits.commits(UID)["v2"].message == "Begin"


async def test_the_secret_is_sent_to_its_own_repository_only(world: World) -> None:
    world.server.password = "correct-horse-battery"
    world.secret(username="bot", password="correct-horse-battery")
    origin = Origin(commit=world.good, repository=world.url)
    found = await world.read(origin, world.url.removesuffix(".git"), "bot")
    assert found.message == "Begin"
    world.working(world.server.url + "/")
    found = await world.read(origin, f"{world.server.url}/other.git", "bot")
    assert found.problem
    assert "correct-horse" not in found.problem


async def test_a_commit_is_taken_back_with_the_credential_of_a_secret(world: World) -> None:
    world.server.password = "correct-horse-battery"
    world.secret(username="bot", password="correct-horse-battery")
    done = await world.take_back(secret="bot")
    assert (done.state, done.round, done.attempt) == ("Pushed", 1, 1)
    assert world.subjects() == ['Revert "Sell apples"', "Sell apples", "Begin"]
    assert world.heard == [CANARY]


async def test_after_a_restart_the_same_order_makes_no_second_commit(world: World) -> None:
    first = await world.take_back()
    world.working(world.server.url + "/")
    again = await world.take_back()
    assert (again.state, again.commit) == ("Pushed", first.commit)
    assert world.subjects().count('Revert "Sell apples"') == 1


async def test_a_server_that_is_away_may_be_tried_again(world: World) -> None:
    world.server.answer = (503, {})
    done = await world.take_back()
    assert done.state == "Again"
    world.server.answer = None
    done = await world.take_back(attempt=2)
    assert (done.state, done.attempt) == ("Pushed", 2)


async def test_a_branch_that_is_not_there_may_be_there_later(world: World) -> None:
    done = await world.take_back(branch="no-such")
    assert done.state == "Again"
    assert "couldn't find remote ref" in done.message


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"secret": "nothing"}, 'Secret "nothing" in data cannot be read'),
        ({"branch": "--force"}, "must be the name of a branch"),
        ({"path": "../x"}, "must be a path within the repository"),
    ],
)
async def test_what_cannot_work_is_not_tried_again(world: World, fields: dict[str, Any], said: str) -> None:
    done = await world.take_back(**fields)
    assert done.state == "Failed"
    assert said in done.message


async def test_a_forgotten_canary_leaves_nothing(world: World) -> None:
    await world.take_back()
    world.commits.forget(UID)
    assert world.commits.written(UID, TakeBack) is None
    assert world.commits.commits(UID) == {}


async def test_stopping_gives_up_what_is_under_way(world: World) -> None:
    world.server.paused.set()
    world.commits.read(CANARY, UID, ReadCommit("v2", Origin(world.good, world.url), None, None))
    await world.waited(lambda: bool(world.server.requests))
    async with asyncio.timeout(3):
        await world.commits.stop()
