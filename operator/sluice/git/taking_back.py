"""A commit that is taken back in a remote repository: fetch, plan, revert, push, and all of it anew when somebody else pushed.

Doing it twice is doing it once: what is there already is found by its trailers before anything is pushed.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from sluice.git.clones import Branch, Clones
from sluice.git.credentials import NO_CREDENTIAL, Credential
from sluice.git.errors import Behind, GitError
from sluice.planning.origins import short
from sluice.planning.write_back import (
    Entry,
    Found,
    Nothing,
    Revert,
    RolledBack,
    find_revert,
    plan_revert,
    revert_branch,
)

TRIES: Final = 10
"""How often a push is tried that meets somebody else's."""
FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 5.0
MOST_PATHS: Final = 500
"""A commit that changes more paths counts as touching everything."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be taken back, and where."""

    repository: str
    branch: str
    path: str | None
    """The folder that the target is made from; None: the files that the commit changes."""
    aside: bool
    """Whether the revert goes to a branch of its own."""
    wanted: RolledBack
    credential: Credential = field(default=NO_CREDENTIAL, repr=False)


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    state: Literal["Pushed", "NotNeeded"]
    commit: str | None
    """The commit that takes it back."""
    message: str


def take_back(
    clones: Clones, order: Order, *, pause: Callable[[float], None], fence: Callable[[], None] | None = None
) -> Outcome:
    """Do it. `pause(seconds)` waits; `fence()` is called before each push. Raises GitError, and what the fence raises."""
    with clones.branch(order.repository, order.branch, order.credential) as branch:
        for tried in range(1, TRIES + 1):
            try:
                return _once(branch, order, fence)
            except Behind:
                if tried == TRIES:
                    raise
            pause(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (tried - 1)) * random.uniform(0.5, 1))
            branch.fetch()
    raise AssertionError("no try is left")


def _once(branch: Branch, order: Order, fence: Callable[[], None] | None) -> Outcome:
    plan = plan_revert(order.wanted, _entries(branch, order))
    match plan:
        case Nothing():
            return Outcome("NotNeeded", None, plan.message)
        case Found(commit, ours):
            who = "sluice" if ours else "somebody"
            return Outcome("Pushed" if ours else "NotNeeded", commit, f"{who} has taken it back in {short(commit)}")
        case Revert():
            return _push(branch, order, plan, fence)


def _entries(branch: Branch, order: Order) -> tuple[Entry, ...]:
    if order.path is not None:
        return branch.entries([order.path])
    entries = branch.entries()
    found = next((entry for entry in entries if entry.id == order.wanted.commit), None)
    if found is None or not found.parents:
        return entries
    paths = branch.changed_by(found.id)
    return branch.entries(paths) if 0 < len(paths) <= MOST_PATHS else entries


def _push(branch: Branch, order: Order, plan: Revert, fence: Callable[[], None] | None) -> Outcome:
    to = revert_branch(plan.commit) if order.aside else branch.name
    if order.aside and (there := branch.elsewhere(to)) is not None:
        found = find_revert(plan.commit, there)
        if found is None:
            raise GitError(f"the branch {to} is there, without a revert of {short(plan.commit)}: remove it")
        return Outcome("Pushed", found, f"the branch {to} takes {short(plan.commit)} back")
    commit = branch.revert(plan.commit, plan.message)
    if commit is None:
        return Outcome("NotNeeded", None, f"nothing is left of {short(plan.commit)}")
    if fence is not None:
        fence()
    branch.push(commit, to)
    return Outcome("Pushed", commit, f"{short(commit)} on {to} takes {short(plan.commit)} back")
