"""Promotions that are pushed to a real repository: what they change, that they are made once, and what people's pushes do."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sluice.git import errors
from sluice.git.clones import Branch, Clones
from sluice.git.pushing import Place
from sluice.git.putting_forward import ForwardOrder, put_forward
from sluice.planning.forwarding import Promoted
from sluice.planning.kustomize import Image
from tests.unit.git.git_server import GitServer, Person, git

DEV, STAGING = "overlays/dev/kustomization.yaml", "overlays/staging/kustomization.yaml"
TEXT = """\
# staging: three pods
resources: [../../base]
images:
- name: ghcr.io/acme/pricing   # the shop
  newTag: v1
replicas:
- {name: pricing, count: 3}
"""
SEEDS = 20


def never(seconds: float) -> None:
    raise AssertionError(f"nobody was in the way, and yet {seconds} s were waited for")


@pytest.fixture
def order(person: Person, url: str) -> ForwardOrder:
    """A repository with two environments, and the second version promoted in the first one."""
    person.write(DEV, TEXT)
    person.write(STAGING, TEXT)
    person.commit("Begin")
    person.write(DEV, TEXT.replace("v1", "v2"))
    commit = person.commit("Pricing v2 in dev")
    person.push()
    wanted = Promoted(
        canary="shop/pricing",
        revision="6f1",
        commit=commit,
        images=(Image("ghcr.io/acme/pricing", tag="v2"), Image("docker.io/proxy", tag="7")),
        named=False,
        path="overlays/staging",
    )
    return ForwardOrder(Place(repository=url, branch="main", aside=False), wanted)


def test_the_version_is_committed_to_the_next_environment_and_nothing_else(
    clones: Clones, person: Person, order: ForwardOrder
) -> None:
    (person.folder / STAGING).chmod(0o755)
    git(person.folder, "add", STAGING)
    person.commit("Make it a program")
    person.push()
    order = replace(order, wanted=replace(order.wanted, commit=git(person.folder, "rev-parse", "HEAD")))
    done = put_forward(clones, order, pause=never)
    person.pull()
    assert (done.state, done.commit) == ("Pushed", git(person.folder, "rev-parse", "HEAD"))
    assert git(person.folder, "show", "--format=", "--name-only", "HEAD") == STAGING
    assert (person.folder / STAGING).read_text() == TEXT.replace("v1", "v2")
    assert git(person.folder, "ls-tree", "HEAD", STAGING).startswith("100755 ")
    said = git(person.folder, "log", "-1", "--format=%an|%s|%(trailers:only,unfold,separator=|)")
    assert said == (
        "sluice|Promote pricing v2 to overlays/staging|Sluice-Canary: shop/pricing|"
        "Sluice-Promotes: 6f1 overlays/staging|Sluice-Revision: 6f1|"
        f"Sluice-Commit: {order.wanted.commit}|Signed-off-by: sluice <sluice@noreply.sluice.dev>"
    )


def test_twice_is_once_also_after_a_crash_before_the_record(
    clones: Clones, person: Person, order: ForwardOrder, tmp_path: Path
) -> None:
    first = put_forward(clones, order, pause=never)
    person.pull()
    person.write(STAGING, TEXT.replace("v1", "v3"))
    person.commit("Staging by hand")
    person.push()
    other = Clones(tmp_path / "another-cache", protocols=("http",))  # what was only in memory or in the cache is gone
    again = put_forward(other, order, pause=never)
    assert (again.state, again.commit) == ("Pushed", first.commit)
    person.pull()
    assert (person.folder / STAGING).read_text() == TEXT.replace("v1", "v3")


def test_what_people_have_changed_there_since_stays(clones: Clones, person: Person, order: ForwardOrder) -> None:
    person.write(STAGING, TEXT.replace("v1", "v1-hotfix"))
    person.commit("Hotfix in staging")
    person.push()
    done = put_forward(clones, order, pause=never)
    assert (done.state, done.commit) == ("NotNeeded", None)
    assert done.message.endswith("has changed overlays/staging since: Hotfix in staging")


def test_what_is_there_already_is_not_committed(clones: Clones, person: Person, order: ForwardOrder) -> None:
    person.write(STAGING, TEXT.replace("v1", "v2"))
    newest = person.commit("By hand")
    person.push()
    order = replace(order, wanted=replace(order.wanted, commit=newest))
    done = put_forward(clones, order, pause=never)
    assert (done.state, done.message) == ("NotNeeded", "ghcr.io/acme/pricing:v2 is there already")


def test_a_branch_of_its_own_is_for_a_person(clones: Clones, person: Person, order: ForwardOrder) -> None:
    aside = replace(order, place=replace(order.place, aside=True))
    done, again = (put_forward(clones, aside, pause=never) for _ in range(2))
    assert (done.state, again.state, again.commit) == ("Pushed", "Pushed", done.commit)
    git(person.folder, "fetch", "-q", "origin")
    assert git(person.folder, "rev-parse", "origin/main") == order.wanted.commit
    assert git(person.folder, "rev-parse", "origin/sluice/promote-6f1") == done.commit


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "there is no kustomization.yaml or kustomization.yml or Kustomization in overlays/staging"),
        ("images: &a []\n", "overlays/staging/kustomization.yaml cannot be changed by a program: it has anchors"),
        ("resources: [a]\n", "images lists none of the promoted images"),
    ],
)
def test_what_cannot_be_changed_is_left_to_a_person(
    clones: Clones, person: Person, order: ForwardOrder, text: str | None, why: str
) -> None:
    if text is None:
        git(person.folder, "rm", "-q", STAGING)
    else:
        person.write(STAGING, text)
    order = replace(order, wanted=replace(order.wanted, commit=person.commit("As it is")))
    person.push()
    with pytest.raises(errors.GitError, match=why):
        put_forward(clones, order, pause=never)


def test_a_server_that_lets_nobody_write(server: GitServer, clones: Clones, order: ForwardOrder) -> None:
    server.writable = False
    with pytest.raises(errors.Refused):
        put_forward(clones, order, pause=never)


def docs(person: Person, number: int) -> None:
    person.write(f"docs/{number}", "x\n")
    person.commit("Docs")
    person.push()


def by_hand(person: Person, number: int) -> None:
    person.write(STAGING, TEXT.replace("v1", f"v1-{number}"))
    person.commit("Staging by hand")
    person.push()


@pytest.mark.parametrize("seed", range(SEEDS))
def test_people_who_push_between_fetch_and_push_are_never_overrun(
    clones: Clones, person: Person, order: ForwardOrder, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)
    last = chance.choice([docs, by_hand])
    acts: list[Callable[[Person, int], None]] = [*[docs] * chance.randrange(0, 3), last]
    left, pushed = list(enumerate(acts)), Branch.push

    def push(branch: Branch, commit: str, to: str) -> None:
        if left:
            number, act = left.pop(0)
            person.pull()
            act(person, number)
        pushed(branch, commit, to)

    monkeypatch.setattr(Branch, "push", push)
    waited: list[float] = []
    done = put_forward(clones, order, pause=waited.append)
    assert len(waited) == len(acts)
    person.pull()
    messages = git(person.folder, "log", "--format=%s").splitlines()
    assert messages.count("Docs") == acts.count(docs)
    text = (person.folder / STAGING).read_text()
    if last is docs:
        assert (done.state, text) == ("Pushed", TEXT.replace("v1", "v2"))
    else:
        assert (done.state, text) == ("NotNeeded", TEXT.replace("v1", f"v1-{len(acts) - 1}"))
