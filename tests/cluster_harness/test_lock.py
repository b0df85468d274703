import multiprocessing
import shutil
from multiprocessing.queues import Queue
from pathlib import Path

from dev.cluster.lock import exclusive

_SPAWN = multiprocessing.get_context("spawn")


def _take(folder: Path, told: "Queue[str]") -> None:
    with exclusive(folder):
        told.put("taken")


def test_the_second_waits_for_the_first_even_if_that_removes_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "cluster"
    told: Queue[str] = _SPAWN.Queue()
    second = _SPAWN.Process(target=_take, args=(folder, told))
    with exclusive(folder):
        second.start()
        second.join(timeout=1)
        assert told.empty()
        shutil.rmtree(folder)
    assert told.get(timeout=60) == "taken"
    second.join()
    assert (folder / "lock").exists()
