"""`sluice gate show`: the verdict from the run's status, the details from the log of the gate's pod while there is one."""

import json
from typing import Any

import pytest

from sluice.cli.errors import CliError
from sluice.cli.gate_show import document_of, find_gates, lines_of
from sluice.cli.session import Session
from tests.unit.cli.api_server import ScriptedClient
from tests.unit.cli.runs import ended, run_object

NAME = "flights-x7k2p"
REPORT = {
    "gate": "clean",
    "verdict": "Fail",
    "checks": [
        {"name": "rows", "outcome": "Pass", "bound": "rows >= 1", "message": "3", "rowsEvaluated": 3},
        {
            "name": "phone",
            "outcome": "Fail",
            "bound": "phone is in-phone",
            "message": "1 of 3 rows fail",
            "rowsEvaluated": 3,
        },
    ],
}
GATE = {
    "name": "clean",
    "uid": "g-1",
    "generation": 1,
    "verdict": "Fail",
    "decision": "Stop",
    "score": 50,
    "message": "phone: 1 of 3 rows fail",
    "data": {"verdict": "Fail", "score": 50, "weight": 2, "counting": 2},
    "checks": [{"name": "phone", "outcome": "Fail", "message": "1 of 3 rows fail"}],
}


def session(*logs: list[bytes], **gate: Any) -> Session:
    check = ended("check", "Failed", gate={**GATE, **gate})
    run = run_object("Failed", ended("extract"), check)
    scripts = {"pod-check-1": list(logs)} if logs else {}
    return Session(ScriptedClient(objects={f"pipelineruns/{NAME}": [run]}, logs=scripts), "data")  # type: ignore[arg-type]


def log(*lines: str) -> list[bytes]:
    return [f"2026-03-01T12:00:{n:02}.000000000Z {line}".encode() for n, line in enumerate(lines)]


async def test_checks_are_shown_with_what_the_log_knows_those_that_failed_first() -> None:
    (shown,) = await find_gates(session(log("rows: fine", "sluice-report: " + json.dumps(REPORT))), NAME, None)
    assert lines_of(shown) == [
        "check: clean: Fail, score 50, Stop: phone: 1 of 3 rows fail",
        "  Fail         phone: phone is in-phone | 1 of 3 rows fail",
        "  Pass         rows: rows >= 1 | 3 (over 3 rows)",
    ]
    assert document_of([shown])[0]["report"] == REPORT


@pytest.mark.parametrize("lines", [None, ["no report here"], ["sluice-report: {broken"]])
async def test_without_a_report_the_status_still_says_what_it_came_to(lines: list[str] | None) -> None:
    (shown,) = await find_gates(session(*([log(*lines)] if lines is not None else [])), NAME, "check")
    assert shown.report is None
    assert lines_of(shown) == [
        "check: clean: Fail, score 50, Stop: phone: 1 of 3 rows fail",
        "  Fail         phone: 1 of 3 rows fail",
        "  the report of the checks on data is gone with the log of its pod",
    ]


async def test_metrics_are_shown_from_their_tallies() -> None:
    tally = {"name": "errors", "conclusive": 3, "newest": "Pass", "message": "0.002"}
    (shown,) = await find_gates(session(verdict="Pass", data=None, checks=[], tallies=[tally]), NAME, None)
    assert lines_of(shown)[1:] == ["  Pass         errors: 0.002"]


@pytest.mark.parametrize("step", ["extract", "lost"])
async def test_a_step_that_is_no_gate_is_said_to_be_none(step: str) -> None:
    with pytest.raises(CliError, match=f"has no gate in step {step}; its gates: check"):
        await find_gates(session(), NAME, step)
