"""The four keys of tables of records."""

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from sluice.api.canary_status import RolloutRecord
from sluice.planning.canary_history import MAX_ROLLOUTS
from sluice.planning.dora import (
    History,
    Keys,
    band_of_failures,
    band_of_frequency,
    band_of_lead,
    band_of_restore,
    four_keys,
    percentile,
    taken_back,
)
from tests.builders import NOW

MONTH = timedelta(days=30)
DAY = 86400.0
LONG_AGO = NOW - timedelta(days=400)


def ago(days: float = 0, **lengths: float) -> datetime:
    return NOW - timedelta(days=days, **lengths)


def rollout(revision: str, days: float, outcome: Any = "Promoted", **fields: Any) -> RolloutRecord:
    """One that ended so many days ago, a quarter of an hour after its first request."""
    end = ago(days)
    defaults: dict[str, Any] = {
        "started_at": end - timedelta(minutes=20),
        "requests_at": end - timedelta(minutes=15),
        "ended_at": end,
    }
    return RolloutRecord(round=1, revision=revision, outcome=outcome, reason=outcome, **(defaults | fields))


def rolled_back(revision: str, days: float, seconds: float = 3, **fields: Any) -> RolloutRecord:
    """One whose requests were back so many seconds after the fault was seen."""
    seen = ago(days, minutes=1)
    times = {"failed_at": seen, "restored_at": seen + timedelta(seconds=seconds)}
    return rollout(revision, days, "RolledBack", **(times | fields))


def keys(*rollouts: RolloutRecord, created: datetime | None = LONG_AGO, window: timedelta = MONTH) -> Keys:
    return four_keys([History("shop", "pricing", created, rollouts)], NOW, window)


# -- how many ---------------------------------------------------------------------------------------------------------


def test_of_nothing_nothing_is_said() -> None:
    found = keys()
    assert (found.rollouts, found.promoted, found.came, found.frequency) == (0, 0, 0, 0.0)
    assert (found.lead.median, found.lead.p90, found.failure_rate, found.restore.median) == (None, None, None, None)
    assert set(found.bands.values()) == {None}
    assert four_keys([], NOW, MONTH).rollouts == 0


def test_of_one_record_there_are_values_and_no_bands() -> None:
    found = keys(rollout("v2", 1, commit_time=ago(1, hours=2)))
    assert (found.promoted, found.came, found.failure_rate) == (1, 1, 0.0)
    assert (found.lead.count, found.lead.median, found.lead.p90) == (1, 7200.0, 7200.0)
    assert found.frequency == pytest.approx(1 / 30)
    assert set(found.bands.values()) == {None}


def test_of_rollbacks_only_there_are_failures_and_times_to_restore() -> None:
    found = keys(*(rolled_back(f"v{n}", n, seconds=n) for n in range(5, 0, -1)))
    assert (found.promoted, found.failed, found.came, found.failure_rate) == (0, 5, 5, 1.0)
    assert (found.restore.count, found.restore.median, found.restore.p90) == (5, 3.0, pytest.approx(4.6))
    assert found.bands == {"frequency": None, "lead": None, "failures": "Low", "restore": "Elite"}


def test_five_values_are_judged_and_four_are_not() -> None:
    rows = [rollout(f"v{n}", n, commit_time=ago(n, hours=1)) for n in range(5, 0, -1)]
    assert keys(*rows).bands == {"frequency": "High", "lead": "Elite", "failures": "Elite", "restore": None}
    assert set(keys(*rows[:4]).bands.values()) == {None}


# -- lead times -------------------------------------------------------------------------------------------------------


def test_missing_commit_times_are_counted_and_not_guessed() -> None:
    found = keys(rollout("v2", 2), rollout("v3", 1, commit_time=ago(1, hours=1)))
    assert (found.lead.count, found.without_commit_time, found.lead.median) == (1, 1, 3600.0)


def test_a_return_to_an_earlier_revision_is_a_deployment_and_no_change() -> None:
    found = keys(rollout("v2", 20, commit_time=ago(20, hours=1)), rollout("v1", 5, again=True))
    assert (found.promoted, found.came, found.lead.count, found.without_commit_time) == (2, 1, 1, 0)


def test_a_clock_that_ran_backwards_is_left_out_and_told() -> None:
    found = keys(
        rollout("v2", 3, commit_time=ago(2)),
        rollout("v3", 2, commit_time=ago(2, hours=1)),
        rolled_back("v4", 1, seconds=-2),
    )
    assert found.backwards == 2
    assert (found.lead.count, found.lead.median) == (1, 3600.0)
    assert (found.restore.count, found.failed) == (0, 1)


@pytest.mark.parametrize("hours", [-11, 0, 5.5, 13])
def test_time_zones_make_no_difference(hours: float) -> None:
    zone = timezone(timedelta(hours=hours))
    row = rollout("v2", 1, commit_time=ago(1, hours=2).astimezone(zone))
    moved = row.model_copy(update={"ended_at": row.ended_at.astimezone(zone)})
    assert keys(moved).lead.median == 7200.0
    assert four_keys([History("a", "b", LONG_AGO, [moved])], NOW.astimezone(zone), MONTH).promoted == 1


# -- what counts as a failure -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "failed", "came"),
    [
        (rollout("v2", 1), 0, 1),
        (rolled_back("v2", 1), 1, 1),
        (rolled_back("v2", 1, requests_at=None, restored_at=None), 1, 1),
        (rollout("v2", 1, "Aborted"), 1, 1),
        (rollout("v2", 1, "Aborted", requests_at=None), 0, 0),
        (rollout("v2", 1, "Reverted"), 1, 1),
        (rollout("v2", 1, "Reverted", requests_at=None), 0, 0),
        (rollout("v2", 1, "Superseded"), 0, 0),
        (rollout("v2", 1, "Deleted"), 0, 0),
    ],
)
def test_each_outcome_counts_for_what_it_is(row: RolloutRecord, failed: int, came: int) -> None:
    found = keys(row)
    assert (found.failed, found.came, found.rollouts) == (failed, came, 1)


def test_a_rollback_before_any_request_is_told_apart_and_nothing_had_to_be_restored() -> None:
    found = keys(rolled_back("v2", 1, requests_at=None))
    assert (found.failed, found.failed_unserved, found.restore.count) == (1, 1, 0)


def promotions(*steps: tuple[str, float]) -> list[RolloutRecord]:
    """Promotions in their order; a revision that stood there before is marked, as `v1` is, with which all begins."""
    known, rows = {"v1"}, []
    for revision, days in steps:
        rows.append(rollout(revision, days, again=True if revision in known else None))
        known.add(revision)
    return rows


@pytest.mark.parametrize(
    ("steps", "undone"),
    [
        ([("v2", 9), ("v3", 8)], []),
        ([("v2", 9), ("v1", 8)], ["v2"]),
        ([("v2", 9), ("v1", 2)], ["v2"]),  # the last moment that counts
        ([("v2", 9), ("v1", 1.99)], []),
        ([("v2", 9), ("v3", 8), ("v1", 7)], ["v2", "v3"]),
        ([("v2", 9), ("v3", 8), ("v2", 7)], ["v3"]),
        ([("v2", 9), ("v3", 8), ("v4", 7), ("v3", 6)], ["v4"]),
        ([("v2", 9), ("v1", 8), ("v2", 7)], ["v2"]),  # taken back once; the return is no change
        ([("v2", 9), ("v1", 8), ("v3", 7), ("v1", 6)], ["v2", "v3"]),
    ],
)
def test_what_was_promoted_and_taken_back(steps: list[tuple[str, float]], undone: list[str]) -> None:
    assert [row.rollout.revision for row in taken_back(promotions(*steps))] == undone


def test_what_was_taken_back_fails_and_is_restored_when_the_earlier_revision_is_promoted() -> None:
    found = keys(*promotions(("v2", 9), ("v1", 8)))
    assert (found.failed, found.came, found.failure_rate) == (1, 1, 1.0)
    assert (found.restore.count, found.restore.median) == (1, DAY)


# -- over which time --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("days", "counted"), [(30, 1), (30 + 1e-5, 0), (0, 1), (-0.01, 1)])
def test_the_edges_of_the_time_that_is_looked_at(days: float, counted: int) -> None:
    """A record that ended after now is one of a clock that is ahead."""
    assert keys(rollout("v2", days)).rollouts == counted


def test_a_failure_counts_in_the_time_in_which_it_was_promoted() -> None:
    rows = promotions(("v2", 31), ("v1", 29))
    assert (keys(*rows).failed, keys(*rows).came) == (0, 0)
    assert keys(*rows, window=timedelta(days=32)).failed == 1


def test_a_canary_that_is_younger_is_counted_from_its_beginning_and_for_a_day_at_least() -> None:
    assert keys(rollout("v2", 1), created=ago(10)).frequency == pytest.approx(0.1)
    assert keys(rollout("v2", 0.01), created=ago(0.02)).frequency == 1.0
    assert keys(rollout("v2", 12), created=ago(10)).since == ago(12), (
        "its records are older than it is: it was restored"
    )


def test_a_full_list_says_nothing_of_the_time_before_its_first_record() -> None:
    rows = [rollout(f"v{n}", 10 - n * 0.2) for n in range(MAX_ROLLOUTS)]
    found = keys(*rows)
    assert (found.cut, found.since, found.frequency) == (True, ago(10), pytest.approx(5.0))
    assert not keys(*rows, window=timedelta(days=5)).cut, "all of this time is covered"
    assert not keys(*rows[1:]).cut


def test_rollouts_of_several_canaries_at_the_same_time_are_counted_together() -> None:
    one = History(
        "shop", "pricing", ago(20), [rollout("v2", 1, commit_time=ago(1, hours=1)), rolled_back("v3", 0.5, 2)]
    )
    two = History("shop", "cart", ago(10), [rollout("v2", 1, commit_time=ago(1, hours=3)), rolled_back("v3", 0.5, 4)])
    found = four_keys([one, two], NOW, MONTH)
    assert found.outcomes == {"Promoted": 2, "RolledBack": 2}
    assert (found.since, found.frequency) == (ago(20), pytest.approx(0.1))
    assert (found.lead.median, found.restore.median, found.failure_rate) == (7200.0, 3.0, 0.5)


# -- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.5, None), ([4.0], 0.9, 4.0), ([1.0, 3.0], 0.5, 2.0), ([1.0, 2.0, 3.0, 4.0, 5.0], 0.9, 4.6)],
)
def test_percentiles(values: list[float], share: float, expected: float | None) -> None:
    assert percentile(values, share) == (pytest.approx(expected) if expected is not None else None)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (band_of_frequency(1.01), "Elite"),
        (band_of_frequency(1.0), "High"),
        (band_of_frequency(1 / 7), "High"),
        (band_of_frequency(0.14), "Medium"),
        (band_of_frequency(1 / 30), "Medium"),
        (band_of_frequency(0.03), "Low"),
        (band_of_lead(DAY - 1), "Elite"),
        (band_of_lead(DAY), "High"),
        (band_of_lead(7 * DAY), "Medium"),
        (band_of_lead(30 * DAY), "Low"),
        (band_of_failures(0.05), "Elite"),
        (band_of_failures(0.2), "High"),
        (band_of_failures(0.21), "Low"),
        (band_of_restore(3599), "Elite"),
        (band_of_restore(3600), "High"),
        (band_of_restore(DAY), "Low"),
    ],
)
def test_the_edges_of_the_bands(found: str, expected: str) -> None:
    assert found == expected
