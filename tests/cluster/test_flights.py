"""The flights example on the cluster: its numbers are those of the source data; a day without data fails clearly."""

from datetime import date

import fetch
import pytest

from tests.cluster import flights as example
from tests.cluster.flights import a_day
from tests.cluster.kit import Namespace
from tests.unit.examples.flights_by_csv import read_days


@pytest.fixture
def flights(namespace: Namespace) -> Namespace:
    """A namespace with the example in it, as the demo applies it."""
    example.install(namespace)
    return namespace


def test_a_day_is_published_with_the_numbers_of_the_source(flights: Namespace) -> None:
    day = date(2013, 1, 1)
    source = read_days(fetch.fetch(fetch.cache_folder()), [day])[day]

    run = flights.run("flights-daily", "day", interval=a_day("2013-01-01", "2013-01-02"))
    status = flights.ended(run, seconds=300)

    assert (status["phase"], status["progress"]) == ("Succeeded", "8/8")
    outputs = {step["name"]: step["outputs"] for step in status["steps"]}
    assert outputs["extract"]["rows"] == outputs["screen"]["rows"] == len(source.rows) == 842
    assert (outputs["screen"]["verdict"], outputs["audit"]["verdict"]) == ("Pass", "Pass")
    assert (outputs["clean"]["rows"], outputs["clean"]["cancelled"]) == (len(source.flown), len(source.cancelled))
    assert outputs["enrich"]["unknownPlanes"] == len(source.unknown_planes)
    assert outputs["delays"]["rows"] == len(source.carriers)
    assert outputs["publish"]["rows"] == len(source.flown)
    assert outputs["publish"]["uri"].endswith("/published/year=2013/month=1/day=1")


def test_a_day_outside_the_data_fails_with_its_message_and_is_still_reported(flights: Namespace) -> None:
    run = flights.run("flights-daily", "day", interval=a_day("2014-01-01", "2014-01-02"))
    status = flights.ended(run, seconds=300)

    steps = {step["name"]: step for step in status["steps"]}
    assert (status["phase"], status["reason"]) == ("Failed", "StepsFailed")
    assert (steps["extract"]["reason"], steps["extract"]["exitCode"]) == ("ExitCode", 3)
    assert "2014-01-01" in steps["extract"]["message"]
    assert steps["publish"]["phase"] == "UpstreamFailed"
    assert steps["report"]["phase"] == "Succeeded"
    assert "Failed" in steps["report"]["outputs"]["headline"]
