"""The process: it waits for an API server that is away, and ends when it is told to."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
import yaml

ROOT = Path(__file__).parents[3]
SECONDS = 30
"""How long a process may take to end before the test says that it does not: Kubernetes gives it as long."""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _kubeconfig(folder: Path) -> Path:
    """Of a cluster whose API server refuses connections."""
    names = {"cluster": "away", "user": "nobody"}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "away",
        "contexts": [{"name": "away", "context": names}],
        "clusters": [{"name": "away", "cluster": {"server": f"http://127.0.0.1:{_free_port()}"}}],
        "users": [{"name": "nobody", "user": {}}],
    }
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump(content))
    return file


@pytest.fixture
def port() -> int:
    return _free_port()


@pytest.fixture
def waiting(tmp_path: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """An operator that has found no API server."""
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "operator"),
        "KUBECONFIG": str(_kubeconfig(tmp_path)),
        "SLUICE_METRICS_PORT": str(port),
    }
    command = [sys.executable, "-m", "sluice.controllers"]
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "cannot list yet" in line:
                break
        yield process
        process.kill()


def test_without_an_api_server_it_lives_but_is_not_ready(waiting: subprocess.Popen[str], port: int) -> None:
    with urlopen(f"http://127.0.0.1:{port}/healthz") as answer:
        assert answer.status == 200
    with pytest.raises(HTTPError) as caught:
        urlopen(f"http://127.0.0.1:{port}/readyz")
    assert caught.value.code == 503
    assert b"have not been listed yet" in caught.value.read()
    assert waiting.poll() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_while_it_waits(waiting: subprocess.Popen[str], number: signal.Signals) -> None:
    waiting.send_signal(number)
    assert waiting.wait(SECONDS) == 0
