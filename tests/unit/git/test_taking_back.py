"""Reverts that are pushed to a real repository: what they hold, that they are made once, and what people's pushes do to them."""

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from sluice.git import errors
from sluice.git.clones import Branch, Clones
from sluice.git.pushing import Place
from sluice.git.taking_back import Order, take_back
from sluice.planning.write_back import RolledBack
from tests.unit.git.git_server import GitServer, Person, git

IMAGE = "apps/pricing/kustomization.yaml"
SEEDS = 50


def order(url: str, commit: str, **fields: object) -> Order:
    wanted = RolledBack(
        canary="shop/pricing", revision="6f1", commit=commit, stable=None, reason="GateFailed", message="error-rate"
    )
    rows = {"branch": "main", "path": "apps/pricing", "aside": False, **fields}
    place = Place(repository=url, branch=str(rows["branch"]), aside=bool(rows["aside"]))
    return Order(place, rows["path"], wanted)  # type: ignore[arg-type]


def never(seconds: float) -> None:
    raise AssertionError(f"nobody was in the way, and yet {seconds} s were waited for")


@pytest.fixture
def bad(person: Person) -> str:
    """A repository with a good version, and the commit of a bad one."""
    person.write("README", "Apps\n")
    person.write(IMAGE, "image: pricing:1\n")
    person.commit("Begin")
    person.write(IMAGE, "image: pricing:2\n")
    found = person.commit("Sell apples")
    person.push()
    return found


def test_the_commit_is_taken_back_on_top_of_what_came_since(clones: Clones, url: str, person: Person, bad: str) -> None:
    person.commit("Docs", README="Apps, and more\n")
    person.push()
    done = take_back(clones, order(url, bad), pause=never)
    person.pull()
    assert (done.state, done.commit) == ("Pushed", git(person.folder, "rev-parse", "HEAD"))
    assert (person.folder / IMAGE).read_text() == "image: pricing:1\n"
    assert (person.folder / "README").read_text() == "Apps, and more\n"
    said = git(person.folder, "log", "-1", "--format=%an|%cn|%s|%(trailers:only,unfold,separator=|)")
    assert said == (
        'sluice|sluice|Revert "Sell apples"|Sluice-Canary: shop/pricing|'
        f"Sluice-Reverts: {bad}|Sluice-Reason: GateFailed: error-rate|Sluice-Revision: 6f1|"
        "Signed-off-by: sluice <sluice@noreply.sluice.dev>"
    )
    assert git(person.folder, "rev-list", "--count", "HEAD") == "4"


def test_it_is_what_git_revert_would_have_made(clones: Clones, url: str, person: Person, bad: str) -> None:
    person.commit("More", README="x\n")
    person.push()
    git(person.folder, "revert", "--no-edit", bad)
    by_hand = git(person.folder, "rev-parse", "HEAD^{tree}")
    take_back(clones, order(url, bad), pause=never)
    person.pull()
    assert git(person.folder, "rev-parse", "HEAD^{tree}") == by_hand


def test_a_merge_is_taken_back_to_its_first_parent(clones: Clones, url: str, person: Person, bad: str) -> None:
    git(person.folder, "checkout", "-q", "-b", "side")
    person.write(IMAGE, "image: pricing:3\n")
    person.commit("On the side")
    git(person.folder, "checkout", "-q", "main")
    git(person.folder, "merge", "-q", "--no-ff", "-m", "Merge it", "side")
    git(person.folder, "push", "-q", "origin", "main")
    merge = git(person.folder, "rev-parse", "HEAD")
    assert take_back(clones, order(url, merge), pause=never).state == "Pushed"
    person.pull()
    assert (person.folder / IMAGE).read_text() == "image: pricing:2\n"


def test_twice_is_once_also_after_a_crash_before_the_record(
    clones: Clones, url: str, person: Person, bad: str, tmp_path: Path
) -> None:
    first = take_back(clones, order(url, bad), pause=never)
    other = Clones(tmp_path / "another-cache", protocols=("http",))  # what was only in memory or in the cache is gone
    again = take_back(other, order(url, bad), pause=never)
    assert (again.state, again.commit) == ("Pushed", first.commit)
    person.pull()
    assert git(person.folder, "rev-list", "--count", "HEAD") == "3"


def test_its_own_revert_is_never_taken_back(clones: Clones, url: str, person: Person, bad: str) -> None:
    first = take_back(clones, order(url, bad), pause=never)
    assert first.commit is not None
    again = take_back(clones, order(url, first.commit), pause=never)
    assert (again.state, again.commit) == ("NotNeeded", None)
    assert "never reverted" in again.message


def test_a_branch_of_its_own_leaves_the_other_as_it_is(clones: Clones, url: str, person: Person, bad: str) -> None:
    done = take_back(clones, order(url, bad, aside=True), pause=never)
    again = take_back(clones, order(url, bad, aside=True), pause=never)
    assert (done.state, again.state, again.commit) == ("Pushed", "Pushed", done.commit)
    person.pull()
    assert git(person.folder, "rev-parse", "origin/main") == bad
    git(person.folder, "fetch", "-q", "origin")
    assert git(person.folder, "rev-parse", f"origin/sluice/revert-{bad[:8]}") == done.commit


def test_somebody_elses_branch_of_that_name_is_left_alone(clones: Clones, url: str, person: Person, bad: str) -> None:
    git(person.folder, "push", "-q", "origin", f"HEAD:sluice/revert-{bad[:8]}")
    with pytest.raises(errors.GitError, match=f"sluice/revert-{bad[:8]} is there"):
        take_back(clones, order(url, bad, aside=True), pause=never)


def test_without_a_path_the_files_of_the_commit_matter(clones: Clones, url: str, person: Person, bad: str) -> None:
    person.commit("Docs", README="x\n")
    person.push()
    assert take_back(clones, order(url, bad, path=None), pause=never).state == "Pushed"
    person.pull()
    person.write(IMAGE, "image: pricing:3\n")
    newer = person.commit("Pricing 3")
    person.push()
    person.write(IMAGE, "image: pricing:4\n")
    person.commit("Pricing 4")
    person.push()
    done = take_back(clones, order(url, newer, path=None), pause=never)
    assert (done.state, done.commit) == ("NotNeeded", None)
    assert done.message.endswith("has changed the paths since: Pricing 4")


def test_what_cannot_be_merged_is_left_to_a_person(clones: Clones, url: str, person: Person, bad: str) -> None:
    person.write("other", "x\n")
    person.write(IMAGE, "image: pricing:5\n")
    person.commit("Both")
    person.push()
    with clones.branch(url, "main") as branch, pytest.raises(errors.Conflicting, match=IMAGE):
        branch.revert(bad, "Revert")


def test_nothing_is_left_of_a_commit_that_was_undone_by_other_means(
    clones: Clones, url: str, person: Person, bad: str
) -> None:
    person.write(IMAGE, "image: pricing:1\n")
    person.commit("Back to 1")
    person.push()
    with clones.branch(url, "main") as branch:
        assert branch.revert(bad, "Revert") is None


def test_a_server_that_lets_nobody_write(server: GitServer, clones: Clones, url: str, person: Person, bad: str) -> None:
    server.writable = False
    with pytest.raises(errors.Refused):
        take_back(clones, order(url, bad), pause=never)


def test_a_hook_of_the_server_that_says_no_is_no_reason_to_try_again(
    server: GitServer, clones: Clones, url: str, bad: str
) -> None:
    hook = server.folder / "apps.git/hooks/pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho main is protected >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(errors.Refused, match="main is protected"):
        take_back(clones, order(url, bad), pause=never)


def test_a_replica_that_is_not_the_leader_pushes_nothing(clones: Clones, url: str, person: Person, bad: str) -> None:
    class Deposed(Exception):
        """The lease is lost."""

    def fence() -> None:
        raise Deposed

    with pytest.raises(Deposed):
        take_back(clones, order(url, bad), pause=never, fence=fence)
    person.pull()
    assert git(person.folder, "rev-parse", "HEAD") == bad


# -- people push at the same time ---------------------------------------------------------------------------------------


def docs(person: Person, number: int) -> None:
    person.commit("Docs", **{f"docs-{number}": "x\n"})
    person.push()


def newer(person: Person, number: int) -> None:
    person.write(IMAGE, f"image: pricing:{number + 10}\n")
    person.commit("Fix it")
    person.push()


def by_hand(person: Person, number: int) -> None:
    del number
    bad = git(person.folder, "log", "--format=%H", "--grep=^Sell apples", "-1", "origin/main")
    git(person.folder, "revert", "--no-edit", bad, check=False)
    person.push()


@pytest.mark.parametrize("seed", range(SEEDS))
def test_people_who_push_between_fetch_and_push_are_never_overrun(
    clones: Clones, url: str, person: Person, bad: str, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Right before the push somebody pushes, once or more often, something of their own."""
    chance = random.Random(seed)
    acts: list[Callable[[Person, int], None]] = [docs] * chance.randrange(1, 4)
    last = chance.choice([docs, newer, by_hand])
    if last is not docs:
        acts = [*acts[1:], last]
    left = list(enumerate(acts))
    pushed = Branch.push

    def push(branch: Branch, commit: str, to: str) -> None:
        if left:
            number, act = left.pop(0)
            git(person.folder, "fetch", "-q", "origin")
            git(person.folder, "reset", "-q", "--hard", "origin/main")
            act(person, number)
        pushed(branch, commit, to)

    monkeypatch.setattr(Branch, "push", push)
    waited: list[float] = []
    done = take_back(clones, order(url, bad), pause=waited.append)
    assert len(waited) == len(acts)
    person.pull()
    messages = git(person.folder, "log", "--format=%s").splitlines()
    image = (person.folder / IMAGE).read_text()
    assert messages.count('Revert "Sell apples"') == (0 if last is newer else 1)
    if last is docs:
        assert (done.state, image) == ("Pushed", "image: pricing:1\n")
    elif last is by_hand:
        assert (done.state, image) == ("NotNeeded", "image: pricing:1\n")
        assert done.commit == git(person.folder, "rev-parse", "HEAD")
    else:
        assert done.state == "NotNeeded"
        assert image in {f"image: pricing:{number + 10}\n" for number in range(3)}
    assert messages.count("Docs") == acts.count(docs)


def test_two_operators_and_three_people_at_once(
    server: GitServer, url: str, person: Person, bad: str, tmp_path: Path
) -> None:
    """Two that believe to be the leader make one revert, and nobody's commit is lost."""
    people = [Person(tmp_path / f"person-{number}", server.folder / "apps.git") for number in range(3)]

    def operator(number: int) -> str | None:
        clones = Clones(tmp_path / f"cache-{number}", protocols=("http",))
        return take_back(clones, order(url, bad), pause=time.sleep).commit

    def work(number: int) -> None:
        for turn in range(4):
            docs(people[number], number * 10 + turn)

    with ThreadPoolExecutor() as pool:
        operators = [pool.submit(operator, number) for number in range(2)]
        for done in [pool.submit(work, number) for number in range(3)]:
            done.result()
        found = [one.result() for one in operators]
    person.pull()
    messages = git(person.folder, "log", "--format=%s").splitlines()
    assert messages.count('Revert "Sell apples"') == 1
    assert messages.count("Docs") == 12
    assert found[0] == found[1] == git(person.folder, "log", "--format=%H", "--grep=^Revert", "-1")


def test_after_so_many_pushes_of_others_it_is_given_up(
    clones: Clones, url: str, person: Person, bad: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = iter(range(1000))
    pushed = Branch.push

    def push(branch: Branch, commit: str, to: str) -> None:
        docs(person, next(number))
        pushed(branch, commit, to)

    monkeypatch.setattr(Branch, "push", push)
    waited: list[float] = []
    with pytest.raises(errors.Behind):
        take_back(clones, order(url, bad), pause=waited.append)
    assert len(waited) == 9
    assert 1 < sum(waited) < 30


def test_what_is_only_on_another_branch_is_left_alone(clones: Clones, url: str, person: Person, bad: str) -> None:
    git(person.folder, "checkout", "-q", "-b", "other")
    person.write(IMAGE, "image: pricing:9\n")
    elsewhere = person.commit("Elsewhere")
    git(person.folder, "push", "-q", "origin", "other")
    done = take_back(clones, order(url, elsewhere), pause=never)
    assert done.state == "NotNeeded"
    assert "not among the newest 2 commits" in done.message
    wanted = replace(order(url, bad).wanted, stable=bad)
    assert take_back(clones, replace(order(url, bad), wanted=wanted), pause=never).state == "NotNeeded"
