"""Work on a branch of a remote repository until it is pushed: fetch, decide, push, and all of it anew when somebody else pushed.

Doing it twice has to be doing it once: what is there already is found by its trailers before anything is pushed.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from sluice.git.clones import Branch, Clones
from sluice.git.credentials import NO_CREDENTIAL, Credential
from sluice.git.errors import Behind

TRIES: Final = 10
"""How often a push is tried that meets somebody else's."""
FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 5.0

Fence = Callable[[], object]
"""Called before each push; what it raises keeps the push from being made."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A branch of a repository, and whether what is made goes to another one beside it."""

    repository: str
    branch: str
    aside: bool
    credential: Credential = field(default=NO_CREDENTIAL, repr=False)


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    state: Literal["Pushed", "NotNeeded"]
    commit: str | None
    """The commit that does what was wanted."""
    message: str


def until_pushed(
    clones: Clones, place: Place, once: Callable[[Branch], Outcome], *, pause: Callable[[float], None]
) -> Outcome:
    """Do it `once`, and anew after each push of somebody else's. `pause(seconds)` waits.

    Raises GitError, and what `once` raises.
    """
    with clones.branch(place.repository, place.branch, place.credential) as branch:
        for tried in range(1, TRIES + 1):
            try:
                return once(branch)
            except Behind:
                if tried == TRIES:
                    raise
            pause(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (tried - 1)) * random.uniform(0.5, 1))
            branch.fetch()
    raise AssertionError("no try is left")
