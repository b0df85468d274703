"""One process of git: with a time limit, a limit on what its folder may grow to, an environment of its own, and no questions."""

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # without git, only what needs it fails

from git import Git
from git.exc import GitCommandNotFound

from sluice.git.credentials import NO_CREDENTIAL, Credential
from sluice.git.errors import (
    BadAddress,
    Behind,
    GitError,
    NotThere,
    Refused,
    TooLarge,
    TooSlow,
    Unreachable,
)
from sluice.telemetry.redaction import REDACTED, redact_text

NAME: Final = "sluice"
EMAIL: Final = "sluice@noreply.sluice.dev"
LOOK_SECONDS: Final = 0.1
"""How often a process is looked at."""

_SETTINGS: Final[Mapping[str, str]] = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "credential.helper": "",
    "fetch.recurseSubmodules": "false",
    "gc.auto": "0",
    "http.followRedirects": "false",  # credentials stay where they belong
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "20",
    "maintenance.auto": "false",
    "push.gpgSign": "false",
    "safe.directory": "*",
}
_NO_CREDENTIAL: Final = (
    "authentication failed",
    "could not read username",
    "could not read password",
    "returned error: 401",
)
"""What git says, in lower case, where another credential may help."""
_CAUSES: Final[tuple[tuple[type[GitError], tuple[str, ...]], ...]] = (
    (BadAddress, ("transport '", "is not allowed", "unable to find remote helper")),
    (Behind, ("fetch first", "non-fast-forward", "cannot lock ref", "failed to update ref", "incorrect old value")),
    (
        Refused,
        (
            *_NO_CREDENTIAL,
            "access denied",
            "permission denied",
            "host key verification failed",
            "returned error: 403",
            "remote rejected",
            "the requested url returned error: 3",
            "unable to update url base from redirection",
        ),
    ),
    (
        NotThere,
        (
            "couldn't find remote ref",
            "not our ref",
            "unadvertised object",
            "bad object",
            "not a valid object",
            "repository not found",
            "' not found",
            "returned error: 404",
            "does not appear to be a git repository",
            "unknown revision",
            "bad revision",
        ),
    ),
)
"""What git says, in lower case, and what it means. Whatever else keeps it from a server counts as unreachable."""


@dataclass(frozen=True)
class Limits:
    """What work on a repository may cost."""

    seconds: float = 60.0
    """For each process of git."""
    clone_bytes: int = 128 << 20
    """For each clone."""
    cache_bytes: int = 512 << 20
    """For all clones."""
    keep_seconds: float = 86400.0
    """How long a clone that nobody asks for is kept."""
    depth: int = 200
    """Commits of a branch that are fetched."""


@dataclass(frozen=True)
class Runner:
    """Runs git in one bare repository."""

    folder: Path
    url: str
    protocol: str
    protocols: tuple[str, ...]
    limits: Limits
    credential: Credential = field(default=NO_CREDENTIAL, repr=False)
    stopped: threading.Event = field(default_factory=threading.Event, repr=False)
    """Once set, what is under way is given up."""

    def __call__(self, *args: str, stdin: str = "", allowed: tuple[int, ...] = (0,)) -> str:
        """What `git ARGS` prints. Raises GitError when it ends with another code than those `allowed`."""
        return self.code(*args, stdin=stdin, allowed=allowed)[1]

    def code(self, *args: str, stdin: str = "", allowed: tuple[int, ...] = (0,)) -> tuple[int, str]:
        """The same with the exit code."""
        if not self.credential.private_key:
            return self._run(args, stdin, allowed, "ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=yes")
        with self.credential.ssh_command() as ssh:
            return self._run(args, stdin, allowed, ssh)

    def _run(self, args: tuple[str, ...], stdin: str, allowed: tuple[int, ...], ssh: str) -> tuple[int, str]:
        with tempfile.TemporaryFile() as given:
            given.write(stdin.encode())
            given.seek(0)
            try:
                started = Git(str(self.folder)).execute(
                    ["git", "--literal-pathspecs", *args],
                    istream=given,
                    as_process=True,
                    env=self._environment(ssh),
                    start_new_session=True,
                )
            except GitCommandNotFound as error:
                raise GitError("the program git is not there") from error
            process = started.proc
            assert process is not None
            try:
                out, err = self._wait(process, args[0])
            finally:
                _end(process)
        if process.returncode not in allowed:
            raise self._error(args[0], out, err)
        return process.returncode, out.decode("utf-8", "replace")

    def _wait(self, process: "subprocess.Popen[bytes]", command: str) -> tuple[bytes, bytes]:
        end = time.monotonic() + self.limits.seconds
        while True:
            try:
                return process.communicate(timeout=LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                if self.stopped.is_set():
                    raise Unreachable(f"git {command} for {self.url} was given up: the operator stops") from None
                if time.monotonic() > end:
                    message = f"git {command} took longer than {self.limits.seconds:g} s for {self.url}"
                    raise TooSlow(message) from None
                if size_of(self.folder) > self.limits.clone_bytes:
                    raise self._too_large() from None

    def _too_large(self) -> TooLarge:
        return TooLarge(f"{self.url} is larger than the {self.limits.clone_bytes >> 20} MiB that may be fetched of it")

    def check_size(self) -> None:
        """Raises TooLarge."""
        if size_of(self.folder) > self.limits.clone_bytes:
            raise self._too_large()

    def _environment(self, ssh: str) -> dict[str, str]:
        settings = {**_SETTINGS, **self.credential.settings(self.protocol)}
        who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in _WHO.items()}
        return {
            **who,
            "GIT_ALLOW_PROTOCOL": ":".join(self.protocols),
            "GIT_ASKPASS": "/bin/false",
            "GIT_CONFIG_COUNT": str(len(settings)),
            **{f"GIT_CONFIG_KEY_{number}": name for number, name in enumerate(settings)},
            **{f"GIT_CONFIG_VALUE_{number}": value for number, value in enumerate(settings.values())},
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_DIR": str(self.folder),
            "GIT_SSH_COMMAND": ssh,
            "GIT_SSH_VARIANT": "ssh",
            "GIT_TERMINAL_PROMPT": "0",
            "LC_ALL": "C",
            "SSH_ASKPASS": "/bin/false",
        }

    def _error(self, command: str, out: bytes, err: bytes) -> GitError:
        text = self.shown(
            f"{out.decode('utf-8', 'replace') if command == 'push' else ''}\n{err.decode('utf-8', 'replace')}"
        )
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        told = [line for line in lines if line.startswith(("fatal:", "error:", "remote:", "!"))] or lines[-1:]
        message = f"git {command} for {self.url}: {' '.join('; '.join(told).split())[:400]}"
        low = text.lower()
        if any(sign in low for sign in _NO_CREDENTIAL):
            message = f"the credential is missing, or the server does not accept it: {message}"
        for kind, signs in _CAUSES:
            if (kind is not Behind or command == "push") and any(sign in low for sign in signs):
                return kind(message)
        return Unreachable(message) if command in ("fetch", "push") else GitError(message)

    def shown(self, text: str) -> str:
        """`text` without the credential."""
        for secret in self.credential.secrets:
            text = text.replace(secret, REDACTED)
        return redact_text("".join(char if char.isprintable() or char == "\n" else " " for char in text))


_WHO: Final = {"NAME": NAME, "EMAIL": EMAIL}


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the process and what it started, such as its transport."""
    if process.poll() is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def size_of(folder: Path) -> int:
    """Bytes of the files below a folder. What goes away meanwhile does not count."""
    total = 0
    for root, _, files in os.walk(folder):
        for name in files:
            with suppress(OSError):
                total += os.lstat(Path(root, name)).st_size
    return total
