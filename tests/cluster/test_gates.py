"""Gates as steps on the cluster: real pods over real files on a volume, and what users see of the verdict."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.kit import Manifest, Namespace, pipeline, shell, steps_of

MOUNT = [{"name": "data", "mountPath": "/data"}]
ON_VOLUME = {
    "spec": {
        "securityContext": {"fsGroup": 65532},
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
    }
}
CLAIM: Manifest = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "64Mi"}}},
}
WRITE = (
    "printf 'id,amount,phone\\n%s' '$(params.rows)' > /data/orders.csv; "
    'echo \'{"uri": "/data/orders.csv"}\' > $SLUICE_OUTPUTS'
)
GOOD = "1,10,9876543210\n2,20,9876543211\n3,30,9876543212\n"
BAD = "1,10,9876543210\n2,-20,9876543211\n3,30,12\n"


def gate(name: str, *checks: Manifest, **spec: Any) -> Manifest:
    """A QualityGate."""
    return {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "QualityGate",
        "metadata": {"name": name},
        "spec": {"checks": list(checks), **spec},
    }


def on_orders(name: str, **check: Any) -> Manifest:
    """A check on the data set that the step `extract` writes."""
    own = {key: check.pop(key) for key in ("severity", "onNoData", "quarantine", "pii") if key in check}
    return {"name": name, "data": {"source": "extract", **check}, **own}


AMOUNT = on_orders("amount", range={"column": "amount", "min": 0})
PHONE = on_orders("phone", preset={"column": "phone", "name": "in-phone"}, pii=["phone"])
ROWS = on_orders("rows", rowCount={"min": 1})


def audited(**use: Any) -> Manifest:
    """extract -> check (the gate `orders`) -> publish."""
    return pipeline(
        "orders",
        shell("extract", WRITE, volumeMounts=MOUNT),
        {"name": "check", "dependsOn": ["extract"], "gate": {"name": "orders", **use}, "volumeMounts": MOUNT},
        shell("publish", "cp /data/orders.csv /data/published.csv", dependsOn=["check"], volumeMounts=MOUNT),
        params=[{"name": "rows", "type": "string", "default": GOOD}],
        podTemplate=ON_VOLUME,
    )


def test_a_gate_that_passes_lets_the_run_go_on_and_is_seen(namespace: Namespace) -> None:
    namespace.apply(CLAIM, gate("orders", ROWS, AMOUNT, PHONE), audited())
    status = namespace.ended(namespace.run("orders"), seconds=180)
    check = steps_of(status)["check"]
    assert (status["phase"], check["phase"]) == ("Succeeded", "Succeeded"), check
    assert (check["gate"]["verdict"], check["gate"]["decision"], check["gate"]["score"]) == ("Pass", "Continue", 100)

    def columns() -> list[str] | None:
        words = namespace.kubectl("get", "qualitygates", "--no-headers").stdout.split()
        return words if "Pass" in words else None

    seen = namespace.wait_for("the verdict in kubectl get", columns, seconds=20)
    assert seen[:3] == ["orders", "Pass", "100"]


def test_a_gate_that_fails_stops_the_run_before_it_publishes(namespace: Namespace, tmp_path: Path) -> None:
    namespace.apply(CLAIM, gate("orders", ROWS, AMOUNT, PHONE), audited())
    run = namespace.run("orders", params={"rows": BAD})
    status = namespace.ended(run, seconds=180)
    steps = steps_of(status)
    assert (status["phase"], status["reason"]) == ("Failed", "StepsFailed")
    assert (steps["check"]["phase"], steps["check"]["reason"]) == ("Failed", "GateFailed")
    assert steps["publish"]["phase"] == "UpstreamFailed"
    assert steps["check"]["gate"]["verdict"] == "Fail"
    assert {row["name"]: row["outcome"] for row in steps["check"]["gate"]["checks"]} == {
        "amount": "Fail",
        "phone": "Fail",
    }
    assert "1 of 3 rows" in steps["check"]["message"]
    assert namespace.event(run, "GateFailed")["type"] == "Warning"

    page = tmp_path / "report.html"
    shown = namespace.cli("gate", "show", run, "check", "--html", str(page))
    assert shown.returncode == 0, shown.stderr
    assert "check: orders: Fail" in shown.stdout
    assert "phone" in shown.stdout
    assert "12</td>" not in page.read_text(), "personal data is masked"
    assert "-20" in page.read_text(), "the row that fails is shown"
    found = json.loads(namespace.cli("gate", "show", run, "-o", "json").stdout)
    assert [row["rowsEvaluated"] for row in found[0]["report"]["checks"]] == [3, 3, 3]


def test_bad_rows_are_set_aside_and_the_rest_goes_on(namespace: Namespace) -> None:
    checks = [ROWS, {**AMOUNT, "quarantine": True}, {**PHONE, "quarantine": True}]
    rule = {"source": "extract", "maxShare": 0.7}
    where = {"quarantine": "/data/quarantine/$(run.name)", "passing": "/data/good/$(run.name).parquet"}
    namespace.apply(CLAIM, gate("orders", *checks, quarantine=rule), audited(**where))
    status = namespace.ended(namespace.run("orders", params={"rows": BAD}), seconds=180)
    check = steps_of(status)["check"]
    assert (status["phase"], check["gate"]["verdict"], check["reason"]) == ("Succeeded", "Warn", "GateWarned"), check
    outputs = check["outputs"]
    assert (outputs["rows"], outputs["quarantined"]) == (1, 2)
    assert outputs["uri"] == "/data/good/orders-run.parquet"


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("/data/lost.csv", "cannot be read"),
        ("/data/orders.docx", "format"),
    ],
)
def test_data_that_cannot_be_read_never_passes(namespace: Namespace, uri: str, said: str) -> None:
    namespace.apply(CLAIM, gate("orders", ROWS), audited(sources={"extract": uri}))
    status = namespace.ended(namespace.run("orders"), seconds=180)
    check = steps_of(status)["check"]
    assert (check["phase"], check["reason"]) == ("Failed", "GateFailed")
    assert said in check["gate"]["checks"][0]["message"]


def test_a_gate_that_is_applied_late_is_waited_for_and_one_that_is_edited_is_evaluated_anew(
    namespace: Namespace,
) -> None:
    namespace.apply(CLAIM, audited(hold={"interval": "2s"}))
    run = namespace.run("orders")
    namespace.wait_for("the step that waits", lambda: namespace.step(run, "check").get("reason") == "GateNotFound")
    unsure = on_orders("late", notNull={"columns": ["id"]}, where="id > 99", onNoData="Hold")
    namespace.apply(gate("orders", unsure))
    namespace.wait_for(
        "a gate that holds", lambda: namespace.step(run, "check").get("gate", {}).get("decision") == "Hold"
    )
    namespace.apply(gate("orders", ROWS))
    status = namespace.ended(run, seconds=180)
    assert status["phase"] == "Succeeded", status
    assert steps_of(status)["check"]["gate"]["generation"] == 2


def test_a_gate_killed_for_memory_does_not_pass(namespace: Namespace) -> None:
    namespace.apply(CLAIM, gate("orders", ROWS))
    manifest = audited()
    manifest["spec"]["steps"][1]["resources"] = {"limits": {"memory": "16Mi"}, "requests": {"memory": "16Mi"}}
    namespace.apply(manifest)
    status = namespace.ended(namespace.run("orders"), seconds=180)
    check = steps_of(status)["check"]
    assert check["phase"] == "Failed"
    assert check["reason"] in ("OOMKilled", "ExitCode", "PodFailed")
    assert steps_of(status)["publish"]["phase"] == "UpstreamFailed"


def test_a_gate_that_cannot_work_is_refused(namespace: Namespace) -> None:
    def refused(*checks: Manifest, **spec: Any) -> str:
        done = namespace.apply(gate("bad", *checks, **spec), check=False)
        assert done.returncode != 0
        return done.stderr

    assert "spec.checks[0]" in refused({"name": "empty"})
    assert "exactly one assertion" in refused(on_orders("two", rowCount={"min": 1}, notNull={"columns": ["id"]}))
    exemption = {"check": "other", "reason": "r", "approver": "a", "expires": "2030-01-01T00:00:00Z"}
    assert 'spec.exemptions[0].check: Not found: "other"' in refused(ROWS, exemptions=[exemption])
    assert "unknown field" in refused(on_orders("odd", rowCounts={"min": 1}))
