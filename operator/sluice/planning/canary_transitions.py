"""The state machine of a canary: one table of what leads from one phase to the next. `diagram` draws it.

    TABLE    rows of (phases, guard, next phase); the first row whose guard says why is taken

What the status is as a phase begins is in `sluice.planning.canary_moves`, what a canary does while it stays in a phase in
`sluice.planning.canary_states`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sluice.api.canary_status import CanaryPhase
from sluice.planning import canary_guards as guards
from sluice.planning import canary_progress as progress
from sluice.planning.canary_evidence import Evidence
from sluice.planning.canary_guards import Cause
from sluice.planning.canary_scene import (
    Moment,
)

P = CanaryPhase

Guard = Callable[[Moment, Evidence], Cause | None]


@dataclass(frozen=True)
class Transition:
    """One row: from any of `sources` to `target`, when `guard` gives a cause."""

    sources: tuple[CanaryPhase, ...]
    guard: Guard
    target: CanaryPhase
    forward: bool = False
    """Towards promotion without anybody asking: not while the canary is paused, or its spec cannot be acted on."""

    @property
    def label(self) -> str:
        """The name of the guard in words."""
        return self.guard.__name__.strip("_").replace("_", " ")


_BEFORE_SWITCH = (P.PREPARING, P.PREVIEWING, P.STEPPING, P.APPROVING)
_JUDGED = (P.PREVIEWING, P.STEPPING, P.APPROVING, P.SWITCHING, P.WATCHING, P.KEEPING)
_ROLLOUT = (P.HOLDING, P.PREPARING, *_JUDGED)
_ALL_BUT_LEAVING = tuple(phase for phase in P if phase not in (P.LEAVING, P.GONE))

TABLE: tuple[Transition, ...] = (
    Transition(_ALL_BUT_LEAVING, guards.canary_deleted, P.LEAVING),
    Transition((P.WAITING,), guards.target_found, P.STABLE),
    Transition((P.STABLE,), guards.target_missing, P.WAITING),
    Transition((P.STABLE,), guards.failed_before, P.FAILED),
    Transition((P.STABLE,), guards.new_revision, P.HOLDING),
    Transition((*_ROLLOUT, P.FAILED), guards.hold_broken, P.RETURNING),
    Transition((*_ROLLOUT, P.FAILED, P.PROMOTING, P.RETURNING), guards.revision_changed, P.RESTARTING),
    Transition(_ROLLOUT, guards.abort_asked, P.ROLLING_BACK),
    Transition(_JUDGED, progress.gate_failed, P.ROLLING_BACK),
    Transition(_JUDGED, progress.candidate_lost, P.ROLLING_BACK),
    Transition(_JUDGED, progress.evidence_missing_too_long, P.ROLLING_BACK),
    Transition(_ROLLOUT, progress.hook_failed, P.ROLLING_BACK),
    Transition((P.PREPARING, *_JUDGED), progress.candidate_late, P.ROLLING_BACK),
    Transition(_BEFORE_SWITCH, guards.plan_changed, P.RESTARTING),
    Transition((P.HOLDING,), progress.may_start, P.PREPARING, forward=True),
    Transition((P.PREPARING,), progress.ready_to_switch_in_full, P.SWITCHING, forward=True),
    Transition((P.PREPARING,), progress.ready_for_preview, P.PREVIEWING, forward=True),
    Transition((P.PREPARING,), progress.ready_for_steps, P.STEPPING, forward=True),
    Transition((P.PREVIEWING, P.STEPPING, P.APPROVING), guards.promotion_asked, P.SWITCHING),
    Transition((P.STEPPING,), progress.skip_asked, P.STEPPING),
    Transition((P.STEPPING,), progress.skip_of_last_asked_for_approval, P.APPROVING),
    Transition((P.STEPPING,), progress.skip_of_last_asked, P.SWITCHING),
    Transition((P.STEPPING,), progress.step_passed, P.STEPPING, forward=True),
    Transition((P.STEPPING,), progress.last_step_passed_for_approval, P.APPROVING, forward=True),
    Transition((P.STEPPING,), progress.last_step_passed, P.SWITCHING, forward=True),
    Transition((P.PREVIEWING,), progress.checks_passed_for_approval, P.APPROVING, forward=True),
    Transition((P.PREVIEWING,), progress.checks_passed, P.SWITCHING, forward=True),
    Transition((P.SWITCHING,), progress.switched_in_full, P.PROMOTING, forward=True),
    Transition((P.SWITCHING,), progress.ready_to_switch, P.WATCHING, forward=True),
    Transition((P.WATCHING, P.KEEPING), guards.promotion_asked, P.PROMOTING),
    Transition((P.WATCHING,), progress.watch_passed_and_old_is_kept, P.KEEPING, forward=True),
    Transition((P.WATCHING,), progress.watch_passed, P.PROMOTING, forward=True),
    Transition((P.KEEPING,), progress.kept_long_enough, P.PROMOTING, forward=True),
    Transition((P.PROMOTING,), guards.target_rolled_out, P.RETURNING),
    Transition((P.PROMOTING,), guards.candidate_lost_and_target_serves, P.RETURNING),
    Transition((P.RETURNING,), guards.returned, P.STABLE),
    Transition((P.ROLLING_BACK,), guards.candidate_out, P.FAILED),
    Transition((P.RESTARTING,), guards.out_and_reverted, P.STABLE),
    Transition((P.RESTARTING,), guards.out_and_failed_before, P.FAILED),
    Transition((P.RESTARTING,), guards.out_and_new, P.HOLDING),
    Transition((P.FAILED,), guards.retry_asked, P.HOLDING),
    Transition((P.LEAVING,), guards.given_back, P.GONE),
)
"""Every move that a canary can make, in the order in which they are tried."""


def next_move(moment: Moment, evidence: Evidence) -> tuple[Transition, Cause] | None:
    """The first row of the table that applies; None: the canary stays where it is."""
    halted = moment.status.paused is not None or moment.spec is None
    for row in TABLE:
        if moment.phase not in row.sources or (row.forward and halted):
            continue
        cause = row.guard(moment, evidence)
        if cause is not None:
            return row, cause
    return None


_GROUPS = (("Rollout", _ROLLOUT), ("Judged", _JUDGED))


def diagram() -> str:
    """The table as a Mermaid state diagram. A row that holds in all phases of a group is drawn once, from the group."""
    lines = ["stateDiagram-v2", "    state Rollout {"]
    lines += [f"        {phase}" for phase in _ROLLOUT if phase not in _JUDGED]
    lines += ["        state Judged {", *(f"            {phase}" for phase in _JUDGED), "        }", "    }"]
    lines.append(f"    [*] --> {P.WAITING}")
    for row in TABLE:
        left = list(row.sources)
        for name, members in _GROUPS:
            if set(members) <= set(left):
                lines.append(f"    {name} --> {row.target}: {row.label}")
                left = [phase for phase in left if phase not in members]
        lines += [f"    {source} --> {row.target}: {row.label}" for source in left]
    return "\n".join([*lines, f"    {P.GONE} --> [*]", ""])
