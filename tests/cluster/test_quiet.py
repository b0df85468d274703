"""A cluster in which nothing is to be done: the operator writes nothing at all for a minute."""

import time
from collections import Counter

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sluice.kube.resources import LEASES
from tests.cluster.installation import Installation
from tests.cluster.kit import HELD, Namespace, pipeline, shell

SECONDS = 60.0
READING = {"get", "list", "watch", "logs"}


@pytest.mark.quiet
def test_nothing_is_written_for_a_minute(namespace: Namespace, operator: Installation) -> None:
    yearly = {"cron": ["0 0 1 1 *"], "timeZone": "Asia/Kolkata"}
    namespace.apply(pipeline("done", shell("main"), schedule=yearly))
    namespace.apply(pipeline("held", shell("main", HELD), concurrency={"policy": "Queue"}))
    namespace.ended(namespace.run("done"))
    namespace.running(namespace.run("held"), "main")
    waiting = namespace.run("held", "waits")
    namespace.wait_for("the queue", lambda: queued(namespace, waiting))
    for name, active in (("done", 0), ("held", 2)):
        namespace.wait_for(
            f"the last word on {name}",
            lambda name=name, active=active: (
                namespace.get("pipeline", name).get("status", {}).get("activeRuns") == active
            ),
        )
    before = _steady(namespace, operator)
    begin = time.monotonic()
    namespace.wait_for("the end of the minute", lambda: time.monotonic() > begin + SECONDS, SECONDS + 30)
    assert _writes(namespace, operator) == before


def queued(namespace: Namespace, run: str) -> bool:
    """Whether a run waits for another."""
    return (namespace.get("pipelinerun", run).get("status") or {}).get("reason") == "Queued"


def _steady(namespace: Namespace, operator: Installation) -> Counter[str]:
    """The counts once they stand still. Namespaces of earlier tests may still be going, and Kubernetes tries again at ever
    longer intervals to delete what is in them: they have to be gone."""
    phases = ["get", "namespaces", "-o", "jsonpath={.items[*].status.phase}"]
    namespace.wait_for(
        "the end of earlier namespaces", lambda: "Terminating" not in namespace.kubectl(*phases).stdout, seconds=300
    )
    seen = [_writes(namespace, operator)]

    def stands() -> bool:
        seen.append(_writes(namespace, operator))
        return len(seen) > 20 and all(row == seen[-1] for row in seen[-20:])

    namespace.wait_for("the end of all other work", stands)
    return seen[-1]


def _writes(namespace: Namespace, operator: Installation) -> Counter[str]:
    """Writes so far: as the operator counts them, and as the API server does for what only the operator writes."""
    own = [row for row in operator.metrics()["sluice_api_requests"].samples if row.name.endswith("_total")]
    served = namespace.kubectl("get", "--raw", "/metrics").stdout
    lines = "\n".join(line for line in served.splitlines() if line.startswith("apiserver_request_total{"))
    ours = [
        row
        for family in text_string_to_metric_families(lines + "\n")
        for row in family.samples
        if (row.labels["group"] == "sluice.dev" or row.labels["resource"] == "controllerrevisions")
        and row.labels["verb"] not in ("GET", "LIST", "WATCH")
    ]
    assert own
    assert ours
    counts: Counter[str] = Counter()
    for row in own:
        # The lease says that the operator lives, every two seconds.
        if row.labels["verb"] not in READING and row.labels["resource"] != LEASES.label:
            counts[f"operator: {row.labels['verb']} {row.labels['resource']}"] += int(row.value)
    for row in ours:
        counts[f"API server: {row.labels['verb']} {row.labels['resource']}"] += int(row.value)
    return counts
