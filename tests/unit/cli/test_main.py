"""The program as a whole: its name, its exit codes, and that nobody sees a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sluice.cli.main import program_name

ROOT = Path(__file__).resolve().parents[3]
KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: nowhere
contexts: [{name: nowhere, context: {cluster: c, user: u, namespace: data}}]
clusters: [{name: c, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: u, user: {}}]
"""


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    """A cluster that refuses connections: nobody listens on the discard port."""
    file = tmp_path / "kubeconfig"
    file.write_text(KUBECONFIG)
    return file


def sluice(*arguments: str, kubeconfig: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig or "/nowhere/config"), "PYTHONPATH": "operator"}
    environment.pop("KUBERNETES_SERVICE_HOST", None)
    command = [sys.executable, "-m", "sluice.cli.main", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/usr/local/bin/sluice", "sluice"),
        ("/usr/local/bin/kubectl-sluice", "kubectl sluice"),
        ("/x/sluice/cli/main.py", "sluice"),
    ],
)
def test_help_speaks_of_the_program_as_the_user_called_it(path: str, name: str) -> None:
    assert program_name(path) == name


def test_help_lists_the_verbs() -> None:
    result = sluice("--help")
    assert result.returncode == 0
    assert all(
        verb in result.stdout for verb in ("validate", "run", "watch", "logs", "cancel", "version", "gate", "canary")
    )


@pytest.mark.parametrize("verb", ["run", "watch", "logs", "cancel", "canary status", "canary watch", "canary promote"])
def test_a_cluster_that_does_not_answer_is_one_line(verb: str, kubeconfig: Path) -> None:
    result = sluice(*verb.split(), "flights", kubeconfig=kubeconfig)
    assert result.stderr == (
        'error: cannot reach the API server at http://127.0.0.1:9 (context "nowhere"): Connection refused; '
        "is the cluster up, and is this the right --context?\n"
    )
    assert (result.returncode, result.stdout) == (4, "")


def test_debugging_shows_what_happened(kubeconfig: Path) -> None:
    result = sluice("watch", "flights", "-v", kubeconfig=kubeconfig)
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: cannot reach")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["watch", "x"], "error: no kubeconfig at /nowhere/config"),
        (["watch", "x", "--timeout", "5"], 'error: --timeout must be a duration such as 30s, 15m or 1h30m, not "5"'),
        (["run", "x", "--timeout", "5s"], "error: --timeout is for --watch"),
        (["run", "x", "--day", "2013-01-01", "--interval", "a/b"], "error: give --interval or --day, not both"),
        (["run", "x", "--params-file", "/nowhere/p"], "error: --params-file /nowhere/p: No such file or directory"),
        (["logs", "x", "--attempt", "2"], "error: --attempt needs a STEP"),
        (["validate", "/nowhere/p"], "error: /nowhere/p: No such file or directory"),
        (["canary", "status", "x", "-o", "yaml"], 'error: --output "yaml" is not known; allowed: text, json'),
        (["canary", "pause", "x", "--timeout", "5"], "error: --timeout must be a duration such as 30s, 15m or 1h30m"),
        (["canary", "pause"], "Usage: sluice canary pause"),
        (["valdate"], "Usage: sluice"),
        (["run"], "Usage: sluice run"),
    ],
)
def test_a_wrong_command_line_ends_with_2(arguments: list[str], message: str) -> None:
    result = sluice(*arguments)
    assert (result.returncode, result.stderr.startswith(message)) == (2, True), result.stderr


def test_version() -> None:
    assert sluice("version").stdout.startswith("sluice 0.")
