"""Running other programs: with a time limit, without a shell, and with their last words in the error when they fail."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dev.cluster.errors import ClusterError

_LAST_WORDS = 15
_running: set[subprocess.Popen[bytes]] = set()


def run(
    argv: Sequence[str | Path],
    *,
    timeout: float = 60,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> str:
    """Run to the end and return standard output; `env` is added to our own environment. Raises ClusterError on any
    failure."""
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            check=False,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env={**os.environ, **env} if env else None,
            cwd=cwd,
        )
    except FileNotFoundError as error:
        raise ClusterError(f"{words[0]} is not installed (no such program on the PATH)") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"`{' '.join(words)}` did not end within {timeout:.0f} s") from error
    if done.returncode != 0:
        raise ClusterError(f"`{' '.join(words)}` failed with {done.returncode}:\n{_tail(done.stderr or done.stdout)}")
    return done.stdout


def succeeds(argv: Sequence[str | Path], *, timeout: float = 10) -> bool:
    """Whether a probe that may well fail ends with 0 within `timeout` seconds."""
    try:
        run(argv, timeout=timeout)
    except ClusterError:
        return False
    return True


def run_logged(
    argv: Sequence[str | Path],
    log: Path,
    *,
    timeout: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> None:
    """Run something long whose output goes to the file `log`. Raises ClusterError that names the file and quotes its
    end. `end_running` ends it from another thread."""
    words = [str(word) for word in argv]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        try:
            child = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **env} if env else None,
                cwd=cwd,
            )
        except FileNotFoundError as error:
            raise ClusterError(f"{words[0]} is not installed (no such program on the PATH)") from error
        with child:
            _running.add(child)
            try:
                child.wait(timeout)
            except subprocess.TimeoutExpired as error:
                child.terminate()
                raise ClusterError(f"`{' '.join(words)}` did not end within {timeout:.0f} s, see {log}") from error
            finally:
                _running.discard(child)
    if child.returncode != 0:
        words_at_end = _tail(log.read_text(errors="replace"))
        raise ClusterError(f"`{' '.join(words)}` failed with {child.returncode}, see {log}:\n{words_at_end}")


def end_running() -> None:
    """End whatever `run_logged` runs in other threads: nobody waits for it any more."""
    for child in tuple(_running):
        child.terminate()


def wait_until(
    what: str, ready: Callable[[], bool], *, timeout: float, alive: Callable[[], None] = lambda: None
) -> None:
    """Poll until `ready()`; `alive()` raises as soon as waiting has become pointless. Raises ClusterError after
    `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not ready():
        alive()
        if time.monotonic() > deadline:
            raise ClusterError(f"{what}: not within {timeout:.0f} s")
        time.sleep(0.1)


def _tail(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.strip().splitlines()[-_LAST_WORDS:])
