"""What a promotion leads to in Git: whether the version is committed to the next environment, read off its branch as it is. Pure.

    plan_forward(what was promoted, the branch, its kustomization) -> Forward, Found or Nothing

It is asked anew after every fetch. A version is committed once, and never over what people have written there since.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sluice.planning.kustomize import CannotEdit, Image, listed, with_images
from sluice.planning.origins import short
from sluice.planning.write_back import TRAILER_CANARY, TRAILER_REVISION, Entry, Found, Nothing, one_line

TRAILER_PROMOTES = "Sluice-Promotes"
TRAILER_COMMIT = "Sluice-Commit"
MAX_SUBJECT = 100


@dataclass(frozen=True, kw_only=True)
class Promoted:
    """A revision that is stable now."""

    canary: str
    """Namespace and name, with a slash between."""
    revision: str
    commit: str
    """The commit that it comes from; empty where that is not known."""
    images: tuple[Image, ...]
    named: bool
    """Whether the spec names these images: then they are added where the kustomization does not list them."""
    path: str
    """The folder of the next environment."""


@dataclass(frozen=True)
class Forward:
    """Write this text into the file."""

    text: str
    message: str
    """Of the new commit, but for `Signed-off-by`."""


def plan_forward(wanted: Promoted, branch: Sequence[Entry], text: str) -> Forward | Found | Nothing:
    """What to do about a revision that was promoted. `branch` has the newest commit first; an entry touches what it changes below
    the path. Raises CannotEdit."""
    done = find_forward(wanted, branch)
    if done is not None:
        return Found(done, ours=True)
    since = next((place for place, entry in enumerate(branch) if entry.id == wanted.commit), 0)
    newer = next((entry for entry in branch[:since] if entry.touches and not is_forward(entry)), None)
    if newer is not None:
        return Nothing(f"{short(newer.id)} has changed {wanted.path} since: {newer.subject[:MAX_SUBJECT]}")
    images = wanted.images if wanted.named else listed(text, wanted.images)
    if not images:
        names = ", ".join(image.name for image in wanted.images) or "none with a tag or digest"
        raise CannotEdit(f"images lists none of the promoted images ({names}): list them, or state onPromotion.images")
    changed = with_images(text, images, add=wanted.named)
    if changed == text:
        return Nothing(f"{', '.join(map(str, images))[:MAX_SUBJECT]} is there already")
    return Forward(changed, _message(wanted, images))


def find_forward(wanted: Promoted, branch: Sequence[Entry]) -> str | None:
    """The id of the commit of ours that brought this revision to this path."""
    for entry in branch:
        said = entry.trailers
        if (said.get(TRAILER_CANARY), said.get(TRAILER_PROMOTES)) == (
            wanted.canary,
            f"{wanted.revision} {wanted.path}",
        ):
            return entry.id
    return None


def is_forward(entry: Entry) -> bool:
    """Whether sluice made it to promote something."""
    return TRAILER_PROMOTES in entry.trailers


def forward_branch(revision: str) -> str:
    """The branch that a promotion is put on, where a person has the last word."""
    return f"sluice/promote-{revision}"


def _message(wanted: Promoted, images: Sequence[Image]) -> str:
    what = one_line(", ".join(f"{image.name.rsplit('/', 1)[-1]} {image.tag or image.digest[:19]}" for image in images))
    source = f", commit {wanted.commit}" if wanted.commit else ""
    commit = f"{TRAILER_COMMIT}: {wanted.commit}\n" if wanted.commit else ""
    return (
        f"Promote {what} to {wanted.path}"[:MAX_SUBJECT] + "\n\n"
        f"The canary {wanted.canary} promoted revision {wanted.revision}{source}.\n\n"
        f"{TRAILER_CANARY}: {wanted.canary}\n"
        f"{TRAILER_PROMOTES}: {wanted.revision} {wanted.path}\n"
        f"{TRAILER_REVISION}: {wanted.revision}\n"
        f"{commit}"
    )
