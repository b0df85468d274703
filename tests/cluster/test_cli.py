"""The command line against the real cluster: what a person types from the start of a run to its logs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.kit import ROOT, Manifest, Namespace, pipeline, shell

FLIGHTS = pipeline(
    "flights",
    shell("extract", "echo day $(interval.start) rows $(params.rows); echo; echo done"),
    shell(
        "clean",
        "echo attempt $SLUICE_ATTEMPT; case $(params.mode) in flaky) test $SLUICE_ATTEMPT = 2;; bad) exit 3;; "
        "slow) trap 'exit 0' TERM; sleep 300 & wait;; esac",
        dependsOn=["extract"],
        retry={"limit": 1, "backoff": {"duration": "1s"}},
    ),
    params=[{"name": "rows", "type": "integer"}, {"name": "mode", "default": "ok"}],
    schedule={"cron": ["0 6 * * *"], "timeZone": "Asia/Kolkata", "suspend": True},
    **{"finally": [shell("tidy", "echo tidied after $(run.outcome)")]},
)


@pytest.fixture
def flights(namespace: Namespace) -> Namespace:
    """A namespace with the pipeline."""
    namespace.apply(FLIGHTS)
    return namespace


def phases(output: str) -> list[str]:
    """`name phase` of each line of `watch`, without times."""
    return [" ".join(line.split()[1:3]) for line in output.splitlines() if line[:2].isdigit()]


def run_under_way(flights: Namespace, name: str = "slow") -> str:
    """A run whose step `clean` is running, and will be for minutes."""
    flights.cli("run", "flights", "-p", "rows=5", "-p", "mode=slow", "--name", name, check=True)
    flights.wait_for("clean running", lambda: flights.step(name, "clean").get("phase") == "Running")
    return name


def test_a_run_is_started_watched_and_read(flights: Namespace) -> None:
    started = flights.cli("run", "flights", "-p", "rows=5", "--day", "2013-01-15", "--watch", "--timeout", "2m")
    assert started.returncode == 0, started.stderr
    first, *rest = started.stdout.splitlines()
    name = first.removeprefix("pipelinerun.sluice.dev/").removesuffix(" created")
    assert name.startswith("flights-")
    seen = phases("\n".join(rest))
    assert [line for line in seen if line.endswith("Succeeded")] == [
        "extract Succeeded",
        "clean Succeeded",
        "tidy Succeeded",
        f"{name} Succeeded",
    ]

    run = flights.get("pipelinerun", name)
    assert run["spec"] == {
        "pipeline": {"name": "flights"},
        "params": {"rows": 5},
        "interval": {"start": "2013-01-14T18:30:00Z", "end": "2013-01-15T18:30:00Z"},
    }
    owner = run["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("DataPipeline", "flights", True)

    logs = flights.cli("logs", name, check=True).stdout
    assert logs == (
        "extract | day 2013-01-14T18:30:00Z rows 5\n"
        "extract | \n"
        "extract | done\n"
        "clean | attempt 1\n"
        "tidy | tidied after Succeeded\n"
    )
    assert flights.cli("logs", name, "extract", "--tail", "1", check=True).stdout == "done\n"


def test_the_logs_of_every_attempt_can_be_read(flights: Namespace) -> None:
    done = flights.cli("run", "flights", "-p", "rows=5", "-p", "mode=flaky", "--name", "flaky", "-w", check=True)
    assert "clean Retrying" in phases(done.stdout)
    assert flights.cli("logs", "flaky", "clean").stdout == "attempt 2\n"
    assert flights.cli("logs", "flaky", "clean", "--attempt", "1").stdout == "attempt 1\n"
    assert flights.cli("logs", "flaky", "clean", "--attempt", "3").stderr == "error: clean has no attempt 3; it has 2\n"


def test_a_run_that_fails_ends_with_1_and_points_to_the_log(flights: Namespace) -> None:
    done = flights.cli("run", "flights", "-p", "rows=5", "-p", "mode=bad", "--name", "bad", "-w")
    assert done.returncode == 1
    assert "StepsFailed: clean: ExitCode: exit code 3" in done.stdout.splitlines()[-1]
    assert done.stderr == f"for its log: sluice logs -n {flights.name} bad clean\n"


def test_a_run_that_is_cancelled_ends_with_3(flights: Namespace) -> None:
    name = run_under_way(flights)
    cancelled = flights.cli("cancel", name, check=True)
    assert cancelled.stdout == f"pipelinerun.sluice.dev/{name} is being cancelled\n"
    watched = flights.cli("watch", name)
    assert watched.returncode == 3, watched.stderr
    assert phases(watched.stdout)[-2:] == ["tidy Succeeded", f"{name} Cancelled"]
    assert flights.cli("cancel", name, check=True).stdout.endswith("has already ended: Cancelled\n")


def test_the_timeout_of_a_watch_leaves_the_run_alone(flights: Namespace) -> None:
    name = run_under_way(flights)
    watched = flights.cli("watch", name, "--timeout", "500ms")
    assert (watched.returncode, watched.stderr) == (
        4,
        f"error: run {name} is Running when the timeout passes; it goes on\n",
    )
    assert flights.get("pipelinerun", name)["status"]["phase"] == "Running"


def test_a_run_that_is_deleted_while_it_is_watched_ends_with_4(flights: Namespace) -> None:
    name = run_under_way(flights)
    command = [sys.executable, "-u", "-m", "sluice.cli.main", "--kubeconfig", str(flights.kubeconfig)]
    watch = subprocess.Popen(
        [*command, "-n", flights.name, "watch", name],
        cwd=ROOT / "operator",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watch.stdout is not None
    watch.stdout.readline()  # it has seen the run
    flights.kubectl("delete", "pipelinerun", name, "--wait=false")
    _, said = watch.communicate(timeout=60)
    assert (watch.returncode, said) == (4, f"error: run {name} was deleted while it was Running\n")


def test_following_the_logs_of_a_run_shows_every_step(flights: Namespace) -> None:
    flights.cli("run", "flights", "-p", "rows=5", "-p", "mode=flaky", "--name", "followed", check=True)
    lines = flights.cli("logs", "--follow", "followed", check=True).stdout.splitlines()
    of_step = {step: [line for line in lines if line.startswith(f"{step} |")] for step in ("extract", "clean", "tidy")}
    assert len(of_step["extract"]) == 3
    # Which attempt was the newest when it began to look is up to the machine.
    assert of_step["clean"][-1] == "clean | attempt 2"
    assert of_step["tidy"] == ["tidy | tidied after Succeeded"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["run", "flights"],
            "the run would be refused: spec.params.rows: Required value: an integer without a default",
        ),
        (["run", "flights", "-p", "rows=a"], "--param rows=a: must be an integer"),
        (["run", "flights", "-p", "rows=1", "--name", "A_b"], 'PipelineRun.sluice.dev "A_b" is invalid: metadata.name'),
        (["run", "nothing"], 'datapipelines.sluice.dev "nothing" not found in namespace'),
        (["watch", "nothing"], 'pipelineruns.sluice.dev "nothing" not found in namespace'),
        (["logs", "nothing", "-f"], 'pipelineruns.sluice.dev "nothing" not found in namespace'),
        (["cancel", "nothing"], 'pipelineruns.sluice.dev "nothing" not found in namespace'),
    ],
)
def test_what_cannot_be_done_is_one_line(flights: Namespace, arguments: list[str], message: str) -> None:
    result = flights.cli(*arguments)
    assert result.returncode in (1, 2)
    assert result.stderr.startswith(f"error: {message}"), result.stderr
    assert result.stderr.count("\n") == 1
    assert flights.all_of("pipelineruns") == []


def test_what_one_may_not_do_is_one_line(flights: Namespace, tmp_path: Path) -> None:
    flights.kubectl("create", "serviceaccount", "nobody")
    token = flights.kubectl("create", "token", "nobody").stdout
    config: Manifest = json.loads(flights.kubectl("config", "view", "--raw", "--minify", "-o", "json").stdout)
    config["users"][0]["user"] = {"token": token}
    file = tmp_path / "nobody"
    file.write_text(json.dumps(config))
    result = flights.cli("--kubeconfig", str(file), "watch", "x")
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.endswith("; ask for a role that allows it\n")
