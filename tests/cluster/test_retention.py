"""Ended runs are kept up to the limits, with their pods, and no longer."""

from tests.cluster.kit import Namespace, pipeline, shell


def test_ended_runs_beyond_the_limits_go_with_their_pods(namespace: Namespace) -> None:
    namespace.apply(
        pipeline(
            "kept",
            shell("main", 'test "$(params.end)" = well'),
            params=[{"name": "end", "default": "well"}],
            retention={"succeeded": 2, "failed": 1},
        )
    )
    ends = {"well-1": "well", "badly-1": "badly", "well-2": "well", "badly-2": "badly", "well-3": "well"}
    for name, end in ends.items():
        phase = namespace.ended(namespace.run("kept", name, params={"end": end}))["phase"]
        assert phase == ("Succeeded" if end == "well" else "Failed")
    kept = ["badly-2", "well-2", "well-3"]

    def names(kind: str, label: str) -> list[str]:
        return sorted(row["metadata"]["labels"].get(label, row["metadata"]["name"]) for row in namespace.all_of(kind))

    namespace.wait_for("the removal of the oldest runs", lambda: names("pipelineruns", "") == kept)
    namespace.wait_for("the end of their pods", lambda: names("pods", "sluice.dev/run") == kept)
    status = namespace.get("pipeline", "kept")["status"]
    assert (status["lastRun"]["name"], status["activeRuns"]) == ("well-3", 0)
