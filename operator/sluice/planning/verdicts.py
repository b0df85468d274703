"""The algebra of verdicts: from measurements to an outcome, from outcomes to a verdict, to what happens next.

Three small steps, each a pure function:

    judge_value(measured value, bounds)             -> Outcome of one look
    judge_samples(history of looks, limits)         -> Outcome of a check that is looked at again and again
    combine(outcomes with severity, weight...)      -> Verdict of the gate
    decide(verdict, dry run)                        -> Continue, Stop or Hold

One rule stands above all others: what is missing, stale, not a number or failing to be measured is never a Pass (safety
rule 4). It is Inconclusive (nothing is known) or Error (it could not be found out), and a check says what that means:
hold, fail, or count as a failed look.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum


class Outcome(StrEnum):
    """What one check came to."""

    PASS = "Pass"  # noqa: S105 - a word, not a password
    WARN = "Warn"
    FAIL = "Fail"
    INCONCLUSIVE = "Inconclusive"
    ERROR = "Error"


class Severity(StrEnum):
    """How much a check's outcome counts."""

    BLOCK = "Block"
    WARN = "Warn"
    INFO = "Info"


class NoData(StrEnum):
    """What a check does with a look that was Inconclusive or an Error."""

    HOLD = "Hold"
    FAIL = "Fail"
    COUNT = "Count"


class Decision(StrEnum):
    """What a step or a canary does on a verdict."""

    CONTINUE = "Continue"
    STOP = "Stop"
    HOLD = "Hold"


BADNESS: Mapping[Outcome, int] = {
    Outcome.PASS: 0,
    Outcome.WARN: 1,
    Outcome.INCONCLUSIVE: 2,
    Outcome.ERROR: 3,
    Outcome.FAIL: 4,
}
"""The order in which outcomes outweigh each other in a verdict. A known failure outweighs not knowing."""

SEVERITY_TABLE: Mapping[Severity, Mapping[Outcome, Outcome]] = {
    Severity.BLOCK: {outcome: outcome for outcome in Outcome},
    Severity.WARN: {
        Outcome.PASS: Outcome.PASS,
        Outcome.WARN: Outcome.WARN,
        Outcome.FAIL: Outcome.WARN,
        Outcome.INCONCLUSIVE: Outcome.WARN,
        Outcome.ERROR: Outcome.WARN,
    },
    Severity.INFO: dict.fromkeys(Outcome, Outcome.PASS),
}
"""What an outcome contributes to the gate's verdict, by the severity of its check."""

DECISION_TABLE: Mapping[Outcome, Decision] = {
    Outcome.PASS: Decision.CONTINUE,
    Outcome.WARN: Decision.CONTINUE,
    Outcome.INCONCLUSIVE: Decision.HOLD,
    Outcome.ERROR: Decision.HOLD,
    Outcome.FAIL: Decision.STOP,
}
"""What happens on a verdict."""

CREDIT: Mapping[Outcome, float] = {
    Outcome.PASS: 1.0,
    Outcome.WARN: 0.5,
    Outcome.FAIL: 0.0,
    Outcome.INCONCLUSIVE: 0.0,
    Outcome.ERROR: 0.0,
}
"""Share of its weight that a check earns for the score."""


def worst(*outcomes: Outcome) -> Outcome:
    """The outcome that outweighs the others; Inconclusive of none at all."""
    return max(outcomes, key=BADNESS.__getitem__, default=Outcome.INCONCLUSIVE)


# -- one look ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bounds:
    """An interval that a value has to lie in, ends included. None: no bound on that side."""

    min: float | None = None
    max: float | None = None

    def hold(self, value: float) -> bool:
        """Whether `value` lies inside. Never true of NaN."""
        if math.isnan(value):
            return False
        return (self.min is None or value >= self.min) and (self.max is None or value <= self.max)

    def __str__(self) -> str:
        sides = []
        if self.min is not None:
            sides.append(f">= {self.min:g}")
        if self.max is not None:
            sides.append(f"<= {self.max:g}")
        return " and ".join(sides) or "any number"


@dataclass(frozen=True)
class Rhythm:
    """When the samples come that a number is made of."""

    next_at: datetime
    """When the next one can be asked for, if all goes as before."""
    every: timedelta
    """From one to the next; more than 0."""

    def latest_by(self, moment: datetime) -> datetime | None:
        """When the last of them comes until `moment`; None: none does."""
        if moment < self.next_at:
            return None
        return self.next_at + (moment - self.next_at) // self.every * self.every


@dataclass(frozen=True)
class Look:
    """One measurement and what it came to."""

    at: datetime
    outcome: Outcome
    value: float | None = None
    message: str = ""
    rhythm: Rhythm | None = None
    """None: not known."""


def judge_value(value: float | None, fail: Bounds, warn: Bounds | None = None) -> tuple[Outcome, str]:
    """(outcome, message) of a measured value. None, NaN and infinity are no evidence: Inconclusive."""
    if value is None:
        return Outcome.INCONCLUSIVE, "no value"
    if math.isnan(value):
        return Outcome.INCONCLUSIVE, "NaN is not a measurement"
    if math.isinf(value):
        return Outcome.INCONCLUSIVE, f"{value} is not a measurement"
    if not fail.hold(value):
        return Outcome.FAIL, f"{value:g} is not {fail}"
    if warn is not None and not warn.hold(value):
        return Outcome.WARN, f"{value:g} is not {warn}"
    return Outcome.PASS, f"{value:g}"


# -- looks over time --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Limits:
    """When repeated looks make an outcome.

    A check fails when more than `consecutive` looks in a row failed, or more than `total` of all; with both 0 (the
    default) the first failed look is enough. It passes when at least `min_samples` looks were conclusive, the newest of
    them did not fail, and, with `sustained`, no look failed for that long.
    """

    consecutive: int = 0
    total: int | None = None
    min_samples: int = 1
    sustained: timedelta = timedelta(0)
    no_data: NoData = NoData.HOLD


@dataclass(frozen=True)
class Tally:
    """What the looks at a check have come to so far: all that is needed to judge it, however many there were."""

    conclusive: int = 0
    in_row: int = 0
    """Failed looks in a row, up to now."""
    total: int = 0
    """Failed looks in all."""
    first_at: datetime | None = None
    last_at: datetime | None = None
    last_failure: datetime | None = None
    known_at: datetime | None = None
    """The newest look that was evidence."""
    newest: Outcome | None = None
    """The newest look's outcome, with `no_data` taken into account."""
    value: float | None = None
    """The newest measured value."""
    message: str = ""
    failed: str = ""
    """Why the check has failed for good; empty while it has not."""
    rhythm: Rhythm | None = None
    """As the newest look tells it."""

    def due(self, interval: timedelta) -> datetime | None:
        """When to look next: `interval` after the newest look, or earlier, when the last sample until then comes, as a
        look right after a sample sees it soonest. None: there was no look yet."""
        if self.last_at is None:
            return None
        latest = self.last_at + interval
        sample = self.rhythm.latest_by(latest) if self.rhythm is not None else None
        return sample if sample is not None and sample > self.last_at else latest

    def with_look(self, look: Look, limits: Limits) -> "Tally":
        """The tally with one more look. Once a check has failed for good, nothing changes that."""
        seen = replace(self, first_at=self.first_at or look.at, last_at=look.at, rhythm=look.rhythm)
        if self.failed:
            return seen
        evidence = look.outcome not in (Outcome.INCONCLUSIVE, Outcome.ERROR)
        seen = replace(seen, message=look.message, known_at=look.at if evidence else self.known_at)
        if not evidence:
            if limits.no_data is NoData.HOLD:
                return replace(seen, newest=look.outcome)
            failed = replace(
                seen, newest=Outcome.FAIL, in_row=self.in_row + 1, total=self.total + 1, last_failure=look.at
            )
            if limits.no_data is NoData.FAIL:
                return replace(failed, failed=f"no evidence: {look.message}")
        elif look.outcome is Outcome.FAIL:
            failed = replace(
                seen,
                conclusive=self.conclusive + 1,
                newest=Outcome.FAIL,
                value=look.value,
                in_row=self.in_row + 1,
                total=self.total + 1,
                last_failure=look.at,
            )
        else:
            return replace(seen, conclusive=self.conclusive + 1, newest=look.outcome, value=look.value, in_row=0)
        if failed.in_row > limits.consecutive:
            return replace(failed, failed=f"{look.message} ({failed.in_row}/{limits.consecutive + 1})")
        if limits.total is not None and failed.total > limits.total:
            return replace(failed, failed=f"{look.message} ({failed.total} failures, {limits.total} allowed)")
        return failed

    def judge(self, limits: Limits) -> tuple[Outcome, str]:
        """(outcome, message) of the check. How long it has held is told by its looks, not by the clock."""
        if self.failed:
            return Outcome.FAIL, self.failed
        if self.newest is None or self.first_at is None or self.last_at is None:
            return Outcome.INCONCLUSIVE, "not measured yet"
        if self.newest in (Outcome.INCONCLUSIVE, Outcome.ERROR):
            return self.newest, self.message
        if self.newest is Outcome.FAIL:
            limit = f"{self.in_row}/{limits.consecutive + 1}"
            return Outcome.INCONCLUSIVE, f"failing, within its limits ({limit}): {self.message}"
        if self.conclusive < limits.min_samples:
            return Outcome.INCONCLUSIVE, f"{self.conclusive} of {limits.min_samples} samples"
        since = self.last_failure or self.first_at
        if self.last_at - since < limits.sustained:
            held, wanted = (self.last_at - since).total_seconds(), limits.sustained.total_seconds()
            return Outcome.INCONCLUSIVE, f"holds for {held:.0f} of {wanted:.0f} s"
        return self.newest, self.message


def judge_samples(looks: Sequence[Look], limits: Limits) -> tuple[Outcome, str]:
    """(outcome, message) of a check from all its looks, oldest first."""
    tally = Tally()
    for look in looks:
        tally = tally.with_look(look, limits)
    return tally.judge(limits)


# -- a gate -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CheckResult:
    """What a gate is told of one of its checks."""

    name: str
    outcome: Outcome
    severity: Severity = Severity.BLOCK
    weight: float = 1.0
    critical: bool = False
    """Its failure ends the evaluation at once, and no exemption covers it."""
    exempt: bool = False
    """A valid exemption covers it: a Fail counts as a Warn. Not knowing is not covered."""
    no_data: NoData = NoData.HOLD
    message: str = ""

    @property
    def effective(self) -> Outcome:
        """The outcome after `no_data`, exemption and severity: what it contributes to the verdict."""
        outcome = self.outcome
        if outcome in (Outcome.INCONCLUSIVE, Outcome.ERROR) and self.no_data is not NoData.HOLD:
            outcome = Outcome.FAIL
        if outcome is Outcome.FAIL and self.exempt and not self.critical:
            outcome = Outcome.WARN
        if self.critical:
            return outcome
        return SEVERITY_TABLE[self.severity][outcome]


@dataclass(frozen=True)
class ScoreLines:
    """Lines of the 0-100 score. A score can lower a verdict, never raise it."""

    passing: float = 0.0
    warning: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """What a gate came to."""

    outcome: Outcome
    score: float
    """0 to 100: the weighted share of checks that passed; Info checks do not count."""
    worst_check: str | None
    message: str
    counts: Mapping[Outcome, int] = field(default_factory=dict)
    weight: float = 0.0
    """Sum of the weights that the score is made of."""
    counting: int = 0
    """Number of checks that count."""


def join(parts: Sequence[Verdict], lines: ScoreLines | None = None) -> Verdict:
    """The verdict of a gate whose checks were judged in parts (data in a pod, metrics by the operator), each without lines."""
    counting = [part for part in parts if part.counting]
    counts = {outcome: sum(part.counts.get(outcome, 0) for part in parts) for outcome in Outcome}
    if not counting:
        return Verdict(Outcome.INCONCLUSIVE, 0.0, None, "no check counts", counts)
    weight = sum(part.weight for part in counting)
    score = round(sum(part.score * part.weight for part in counting) / weight, 1) if weight > 0 else 0.0
    leading = max(counting, key=lambda part: BADNESS[part.outcome])
    number = sum(part.counting for part in counting)
    by_score, score_message = _by_score(score, lines)
    outcome, message, check = leading.outcome, leading.message, leading.worst_check
    if BADNESS[by_score] > BADNESS[outcome]:
        outcome, message = by_score, score_message
    elif outcome is Outcome.PASS:
        message = f"{number} checks passed"
    return Verdict(outcome, score, check, message, counts, weight, number)


def combine(checks: Sequence[CheckResult], lines: ScoreLines | None = None) -> Verdict:
    """The verdict of a gate over its checks. Without any check that counts it is Inconclusive.

    Adding a check whose effective outcome is Fail never improves it: the worst contribution decides, and the score only
    lowers what the severities say.
    """
    counting = [check for check in checks if check.severity is not Severity.INFO or check.critical]
    counts = {outcome: sum(check.outcome is outcome for check in checks) for outcome in Outcome}
    if not counting:
        return Verdict(Outcome.INCONCLUSIVE, 0.0, None, "no check counts", counts)
    leading = max(counting, key=lambda check: (BADNESS[check.effective], BADNESS[check.outcome], check.weight))
    passed = all(check.outcome is Outcome.PASS for check in counting)
    part = Verdict(
        worst(*(check.effective for check in counting)),
        _score(counting),
        None if passed else leading.name,
        f"{leading.name}: {leading.message}",
        counts,
        sum(check.weight for check in counting),
        len(counting),
    )
    return join([part], lines)


def _score(checks: Sequence[CheckResult]) -> float:
    total = sum(check.weight for check in checks)
    if total <= 0:
        return 0.0
    earned = sum(check.weight * CREDIT[_for_score(check)] for check in checks)
    return round(100 * earned / total, 1)


def _for_score(check: CheckResult) -> Outcome:
    return Outcome.WARN if check.outcome is Outcome.FAIL and check.exempt and not check.critical else check.outcome


def _by_score(score: float, lines: ScoreLines | None) -> tuple[Outcome, str]:
    if lines is None or score >= lines.passing:
        return Outcome.PASS, ""
    if score >= lines.warning:
        return Outcome.WARN, f"score {score:g} is below {lines.passing:g}"
    return Outcome.FAIL, f"score {score:g} is below {lines.warning:g}"


def decide(verdict: Outcome, *, dry_run: bool = False) -> Decision:
    """What happens on a verdict. A dry run never stops or holds anything."""
    return Decision.CONTINUE if dry_run else DECISION_TABLE[verdict]
