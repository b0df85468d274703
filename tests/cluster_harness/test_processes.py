import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.cluster.errors import ClusterError
from dev.cluster.processes import Processes

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)",
]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    found = Processes(tmp_path / "records", tmp_path / "logs")
    yield found
    found.stop(*found.names(), patience=0)


def pid_of(tmp_path: Path, name: str) -> int:
    pid: int = json.loads((tmp_path / "records" / f"{name}.json").read_text())["pid"]
    return pid


def test_a_process_that_runs_as_wanted_is_kept(processes: Processes) -> None:
    assert processes.start("p", SLEEP)
    assert not processes.start("p", SLEEP)


def test_a_process_with_other_words_is_replaced(processes: Processes, tmp_path: Path) -> None:
    processes.start("p", SLEEP)
    first = pid_of(tmp_path, "p")
    assert processes.start("p", [*SLEEP, "more"])
    assert pid_of(tmp_path, "p") != first


def test_a_process_is_replaced_when_a_file_that_it_reads_has_changed(processes: Processes, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("one")
    processes.start("p", SLEEP, reads=[config])
    config.write_text("two")
    assert processes.start("p", SLEEP, reads=[config])


def test_another_process_under_a_stale_id_is_left_alone(processes: Processes, tmp_path: Path) -> None:
    processes.start("p", SLEEP)
    record = tmp_path / "records" / "p.json"
    ours = json.loads(record.read_text())
    innocent = subprocess.Popen(SLEEP)
    try:
        record.write_text(json.dumps(ours | {"pid": innocent.pid, "started": "1"}))
        assert not processes.alive("p")
        processes.stop("p")
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()
        os.kill(ours["pid"], 9)


def test_who_does_not_listen_is_ended_by_force(processes: Processes) -> None:
    processes.start("p", STUBBORN)
    while "deaf" not in processes.log("p").read_text():
        assert processes.alive("p")
    processes.stop("p", patience=0.2)
    assert not processes.alive("p")
    assert processes.names() == []


def test_the_end_of_a_process_is_told_with_its_last_words(processes: Processes) -> None:
    processes.start("p", [sys.executable, "-c", "raise SystemExit('no disk')"])
    while processes.alive("p"):
        pass
    with pytest.raises(ClusterError, match=r"p has ended.*\n    no disk"):
        processes.require("p")
