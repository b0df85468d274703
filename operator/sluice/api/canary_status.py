"""What a Canary's status says: all that is needed to go on after a crash, and what people want to know."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from sluice.api.base import Condition, StatusModel, Time, list_map
from sluice.api.commits import CommitRecord
from sluice.api.run import CheckTally


def _empty(value: object) -> bool:
    return not value


class CanaryPhase(StrEnum):
    """Where a canary stands. What leads from one to the next is in `sluice.planning.canary_transitions`."""

    WAITING = "Waiting"
    STABLE = "Stable"
    HOLDING = "Holding"
    PREPARING = "Preparing"
    PREVIEWING = "Previewing"
    STEPPING = "Stepping"
    APPROVING = "Approving"
    SWITCHING = "Switching"
    WATCHING = "Watching"
    KEEPING = "Keeping"
    PROMOTING = "Promoting"
    RETURNING = "Returning"
    ROLLING_BACK = "RollingBack"
    RESTARTING = "Restarting"
    FAILED = "Failed"
    LEAVING = "Leaving"
    GONE = "Gone"


ControlAction = Literal["pause", "resume", "skip", "promote", "promoteInFull", "abort", "retry"]


class AnsweredControl(StatusModel):
    """What a person asked for, and what came of it. The nonce tells one request from the next."""

    nonce: str = Field(description="Nonce of the request.")
    action: str = Field(description="pause, resume, skip, promote, promoteInFull, abort or retry.")
    by: str = Field(default="", description="Who asked.")
    at: Time = Field(description="When it was dealt with.")
    accepted: bool = Field(description="False: it could not be done; the message says why.")
    message: str = Field(default="", description="What it led to.")


class Pending(StatusModel):
    """A request that was accepted and has not yet led to a move."""

    action: ControlAction = Field(description="What was asked for.")
    by: str = Field(default="", description="Who asked.")


class PausedBy(StatusModel):
    """Who paused the canary."""

    by: str = Field(default="", description="Who asked.")
    since: Time = Field(description="Since when.")


class LastMove(StatusModel):
    """The newest change of phase or step."""

    from_phase: str = Field(description="The phase before.")
    to_phase: str = Field(description="The phase after.")
    reason: str = Field(description="One word: why.")
    message: str = Field(default="", description="The same for people.")
    by: str = Field(default="", description="Who asked, if somebody did.")
    at: Time = Field(description="When.")


class FailedRevision(StatusModel):
    """A revision that is not tried again until somebody asks for it."""

    revision: str = Field(description="The revision.")
    reason: str = Field(description="One word: why.")
    message: str = Field(default="", description="The same for people.")
    at: Time = Field(description="When.")


class PastRevision(StatusModel):
    """A revision that was stable before."""

    revision: str = Field(description="The revision.")
    until: Time = Field(description="When another one took its place.")


class CanaryGate(StatusModel):
    """What a gate has come to at the current weight."""

    name: str = Field(description="Name of the QualityGate.")
    uid: str = Field(default="", description="Its UID.")
    generation: int = Field(default=0, description="Generation of its spec that is evaluated.")
    verdict: str | None = Field(default=None, description="Pass, Warn, Fail, Inconclusive or Error.")
    score: float | None = Field(default=None, description="0 to 100.")
    message: str = Field(default="", description="The verdict for people.")
    tallies: tuple[CheckTally, ...] = Field(
        default=(), exclude_if=_empty, description="Its checks on metrics.", json_schema_extra=list_map()
    )


class JudgedBy(StatusModel):
    """What a gate came to when the newest stage that it judged ended."""

    name: str = Field(description="Name of the QualityGate.")
    uid: str = Field(description="Its UID.")
    verdict: str = Field(description="Pass, Warn, Fail, Inconclusive or Error.")
    score: float | None = Field(default=None, description="0 to 100.")
    message: str = Field(default="", description="The verdict for people.")
    worst_check: str | None = Field(default=None, description="A check that failed, if one did.")
    at: Time = Field(description="When.")


class RouteRecord(StatusModel):
    """How a route was before the rollout, so that it is given back so."""

    name: str = Field(description="Name of the route.")
    kind: str = Field(description="HTTPRoute or GRPCRoute.")
    before: str = Field(description="The parts of it that the rollout changes.")


class HookRecord(StatusModel):
    """A hook that was called, or is about to be: written before the call."""

    name: str = Field(description="Name of the hook.")
    key: str = Field(description="Idempotency key: the same for all attempts of one call.")
    attempt: int = Field(default=1, description="Number of the attempt, from 1.")
    state: Literal["Called", "Succeeded", "Failed", "GivenUp"] = Field(
        default="Called", description="What is known of it. GivenUp: the rollout went back before it had ended."
    )
    message: str = Field(default="", description="What it answered.")


class GitRecord(StatusModel):
    """What is done in Git about a rollout: written before it is done."""

    round: int = Field(description="The round of the rollout.")
    revision: str = Field(description="The revision that it is about.")
    attempt: int = Field(default=1, description="Number of the attempt, from 1.")
    commit: str | None = Field(default=None, description="The commit that was made.")
    message: str = Field(default="", description="The same for people.")


class WriteBackRecord(GitRecord):
    """A rolled-back revision, and the revert of its commit."""

    state: Literal["Pending", "Pushed", "NotNeeded", "Failed"] = Field(
        default="Pending", description="Pushed: the commit is in the repository. Failed: a person has to."
    )


class ForwardRecord(GitRecord):
    """A promoted revision, and the commit that brings it to the next environment."""

    images: tuple[str, ...] = Field(default=(), description="Its images.")
    due: Time = Field(description="When the soak ends.")
    state: Literal["Soaking", "Pending", "Pushed", "NotNeeded", "Failed"] = Field(
        default="Soaking", description="Pushed: the commit is in the repository. Failed: a person has to."
    )


RolloutOutcome = Literal["Promoted", "RolledBack", "Aborted", "Reverted", "Superseded", "Deleted"]


class RolloutRecord(StatusModel):
    """A rollout that has ended."""

    round: int = Field(description="Its round.")
    revision: str = Field(description="The revision that was let in.")
    outcome: RolloutOutcome = Field(
        description="Promoted, RolledBack, Aborted by a person, Reverted in Git, Superseded by another revision or plan,"
        " or Deleted with the Canary."
    )
    reason: str = Field(description="One word: why.")
    commit: str = Field(default="", exclude_if=_empty, description="Id of the commit, as far as it is known.")
    commit_time: Time | None = Field(default=None, description="When it was committed.")
    started_at: Time | None = Field(default=None, description="When the revision was first seen.")
    requests_at: Time | None = Field(default=None, description="When the candidate was first given requests.")
    failed_at: Time | None = Field(default=None, description="When the fault was seen that it was rolled back for.")
    restored_at: Time | None = Field(default=None, description="When all requests had been sent back.")
    ended_at: Time = Field(description="When it ended; of a promoted one, when it was in production.")
    again: Literal[True] | None = Field(
        default=None,
        description="True: the revision had been stable before, so that this takes back what came after it.",
    )


class CanaryStatus(StatusModel):
    """Where the canary stands."""

    observed_generation: int | None = Field(default=None, description="Generation of the spec that was acted on.")
    phase: CanaryPhase = Field(default=CanaryPhase.WAITING, description="Where it stands.")
    reason: str | None = Field(default=None, description="One word: why.")
    message: str | None = Field(default=None, description="The same for people.")
    stable_revision: str | None = Field(default=None, description="The revision that is trusted.")
    candidate_revision: str | None = Field(default=None, description="The revision that is let in.")
    commit: str | None = Field(
        default=None,
        description="First eight digits of the commit of the candidate; without one, of the stable revision.",
    )
    stable_commit: CommitRecord | None = Field(default=None, description="The commit of the stable revision.")
    candidate_commit: CommitRecord | None = Field(default=None, description="The commit of the candidate.")
    write_back: WriteBackRecord | None = Field(
        default=None, description="What is done in Git about the newest rollback."
    )
    forward: ForwardRecord | None = Field(default=None, description="What is done in Git about the newest promotion.")
    round: int = Field(default=0, description="How often a revision has been tried; part of the hooks' keys.")
    plan: str | None = Field(default=None, description="Hash of the part of the spec that the rollout follows.")
    step: int | None = Field(default=None, description="Index of the current step, from 0.")
    progress: str | None = Field(default=None, description="Number of the step / steps in all, of the newest rollout.")
    weight: int = Field(default=0, description="Weight of the candidate that was asked for, in percent.")
    matched: Literal[True] | None = Field(
        default=None, description="True: requests that spec.canary.match tells apart were asked to go to the candidate."
    )
    mirror: int | None = Field(
        default=None, description="Share of the requests that were asked to be copied, in percent."
    )
    weight_seen: int | None = Field(default=None, description="Weight that the routes had, when this was written.")
    since: Time | None = Field(default=None, description="When the phase, or the step of it, began.")
    started_at: Time | None = Field(default=None, description="When the rollout began.")
    requests_at: Time | None = Field(
        default=None, description="When the candidate was first given requests in this rollout."
    )
    finished_at: Time | None = Field(default=None, description="When the newest rollout ended.")
    stage: int = Field(default=0, description="Number of the stretch that evidence is gathered for.")
    verdict: str | None = Field(
        default=None, description="What the gates come to together; at rest, what they came to in the newest rollout."
    )
    gates: tuple[CanaryGate, ...] = Field(
        default=(), exclude_if=_empty, description="The gates of the stage.", json_schema_extra=list_map()
    )
    no_evidence_since: Time | None = Field(default=None, description="Since when evidence has been missing.")
    alerted_at: Time | None = Field(default=None, description="When an Event said that something takes too long.")
    hooks: tuple[HookRecord, ...] = Field(
        default=(), exclude_if=_empty, description="Hooks of this round.", json_schema_extra=list_map("key")
    )
    routes: tuple[RouteRecord, ...] = Field(
        default=(),
        exclude_if=_empty,
        description="The routes as they were before the rollout.",
        json_schema_extra=list_map("kind", "name"),
    )
    pending: Pending | None = Field(default=None, description="What was asked for and is about to be done.")
    in_full: bool | None = Field(
        default=None, description="True: somebody asked for promotion without steps and watch."
    )
    paused: PausedBy | None = Field(default=None, description="Who paused it.")
    control: AnsweredControl | None = Field(default=None, description="The newest request, acknowledged.")
    last_move: LastMove | None = Field(default=None, description="The newest change of phase or step.")
    failed: tuple[FailedRevision, ...] = Field(
        default=(),
        exclude_if=_empty,
        description="Revisions that failed, newest last, the last ten.",
        json_schema_extra=list_map("revision"),
    )
    past: tuple[PastRevision, ...] = Field(
        default=(),
        exclude_if=_empty,
        description="Revisions that were stable before, newest last, the last ten.",
        json_schema_extra=list_map("revision"),
    )
    judged: tuple[JudgedBy, ...] = Field(
        default=(),
        exclude_if=_empty,
        description="The gates of the newest rollout, as they judged it last.",
        json_schema_extra=list_map(),
    )
    rollouts: tuple[RolloutRecord, ...] = Field(
        default=(), exclude_if=_empty, description="Rollouts that have ended, newest last, the last fifty."
    )
    conditions: tuple[Condition, ...] = Field(
        default=(), description="Ready, Reconciling, Stalled, Paused.", json_schema_extra=list_map("type")
    )
