"""`sluice dora` as a program, against an API server on the loopback address."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sluice.cli.dora import length_of
from sluice.cli.dora_output import report_of, to_markdown, to_text
from sluice.cli.errors import CliError, Exit
from sluice.planning.dora import WITHIN, History
from tests.builders import NOW
from tests.unit.cli.canaries import canary_object
from tests.unit.cli.lists import Lists, sluice
from tests.unit.planning.test_dora import LONG_AGO, MONTH, ago, rolled_back, rollout

RECENT = datetime.now(UTC)


def canary(name: str, namespace: str = "data", *ended: tuple[float, str]) -> dict[str, Any]:
    """One with rollouts that ended so many days ago, each three hours after its commit."""
    rows = []
    for number, (days, outcome) in enumerate(ended):
        end = RECENT - timedelta(days=days)
        row = {
            "round": number + 1,
            "revision": f"v{number}",
            "outcome": outcome,
            "reason": outcome,
            "commitTime": (end - timedelta(hours=3)).isoformat(),
            "requestsAt": (end - timedelta(minutes=9)).isoformat(),
            "endedAt": end.isoformat(),
        }
        if outcome == "RolledBack":
            row |= {
                "failedAt": (end - timedelta(seconds=20)).isoformat(),
                "restoredAt": (end - timedelta(seconds=18)).isoformat(),
            }
        rows.append(row)
    obj = canary_object("Stable", rollouts=rows)
    obj["metadata"] |= {"name": name, "namespace": namespace, "creationTimestamp": "2020-01-01T00:00:00Z"}
    return obj


GOOD = tuple((float(day), "Promoted") for day in range(25, 0, -2))


async def test_the_keys_of_each_canary_and_together(tmp_path: Path) -> None:
    canaries = [canary("pricing", "data", *GOOD, (0.5, "RolledBack")), canary("cart"), canary("cart", "other", *GOOD)]
    async with Lists(canaries=canaries, datapipelines=[]) as api:
        code, out, err = await sluice(api, tmp_path, "dora")
        assert (code, err) == (0, "")
        lines = out.splitlines()
        assert [line.split("  ")[0] for line in lines if line and line[0] != " "] == [
            "Canary data/cart",
            "Canary data/pricing",
            "together",
            "Bands: DORA, Accelerate State of DevOps Report 2024.",
        ]
        assert lines[0].endswith("(30 days): no rollouts")
        place = next(index for index, line in enumerate(lines) if line.startswith("Canary data/pricing"))
        assert lines[place].endswith("(30 days): 14 rollouts, 13 Promoted, 1 RolledBack")
        assert [line.split() for line in lines[place + 1 : place + 5]] == [
            "deployment frequency 3.0 a week 13 promoted High".split(),
            "lead time for changes median 3h, p90 3h 13 changes Elite".split(),
            "change failure rate 7.1% 1 of 14 changes High".split(),
            "time to restore median 2.0s, p90 2.0s 1 failure no band: fewer than 5".split(),
        ]


async def test_all_namespaces_one_canary_and_less_time_as_json(tmp_path: Path) -> None:
    canaries = [canary("pricing", "data", *GOOD), canary("cart"), canary("pricing", "other", *GOOD)]
    async with Lists(canaries=canaries, datapipelines=[]) as api:
        code, out, _ = await sluice(api, tmp_path, "dora", "-A", "--canary", "pricing", "--since", "36h", "-o", "json")
        found = json.loads(out)
        assert code == 0
        assert [(row["namespace"], row["name"], row["rollouts"]) for row in found["objects"]] == [
            ("data", "pricing", 1),
            ("other", "pricing", 1),
        ]
        together = found["together"]
        assert together["outcomes"] == {"Promoted": 2}
        assert together["leadTime"] == {
            "count": 2,
            "medianSeconds": 10800.0,
            "p90Seconds": 10800.0,
            "withoutCommitTime": 0,
            "band": None,
        }
        assert together["changeFailureRate"] == {
            "rate": 0.0,
            "failed": 0,
            "failedBeforeAnyRequest": 0,
            "changes": 2,
            "band": None,
        }
        assert together["deploymentFrequency"]["perDay"] == pytest.approx(4 / 3, abs=0.01)
        assert found["withinSeconds"] == 7 * 86400


def pipeline(name: str, *days: float) -> dict[str, Any]:
    """One whose revisions were delivered so many days ago, each two hours after its commit."""
    rows = [
        {
            "revision": f"{name}-{number}",
            "run": f"run-{number}",
            "commitTime": (RECENT - timedelta(days=day, hours=2)).isoformat(),
            "deliveredAt": (RECENT - timedelta(days=day)).isoformat(),
        }
        for number, day in enumerate(days)
    ]
    metadata = {"name": name, "namespace": "data", "creationTimestamp": "2020-01-01T00:00:00Z"}
    return {"metadata": metadata, "spec": {}, "status": {"deliveries": rows}}


async def test_pipelines_are_counted_beside_canaries_and_alone(tmp_path: Path) -> None:
    lists = {"canaries": [canary("pricing", "data", *GOOD)], "datapipelines": [pipeline("flights", 9, 8, 7, 6, 5)]}
    async with Lists(**lists) as api:
        code, out, _ = await sluice(api, tmp_path, "dora", "-o", "json")
        found = json.loads(out)
        assert code == 0
        assert [(row["kind"], row["name"]) for row in found["objects"]] == [
            ("Canary", "pricing"),
            ("DataPipeline", "flights"),
        ]
        assert found["together"]["outcomes"] == {"Promoted": 18}
        _, out, _ = await sluice(api, tmp_path, "dora", "--pipeline", "flights")
        assert out.splitlines()[2].split() == "lead time for changes median 2h, p90 2h 5 changes Elite".split()
        assert "together" not in out
        code, _, err = await sluice(api, tmp_path, "dora", "--pipeline", "fligths")
        assert (code, err) == (1, 'error: there is no DataPipeline "fligths" in namespace data\n')
        code, _, err = await sluice(api, tmp_path, "dora", "--pipeline", "flights", "--canary", "pricing")
        assert (code, err) == (2, "error: --canary and --pipeline: give one of them, or none\n")


async def test_what_is_not_there_and_what_is_wrong(tmp_path: Path) -> None:
    async with Lists(canaries=[], datapipelines=[]) as api:
        assert await sluice(api, tmp_path, "dora") == (0, "no Canaries and no DataPipelines\n", "")
        code, _, err = await sluice(api, tmp_path, "dora", "--canary", "pricing")
        assert (code, err) == (1, 'error: there is no Canary "pricing" in namespace data\n')
        code, _, err = await sluice(api, tmp_path, "dora", "--since", "month")
        assert (code, err) == (2, 'error: --since "month": must be a time such as 30d, 12w or 36h\n')


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("30d", timedelta(days=30)),
        ("2w", timedelta(days=14)),
        ("36h", timedelta(hours=36)),
        ("90m", timedelta(hours=1.5)),
    ],
)
def test_lengths_have_days_and_weeks(text: str, length: timedelta) -> None:
    assert length_of("--since", text) == length


@pytest.mark.parametrize("text", ["", "0d", "0s", "-1d", "1.5d", "d", "30", "30 d"])
def test_what_is_no_length_is_refused_with_the_option_and_the_value(text: str) -> None:
    with pytest.raises(CliError, match=f'^--within "{text}": must be ') as caught:
        length_of("--within", text)
    assert caught.value.code is Exit.USAGE


def test_markdown_has_a_table_for_each_canary_and_the_notes() -> None:
    rows = [
        rollout("v2", 3),
        rollout("v3", 2, commit_time=ago(1)),
        rolled_back("v4", 1, requests_at=None),
    ]
    text = to_markdown(report_of([History("shop", "pricing", LONG_AGO, rows)], NOW, MONTH, WITHIN))
    assert text.splitlines() == [
        "### Canary shop/pricing",
        "",
        "2026-01-31 to 2026-03-02 (30 days): 3 rollouts, 2 Promoted, 1 RolledBack",
        "",
        "| key | value | counted of | band |",
        "|---|---|---|---|",
        "| deployment frequency | 2.0 in 30 days | 2 promoted | no band: fewer than 5 |",
        "| lead time for changes | not known | 0 changes, 1 without a commit time | no band: fewer than 5 |",
        "| change failure rate | 33.3% | 1 of 3 changes, 1 before any request | no band: fewer than 5 |",
        "| time to restore | not known | 0 failures | no band: fewer than 5 |",
        "",
        "- 1 time left out, as a clock ran backwards",
        "",
        "Bands: DORA, Accelerate State of DevOps Report 2024.",
    ]


def test_a_full_list_is_told_of() -> None:
    rows = [rollout(f"v{n}", 5 - n / 10) for n in range(50)]
    text = to_text(report_of([History("shop", "pricing", LONG_AGO, rows)], NOW, MONTH, WITHIN))
    assert "(5 days): 50 rollouts, 50 Promoted" in text
    assert "deployment frequency   10.0 a day" in text
    assert "note: only the newest 50 are on record" in text
