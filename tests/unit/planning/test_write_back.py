"""Whether a rollback takes a commit back: a table of branches, and histories of people and of sluice."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.planning.write_back import (
    Entry,
    Found,
    Nothing,
    Revert,
    RolledBack,
    find_revert,
    plan_revert,
    revert_branch,
    revert_message,
)


def commit(name: str, message: str = "Change", *, touches: bool = True, parent: str | None = "0") -> Entry:
    return Entry(name * 40, (parent * 40,) if parent is not None else (), message, touches)


def rolled_back(name: str, stable: str | None = None) -> RolledBack:
    return RolledBack(
        canary="shop/pricing",
        revision="6f1",
        commit=name * 40,
        stable=stable * 40 if stable is not None else None,
        reason="GateFailed",
        message="error-rate: 0.4 > 0.01",
    )


def ours(name: str, of: str) -> Entry:
    culprit = commit(of)
    return commit(name, revert_message(rolled_back(of), culprit) + "Signed-off-by: sluice <s@x>\n")


A, B, C, D = (commit(name) for name in "abcd")
DOCS = commit("e", "Docs", touches=False)
BY_HAND = commit("f", f'Revert "Change"\n\nThis reverts commit {"c" * 40}.\n')
CASES = [
    ("the newest commit", rolled_back("c"), (C, B, A), "c"),
    ("with the stable one known", rolled_back("c", "b"), (C, B, A), "c"),
    ("docs came after", rolled_back("c", "b"), (DOCS, C, B, A), "c"),
    ("Git stood at the docs, the commit before is at fault", rolled_back("e", "b"), (DOCS, C, B, A), "c"),
    ("a commit of two parents", rolled_back("c"), (replace(C, parents=("b" * 40, "9" * 40)), B), "c"),
    ("of a commit that takes back what a person did", rolled_back("f"), (BY_HAND, C, B), "f"),
    ("sluice took it back", rolled_back("c"), (ours("9", "c"), C, B), Found("9" * 40, ours=True)),
    ("sluice took it back, and a person went on", rolled_back("c"), (D, ours("9", "c"), C), Found("9" * 40, ours=True)),
    ("a person took it back", rolled_back("c"), (BY_HAND, C, B), Found("f" * 40, ours=False)),
    ("a person changed the paths", rolled_back("c"), (D, C, B), "has changed the paths since"),
    ("a revert of ours is never reverted", rolled_back("9"), (ours("9", "c"), C, B), "never reverted"),
    ("an earlier one was taken back", rolled_back("d", "b"), (D, ours("9", "c"), C, B), "d"),
    ("an earlier one was taken back by hand", rolled_back("d", "b"), (D, BY_HAND, C, B), "d"),
    ("what came was taken back before", rolled_back("e", "b"), (DOCS, ours("9", "c"), C, B), "never reverted"),
    (
        "a revert was taken back itself",
        rolled_back("d", "b"),
        (D, commit("8", f'Revert "Revert"\n\nThis reverts commit {"9" * 40}.\n'), ours("9", "c"), C, B),
        "2 commits came with the revision",
    ),
    ("two came at once", rolled_back("d", "b"), (D, C, B), "2 commits came with the revision (dddddddd, cccccccc)"),
    ("not on the branch", rolled_back("8"), (C, B), "not among the newest 2 commits"),
    ("an empty branch", rolled_back("8"), (), "not among the newest 0 commits"),
    ("back to an older one", rolled_back("b", "c"), (C, B, A), "older than the commit of the stable revision"),
    ("the same commit as stable", rolled_back("c", "c"), (C, B), "is the commit of the stable revision too"),
    ("nothing touches", rolled_back("e", "b"), (DOCS, B), "no commit up to eeeeeeee changes the paths"),
    ("the first of all", rolled_back("a"), (commit("a", parent=None),), "no commit before it"),
]


@pytest.mark.parametrize(("wanted", "branch", "expected"), [row[1:] for row in CASES], ids=[row[0] for row in CASES])
def test_what_is_done(wanted: RolledBack, branch: tuple[Entry, ...], expected: object) -> None:
    plan = plan_revert(wanted, branch)
    if isinstance(plan, Revert):
        assert plan.commit == str(expected) * 40
    elif isinstance(plan, Nothing):
        assert str(expected) in plan.message
    else:
        assert plan == expected


def test_the_message_is_that_of_a_revert_with_trailers_that_machines_read() -> None:
    culprit = commit("c", "Sell apples\n\nAnd pears.")
    entry = commit("9", revert_message(rolled_back("c"), culprit) + "Signed-off-by: sluice <s@x>\n")
    assert entry.subject == 'Revert "Sell apples"'
    assert f"This reverts commit {'c' * 40}." in entry.message
    assert entry.trailers == {
        "Sluice-Canary": "shop/pricing",
        "Sluice-Reverts": "c" * 40,
        "Sluice-Reason": "GateFailed: error-rate: 0.4 > 0.01",
        "Sluice-Revision": "6f1",
        "Signed-off-by": "sluice <s@x>",
    }
    assert entry.ours
    assert find_revert("c" * 40, (entry,)) == entry.id
    assert revert_branch("0123456789ab") == "sluice/revert-01234567"


@pytest.mark.parametrize(
    "reason", ["a\n\nSluice-Reverts: x", "a\r\nSluice-Reverts: x", "a\x00b", "x" * 5000, "\x1b[31m"]
)
def test_a_message_from_elsewhere_cannot_forge_trailers_or_lines(reason: str) -> None:
    wanted = replace(rolled_back("c"), message=reason)
    entry = commit("9", revert_message(wanted, commit("c", f"{reason}\n")))
    assert entry.reverts == "c" * 40
    assert len(entry.message) < 1000
    assert len(entry.message.splitlines()) == 10
    assert all(char.isprintable() or char == "\n" for char in entry.message)


def test_only_the_last_paragraph_has_trailers() -> None:
    quoted = commit("d", f"Explain\n\nSluice-Reverts: {'c' * 40}\n\nThat is what it says.\n")
    alone = commit("d", f"Sluice-Reverts: {'c' * 40}")
    assert not quoted.ours
    assert not alone.ours


@given(st.lists(st.sampled_from(["change", "docs", "by hand", "look"]), max_size=20))
def test_no_commit_is_taken_back_twice_and_none_of_ours_ever(steps: list[str]) -> None:
    branch: tuple[Entry, ...] = (commit("a"),)
    reverted: list[str] = []
    for number, step in enumerate(steps):
        name = f"{number:02d}" * 20
        if step == "look":
            wanted = replace(rolled_back("c"), commit=branch[0].id)
            plan = plan_revert(wanted, branch)
            if isinstance(plan, Revert):
                culprit = next(entry for entry in branch if entry.id == plan.commit)
                assert not culprit.ours
                assert plan.commit not in reverted
                reverted.append(plan.commit)
                branch = (Entry(name, (branch[0].id,), plan.message, touches=True), *branch)
                assert plan_revert(wanted, branch) == Found(name, ours=True)
        else:
            message = f"Revert\n\nThis reverts commit {branch[0].id}." if step == "by hand" else step
            branch = (Entry(name, (branch[0].id,), message, step != "docs"), *branch)
