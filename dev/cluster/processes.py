"""Programs that go on running after the command that started them, found again and ended by a later one.

A process is known by its id together with the time it started and the boot it belongs to, so that a stale record
never leads to somebody else's process. Records and logs lie in the cluster's folder. The parent's shell may go: each
process has a session of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from dev.cluster.commands import wait_until
from dev.cluster.errors import ClusterError

_KILL_SECONDS = 10.0


@dataclass(frozen=True)
class _Record:
    pid: int
    started: str
    boot: str
    argv: list[str]
    env: dict[str, str]
    files: str = ""
    """Digest of the files that the process reads at its start."""


class Processes:
    """The long-running programs of one cluster, by name."""

    def __init__(self, records: Path, logs: Path) -> None:
        self._records = records
        self._logs = logs

    def start(
        self, name: str, argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None, reads: Iterable[Path] = ()
    ) -> bool:
        """See to it that `name` runs with these words, these additions to the environment and these configuration
        files.

        It is kept, replaced, or started. Returns whether it was started now.
        """
        words = [str(word) for word in argv]
        added = dict(env or {})
        files = hashlib.sha256(b"".join(file.read_bytes() for file in reads)).hexdigest()
        record = self._read(name)
        if record is not None and _alive(record):
            if (record.argv, record.env, record.files) == (words, added, files):
                return False
            self.stop(name)
        self._records.mkdir(parents=True, exist_ok=True)
        self._logs.mkdir(parents=True, exist_ok=True)
        with self.log(name).open("ab") as output:
            child = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                env={**os.environ, **added},
                start_new_session=True,
            )
        record = _Record(child.pid, _start_time(child.pid) or "", _boot(), words, added, files)
        temporary = self._file(name).with_suffix(".new")
        temporary.write_text(json.dumps(asdict(record)))
        temporary.replace(self._file(name))
        return True

    def names(self) -> list[str]:
        """Everything that has a record, alive or not."""
        return sorted(file.stem for file in self._records.glob("*.json"))

    def alive(self, name: str) -> bool:
        """Whether the process that was started under this name still runs."""
        record = self._read(name)
        return record is not None and _alive(record)

    def pids(self) -> dict[int, str]:
        """The live processes by id."""
        records = {name: self._read(name) for name in self.names()}
        return {record.pid: name for name, record in records.items() if record is not None and _alive(record)}

    def require(self, name: str) -> None:
        """Raise ClusterError, with the end of its log, if the process has ended."""
        if not self.alive(name):
            lines = self.log(name).read_text(errors="replace").splitlines()[-8:] if self.log(name).exists() else []
            raise ClusterError(
                f"{name} has ended, see {self.log(name)}:\n" + "\n".join(f"    {line[:300]}" for line in lines)
            )

    def log(self, name: str) -> Path:
        """The file that its output goes to."""
        return self._logs / f"{name}.log"

    def stop(self, *names: str, patience: float = 20) -> None:
        """End these processes, together: ask, and force after `patience` seconds. Those that have gone already are
        only forgotten."""
        records = {name: record for name in names if (record := self._read(name)) is not None}
        for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, _KILL_SECONDS)):
            for record in records.values():
                if _alive(record):
                    send(record.pid, number)
            try:
                wait_until(
                    f"the end of {', '.join(records)}", lambda: not any(map(_alive, records.values())), timeout=seconds
                )
                break
            except ClusterError:
                if number == signal.SIGKILL:
                    raise
        for name in names:
            self._file(name).unlink(missing_ok=True)

    def _file(self, name: str) -> Path:
        return self._records / f"{name}.json"

    def _read(self, name: str) -> _Record | None:
        try:
            return _Record(**json.loads(self._file(name).read_text()))
        except FileNotFoundError:
            return None


def send(pid: int, number: signal.Signals) -> None:
    """Signal a process that may have ended meanwhile."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def command_line(pid: int) -> list[str]:
    """The words that a process was started with; empty for one that has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return []


def all_pids() -> list[int]:
    """Every process that can be seen."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _alive(record: _Record) -> bool:
    return record.boot == _boot() and record.started == _start_time(record.pid)


def _start_time(pid: int) -> str | None:
    """Clock ticks from boot to the start of the process; None if there is none, or only its exit code is left."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the program's name in parentheses and may hold anything, spaces and parentheses too.
    state, *rest = text.rpartition(")")[2].split()
    return None if state in "ZX" else rest[18]


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
