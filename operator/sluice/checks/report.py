"""What an evaluation of a gate leaves behind: a finding for each check, and the verdict over them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sluice.api.gate import Check
from sluice.checks.sql import When
from sluice.planning.verdicts import CheckResult, Decision, NoData, Outcome, Severity, Verdict


@dataclass(frozen=True)
class Finding:
    """What one check came to, with its evidence."""

    check: Check
    outcome: Outcome
    message: str
    bound: str = ""
    value: float | None = None
    """The measured number; for a check on rows, the share of rows for which it holds."""
    rows_evaluated: int | None = None
    rows_failed: int | None = None
    samples: tuple[Mapping[str, Any], ...] = ()
    exempt: bool = False
    sampled: str = ""
    """Which sources were looked at in part, and how large that part is; empty: all rows were looked at."""

    @property
    def severity(self) -> Severity:
        """How much it counts."""
        return Severity(self.check.severity or Severity.BLOCK)

    def result(self) -> CheckResult:
        """The check as the verdict is told of it."""
        return CheckResult(
            name=self.check.name,
            outcome=self.outcome,
            severity=self.severity,
            weight=1.0 if self.check.weight is None else self.check.weight,
            critical=bool(self.check.critical),
            exempt=self.exempt,
            no_data=NoData(self.check.on_no_data or NoData.FAIL),
            message=self.message,
        )


@dataclass(frozen=True)
class Written:
    """Rows that were written to a file."""

    uri: str
    rows: int


@dataclass(frozen=True)
class SetAside:
    """What quarantine came to."""

    source: str
    rows: int
    """Rows that fail at least one check with quarantine."""
    total: int
    """Rows of the source."""
    uri: str | None = None
    """The file that holds them; None when none was written."""
    problem: str = ""
    """Why they could not be set aside."""

    @property
    def share(self) -> float:
        """Share of the rows, 0 to 1."""
        return self.rows / self.total if self.total else 0.0


@dataclass(frozen=True)
class Report:
    """The evidence of one evaluation of a gate."""

    gate: str
    when: When
    verdict: Verdict
    decision: Decision
    dry_run: bool
    findings: tuple[Finding, ...]
    sources: Mapping[str, str] = field(default_factory=dict)
    """URI of each source by name."""
    samples: Mapping[str, str] = field(default_factory=dict)
    """{source: how many of its rows were looked at}, of sources that were looked at in part."""
    quarantine: SetAside | None = None
    passing: Written | None = None
    """The rows that were not set aside, where they were asked for and the decision is Continue."""
