"""A promoted version that is committed to the folder of the next environment, in a remote repository."""

from collections.abc import Callable
from dataclasses import dataclass

from sluice.git.clones import Branch, Clones
from sluice.git.errors import GitError
from sluice.git.pushing import Fence, Outcome, Place, until_pushed
from sluice.planning.forwarding import Forward, Promoted, find_forward, forward_branch, plan_forward
from sluice.planning.kustomize import FILES, CannotEdit
from sluice.planning.origins import short
from sluice.planning.write_back import Found, Nothing


@dataclass(frozen=True)
class ForwardOrder:
    """What is to be brought on, and where."""

    place: Place
    wanted: Promoted


def put_forward(
    clones: Clones, order: ForwardOrder, *, pause: Callable[[float], None], fence: Fence | None = None
) -> Outcome:
    """Do it. Raises GitError, and what the fence raises."""
    return until_pushed(clones, order.place, lambda branch: _once(branch, order, fence), pause=pause)


def _once(branch: Branch, order: ForwardOrder, fence: Fence | None) -> Outcome:
    wanted = order.wanted
    file, text = _kustomization(branch, wanted.path)
    try:
        plan = plan_forward(wanted, branch.entries([wanted.path]), text)
    except CannotEdit as error:
        raise GitError(f"{file} cannot be changed by a program: {error}") from error
    match plan:
        case Nothing():
            return Outcome("NotNeeded", None, plan.message)
        case Found(commit):
            return Outcome("Pushed", commit, f"{short(commit)} has brought it to {wanted.path}")
        case Forward():
            return _push(branch, order, file, plan, fence)


def _kustomization(branch: Branch, path: str) -> tuple[str, str]:
    """(The file, its text)."""
    for name in FILES:
        file = f"{path.strip('/')}/{name}"
        text = branch.read(file)
        if text is not None:
            return file, text
    raise GitError(f"there is no {' or '.join(FILES)} in {path}")


def _push(branch: Branch, order: ForwardOrder, file: str, plan: Forward, fence: Fence | None) -> Outcome:
    wanted = order.wanted
    to = forward_branch(wanted.revision) if order.place.aside else branch.name
    if order.place.aside and (there := branch.elsewhere(to)) is not None:
        found = find_forward(wanted, there)
        if found is None:
            raise GitError(f"the branch {to} is there, and not for {wanted.path}: remove it")
        return Outcome("Pushed", found, f"the branch {to} brings it to {wanted.path}")
    commit = branch.write(file, plan.text, plan.message)
    if fence is not None:
        fence()
    branch.push(commit, to)
    return Outcome("Pushed", commit, f"{short(commit)} on {to} brings it to {wanted.path}")
