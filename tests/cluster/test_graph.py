"""Graphs of steps on a real node: order, parallel steps, outputs."""

from datetime import datetime

from tests.cluster.kit import Namespace, pipeline, shell


def test_a_diamond_runs_in_order_and_hands_on_outputs(namespace: Namespace) -> None:
    namespace.apply(
        pipeline(
            "diamond",
            shell("top", 'echo \'{"n": 3, "uri": "/data/a b"}\' > /dev/termination-log'),
            shell("left", 'test "$(steps.top.outputs.n)" = 3', dependsOn=["top"]),
            shell("right", 'test "$(steps.top.outputs.uri)" = "/data/a b"', dependsOn=["top"]),
            shell("bottom", dependsOn=["left", "right"]),
        )
    )
    status = namespace.ended(namespace.run("diamond"))
    assert (status["phase"], status["progress"]) == ("Succeeded", "4/4")
    steps = {row["name"]: row for row in status["steps"]}
    assert steps["top"]["outputs"] == {"n": 3, "uri": "/data/a b"}
    launched = {name: datetime.fromisoformat(row["launchedAt"]) for name, row in steps.items()}
    finished = {name: datetime.fromisoformat(row["finishedAt"]) for name, row in steps.items()}
    assert launched["left"] == launched["right"] >= finished["top"]
    assert launched["bottom"] >= max(finished["left"], finished["right"])
    assert len(namespace.pods("diamond-run")) == 4


def test_twenty_parallel_steps_all_run_at_once(namespace: Namespace) -> None:
    namespace.apply(
        pipeline("wide", *(shell(f"s{i}") for i in range(20)), shell("join", dependsOn=[f"s{i}" for i in range(20)]))
    )
    status = namespace.ended(namespace.run("wide"), seconds=240)
    assert (status["phase"], status["progress"]) == ("Succeeded", "21/21")
    assert len({row["launchedAt"] for row in status["steps"] if row["name"] != "join"}) == 1


def test_max_active_steps_holds_steps_back(namespace: Namespace) -> None:
    namespace.apply(pipeline("narrow", *(shell(f"s{i}") for i in range(5)), concurrency={"maxActiveSteps": 2}))
    status = namespace.ended(namespace.run("narrow"))
    assert status["phase"] == "Succeeded"
    moments = [(row["launchedAt"], 1) for row in status["steps"]] + [(row["finishedAt"], -1) for row in status["steps"]]
    assert len({row["launchedAt"] for row in status["steps"]}) >= 3
    assert len(moments) == 10
