"""Whether a run may start beside the others of its pipeline.

The runs stand in one line: those that have started first, then the rest by age. A run may start when fewer than
maxActiveRuns stand before it. Every run sees the same line, so two that are looked at in the same moment agree.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from sluice.api.pipeline import Concurrency
from sluice.planning.views import RunView


class Admission(Enum):
    """What a run does now."""

    START = "start"
    WAIT = "wait"
    REFUSE = "refuse"


@dataclass(frozen=True)
class Decision:
    """The answer, the runs that stand before, and those of them that have to go (policy Replace)."""

    admission: Admission
    ahead: tuple[RunView, ...] = ()
    replace: tuple[RunView, ...] = ()


def admit(run: RunView, siblings: Sequence[RunView], concurrency: Concurrency | None) -> Decision:
    """Whether `run`, which has not started, may start. `siblings` are all runs of its pipeline, itself included or not."""
    if concurrency is None or concurrency.policy == "Allow":
        return Decision(Admission.START)
    others = [other for other in siblings if other.uid != run.uid and not other.phase.ended and not other.deleting]
    place = (run.created, run.name)
    ahead = [other for other in others if other.status.started_at is not None or (other.created, other.name) < place]
    ahead.sort(key=lambda other: (other.created, other.name))
    limit = concurrency.max_active_runs or 1
    if len(ahead) < limit:
        return Decision(Admission.START)
    if concurrency.policy == "Forbid":
        return Decision(Admission.REFUSE, tuple(ahead))
    replace = ahead[: len(ahead) - limit + 1] if concurrency.policy == "Replace" else []
    return Decision(Admission.WAIT, tuple(ahead), tuple(replace))
