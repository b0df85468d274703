"""What a rollback leads to in Git: whether a commit is reverted, read off the branch as it is at this moment. Pure.

    plan_revert(what was rolled back, the branch) -> Revert, Found or Nothing

It is asked anew after every fetch, so that a person's push in between changes the answer. No loop can come of it: what has
our trailers is never reverted, and a commit is reverted once.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sluice.planning.origins import short

TRAILER_CANARY = "Sluice-Canary"
TRAILER_REVERTS = "Sluice-Reverts"
TRAILER_REASON = "Sluice-Reason"
TRAILER_REVISION = "Sluice-Revision"
MAX_SUBJECT = 100
MAX_REASON = 300

_TRAILER = re.compile(r"([A-Za-z][A-Za-z0-9-]*): *(.*)")
_REVERTS = re.compile(r"^This reverts commit ([0-9a-f]{40}|[0-9a-f]{64})\b", re.MULTILINE)


@dataclass(frozen=True)
class Entry:
    """A commit of a branch's own line: of a merge, its first parent goes on."""

    id: str
    parents: tuple[str, ...]
    message: str
    touches: bool
    """Whether it changes any of the paths that matter."""

    @property
    def subject(self) -> str:
        """The first line of the message."""
        return self.message.partition("\n")[0].strip()

    @property
    def trailers(self) -> dict[str, str]:
        """The trailers in the last paragraph of the message, the newest of each name."""
        last = self.message.strip().rsplit("\n\n", 1)
        if len(last) < 2:
            return {}
        found = [_TRAILER.fullmatch(line.strip()) for line in last[1].splitlines()]
        return {match[1]: match[2].strip() for match in found if match is not None}

    @property
    def reverts(self) -> str:
        """The id of the commit that it takes back; empty when it takes none back."""
        said = _REVERTS.search(self.message)
        return self.trailers.get(TRAILER_REVERTS) or (said[1] if said is not None else "")

    @property
    def ours(self) -> bool:
        """Whether sluice made it."""
        return TRAILER_REVERTS in self.trailers


@dataclass(frozen=True, kw_only=True)
class RolledBack:
    """A revision that a gate said no to."""

    canary: str
    """Namespace and name, with a slash between."""
    revision: str
    commit: str
    """The commit that Git stood at when the revision came."""
    stable: str | None
    """The same of the stable revision, as far as it is known."""
    reason: str
    message: str


@dataclass(frozen=True)
class Revert:
    """Take this commit back."""

    commit: str
    message: str
    """Of the new commit."""


@dataclass(frozen=True)
class Found:
    """It is taken back already."""

    commit: str
    """The commit that does so."""
    ours: bool


@dataclass(frozen=True)
class Nothing:
    """Nothing is to be done."""

    message: str


def plan_revert(wanted: RolledBack, branch: Sequence[Entry]) -> Revert | Found | Nothing:
    """What to do about a revision that was rolled back. `branch` has the newest commit first."""
    places = {entry.id: place for place, entry in enumerate(branch)}
    place = places.get(wanted.commit)
    if place is None:
        return Nothing(f"{short(wanted.commit)} is not among the newest {len(branch)} commits of the branch")
    stop = places.get(wanted.stable or "", len(branch))
    if wanted.stable == wanted.commit:
        return Nothing(f"{short(wanted.commit)} is the commit of the stable revision too")
    if stop < place:
        return Nothing(
            f"{short(wanted.commit)} is older than the commit of the stable revision, {short(wanted.stable or '')}"
        )
    came = [entry for entry in branch[place:stop] if entry.touches]
    if not came:
        return Nothing(f"no commit up to {short(wanted.commit)} changes the paths")
    culprit = came[0]
    if culprit.ours:
        return Nothing(f"{short(culprit.id)} is a revert of sluice's own, which is never reverted")
    later = branch[: places[culprit.id]]
    for entry in later:
        if entry.reverts == culprit.id:
            return Found(entry.id, entry.ours)
    came = _in_effect(came)
    if wanted.stable is not None and len(came) > 1:
        names = ", ".join(short(entry.id) for entry in came[:5])
        return Nothing(f"{len(came)} commits came with the revision ({names}): a person has to say which is at fault")
    newer = next((entry for entry in later if entry.touches), None)
    if newer is not None:
        return Nothing(f"{short(newer.id)} has changed the paths since: {newer.subject[:MAX_SUBJECT]}")
    if not culprit.parents:
        return Nothing(f"{short(culprit.id)} has no commit before it")
    return Revert(culprit.id, revert_message(wanted, culprit))


def _in_effect(came: Sequence[Entry]) -> list[Entry]:
    """Without commits that were taken back, and what took them back: a stable revision outlasts many such pairs. A revert that was
    itself taken back is no such pair."""
    taken = {entry.reverts for entry in came if entry.reverts}
    ids = {entry.id for entry in came}
    reverts = [entry for entry in came if entry.reverts in ids and entry.id not in taken]
    gone = {entry.id for entry in reverts} | {entry.reverts for entry in reverts}
    return [entry for entry in came if entry.id not in gone]


def find_revert(commit: str, branch: Sequence[Entry]) -> str | None:
    """The id of the commit of ours that takes `commit` back."""
    return next((entry.id for entry in branch if entry.ours and entry.reverts == commit), None)


def revert_message(wanted: RolledBack, culprit: Entry) -> str:
    """The message of the commit that takes `culprit` back, but for `Signed-off-by`."""
    reason = one_line(f"{wanted.reason}: {wanted.message}" if wanted.message else wanted.reason)[:MAX_REASON]
    return (
        f'Revert "{one_line(culprit.subject)[:MAX_SUBJECT]}"\n\n'
        f"This reverts commit {culprit.id}.\n\n"
        f"The canary {wanted.canary} rolled it back.\n\n"
        f"{TRAILER_CANARY}: {wanted.canary}\n"
        f"{TRAILER_REVERTS}: {culprit.id}\n"
        f"{TRAILER_REASON}: {reason}\n"
        f"{TRAILER_REVISION}: {wanted.revision}\n"
    )


def revert_branch(commit: str) -> str:
    """The branch that a revert is put on, where a person has the last word."""
    return f"sluice/revert-{short(commit)}"


def one_line(text: str) -> str:
    """`text` in one line, without what cannot be shown."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
