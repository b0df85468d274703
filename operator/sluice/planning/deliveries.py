"""When a revision of a pipeline was delivered: by its first run that succeeded. Pure.

The record is in the pipeline's status, in the write that tells of the run, so that it outlives the run."""

from collections.abc import Iterable
from typing import Final, Literal

from sluice.api.pipeline import DataPipelineStatus, Delivery
from sluice.api.run import RunPhase
from sluice.planning.views import RunView

MAX_DELIVERIES: Final = 50
"""Records that are kept."""


def with_delivery(status: DataPipelineStatus, revision: str, runs: Iterable[RunView]) -> DataPipelineStatus:
    """The status with the delivery of `revision`, the current one, once a run of it has succeeded.

    A revision that comes again is delivered again, by a run that ended after the delivery of the one between."""
    rows = status.deliveries
    last = rows[-1] if rows else None
    if last is None or last.revision != revision:
        done = [
            (run.status.finished_at, run.name)
            for run in runs
            if run.phase is RunPhase.SUCCEEDED
            and run.status.revision == revision
            and run.status.finished_at is not None
            and (last is None or run.status.finished_at > last.delivered_at)
        ]
        if done:
            ended, name = min(done)
            again: Literal[True] | None = True if any(row.revision == revision for row in rows) else None
            rows = (*rows, Delivery(revision=revision, run=name, delivered_at=ended, again=again))[-MAX_DELIVERIES:]
    rows = _joined(status, rows)
    return status if rows == status.deliveries else status.model_copy(update={"deliveries": rows})


def _joined(status: DataPipelineStatus, rows: tuple[Delivery, ...]) -> tuple[Delivery, ...]:
    """The newest one with its commit, as soon as that is known. Of one that came again only the first commit is."""
    commit = status.revision_commit
    if not rows or commit is None or not commit.id or rows[-1].again or rows[-1].commit:
        return rows
    if rows[-1].revision != commit.revision:
        return rows
    return (*rows[:-1], rows[-1].model_copy(update={"commit": commit.id, "commit_time": commit.time}))
