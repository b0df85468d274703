import threading
from pathlib import Path

import pytest

from dev.cluster import commands
from dev.cluster.errors import ClusterError


def test_a_failure_is_told_with_the_last_words() -> None:
    with pytest.raises(ClusterError, match=r"failed with 3:\n    no such thing"):
        commands.run(["sh", "-c", "echo no such thing >&2; exit 3"])


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(ClusterError, match="no-such-program is not installed"):
        commands.run(["no-such-program"])


def test_what_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="did not end within 0 s"):
        commands.run_logged(["sleep", "60"], tmp_path / "log", timeout=0.1)


def test_a_long_command_can_be_ended_from_another_thread(tmp_path: Path) -> None:
    log = tmp_path / "log"
    failures: list[ClusterError] = []

    def work() -> None:
        try:
            commands.run_logged(["sh", "-c", "echo begun; exec sleep 60"], log, timeout=60)
        except ClusterError as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    commands.wait_until("the beginning", lambda: log.exists() and "begun" in log.read_text(), timeout=30)
    commands.end_running()
    thread.join(timeout=30)
    assert len(failures) == 1
