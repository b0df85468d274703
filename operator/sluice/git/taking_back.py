"""A commit that is taken back in a remote repository, as it is decided on the branch as it is at that moment."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sluice.git.clones import Branch, Clones
from sluice.git.errors import GitError
from sluice.git.pushing import Fence, Outcome, Place, until_pushed
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

MOST_PATHS: Final = 500
"""A commit that changes more paths counts as touching everything."""


@dataclass(frozen=True)
class Order:
    """What is to be taken back, and where."""

    place: Place
    path: str | None
    """The folder that the target is made from; None: the files that the commit changes."""
    wanted: RolledBack


def take_back(clones: Clones, order: Order, *, pause: Callable[[float], None], fence: Fence | None = None) -> Outcome:
    """Do it. Raises GitError, and what the fence raises."""
    return until_pushed(clones, order.place, lambda branch: _once(branch, order, fence), pause=pause)


def _once(branch: Branch, order: Order, fence: Fence | None) -> Outcome:
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


def _push(branch: Branch, order: Order, plan: Revert, fence: Fence | None) -> Outcome:
    to = revert_branch(plan.commit) if order.place.aside else branch.name
    if order.place.aside and (there := branch.elsewhere(to)) is not None:
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
