"""The process: it waits for an API server that is away, and ends when it is told to."""

import os
import signal
import socket
import subprocess
import sys
import time
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


COMMAND = [sys.executable, "-m", "sluice.controllers"]


def _environment(folder: Path, port: int) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "operator"),
        "KUBECONFIG": str(_kubeconfig(folder)),
        "SLUICE_METRICS_PORT": str(port),
    }


def _hears(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    caught = next(int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:"))
    return bool(caught & 1 << (number - 1))


@pytest.fixture
def port() -> int:
    return _free_port()


@pytest.fixture
def waiting(tmp_path: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """An operator that has found no API server."""
    with subprocess.Popen(COMMAND, env=_environment(tmp_path, port), stderr=subprocess.PIPE, text=True) as process:
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


def test_a_signal_ends_it_while_it_loads(tmp_path: Path, port: int) -> None:
    """As the first process of a container, which Linux spares a SIGTERM that it has no handler for."""

    def as_in_a_container() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    with subprocess.Popen(
        COMMAND,
        env=_environment(tmp_path, port),
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=as_in_a_container,  # noqa: PLW1509 - nothing else runs in the child
    ) as process:
        deadline = time.monotonic() + SECONDS
        while not _hears(process.pid, signal.SIGTERM):
            assert time.monotonic() < deadline
            time.sleep(0.001)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=SECONDS)
    assert (process.returncode, said) == (0, ""), "it had not begun to say anything"
