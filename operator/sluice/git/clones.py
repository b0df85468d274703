"""Remote repositories as small bare clones in a folder that is a cache: what is in it may be lost at any time.

A clone has no working tree and, where the server can, no content of files but what a revert needs. Clones are used by one
thread at a time. Those that nobody asked for in a while are removed, and the oldest when all are too large together.
"""

import hashlib
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from sluice.git.addresses import PROTOCOLS, check_branch, check_path, check_repository, check_revision
from sluice.git.credentials import NO_CREDENTIAL, Credential
from sluice.git.errors import Conflicting, GitError, NotThere, TooLarge
from sluice.git.process import EMAIL, NAME, Limits, Runner, size_of
from sluice.planning.write_back import Entry

_MARK: Final = "sluice-used"
"""A file whose time is that of the clone's newest use."""
_CLONE: Final = (
    ("core.repositoryformatversion", "1"),
    ("extensions.partialClone", "origin"),
    ("remote.origin.promisor", "true"),
    ("remote.origin.partialclonefilter", "blob:none"),
)
"""Settings of a clone that lacks objects, and fetches those that it needs."""
_TIP: Final = "refs/sluice/tip"
_ELSE: Final = "refs/sluice/else"
_FILES: Final = ("100644", "100755")
"""Modes of files."""


@dataclass(frozen=True)
class Commit:
    """A commit, for people."""

    id: str
    author: str
    message: str
    """The first line."""
    time: datetime
    """When it was committed."""


class Clones:
    """See the module."""

    def __init__(self, folder: Path, *, protocols: Sequence[str] = PROTOCOLS, limits: Limits | None = None) -> None:
        self._folder = folder
        self._protocols = tuple(protocols)
        self._limits = limits or Limits()
        self._locks: dict[Path, threading.Lock] = {}
        self._guard = threading.Lock()
        self._stopped = threading.Event()

    def close(self) -> None:
        """Give up what is under way, and all that is asked for from now on."""
        self._stopped.set()

    def pause(self, seconds: float) -> None:
        """Wait, until it is closed at the latest."""
        self._stopped.wait(seconds)

    def commit(self, repository: str, revision: str, credential: Credential = NO_CREDENTIAL) -> Commit:
        """The commit with this id. Fetches this one commit, without any file. Raises GitError."""
        check_revision(revision)
        with self._open(repository, credential, "commits") as git:
            git("fetch", "--quiet", "--no-tags", "--depth=1", "--filter=tree:0", "origin", revision)
            git.check_size()
            fields = git("log", "--no-walk", "--format=%H%x00%an%x00%cI%x00%s", revision, "--").rstrip("\n").split("\0")
        return Commit(fields[0], _shown(fields[1]), _shown(fields[3]), datetime.fromisoformat(fields[2]))

    @contextmanager
    def branch(self, repository: str, branch: str, credential: Credential = NO_CREDENTIAL) -> "Iterator[Branch]":
        """A branch as it is now, to be read and added to. Raises GitError."""
        check_branch(branch)
        with self._open(repository, credential, branch) as git:
            fetched = Branch(git, branch, self._limits.depth)
            fetched.fetch()
            yield fetched

    # -- the cache --------------------------------------------------------------------------------------

    @contextmanager
    def _open(self, repository: str, credential: Credential, purpose: str) -> Iterator[Runner]:
        protocol = check_repository(repository, self._protocols)
        key = "\0".join((repository, credential.fingerprint, purpose))
        folder = self._folder / hashlib.sha256(key.encode()).hexdigest()[:24]
        with self._guard:
            lock = self._locks.setdefault(folder, threading.Lock())
        with lock:
            self._make_room(folder)
            runner = Runner(folder, repository, protocol, self._protocols, self._limits, credential, self._stopped)
            if not (folder / _MARK).exists():
                self._make(runner)
            (folder / _MARK).touch()
            _unlock(folder)
            try:
                yield runner
            except GitError as error:
                if type(error) in (GitError, TooLarge):  # what cannot be explained may be a clone that is broken
                    shutil.rmtree(folder, ignore_errors=True)
                raise

    def _make(self, runner: Runner) -> None:
        shutil.rmtree(runner.folder, ignore_errors=True)
        runner.folder.mkdir(parents=True, mode=0o700)
        runner("init", "--quiet", "--bare", "--template=")
        for name, value in (*_CLONE, ("remote.origin.url", runner.url)):
            runner("config", name, value)

    def _make_room(self, kept: Path) -> None:
        """Remove clones that are old, and the oldest while all are too large. One that is in use stays."""
        rows = []
        for folder in self._folder.glob("*/"):
            with suppress(FileNotFoundError):
                rows.append(((folder / _MARK).stat().st_mtime, folder, size_of(folder)))
        total = sum(size for _, _, size in rows)
        for used, folder, size in sorted(rows):
            too_old = time.time() - used > self._limits.keep_seconds
            if folder == kept or not (too_old or total > self._limits.cache_bytes):
                continue
            with self._guard:
                lock = self._locks.setdefault(folder, threading.Lock())
            if lock.acquire(blocking=False):
                try:
                    shutil.rmtree(folder, ignore_errors=True)
                finally:
                    lock.release()
                total -= size


class Branch:
    """One branch of a remote repository, as it was when it was last fetched."""

    def __init__(self, git: Runner, name: str, depth: int) -> None:
        self._git = git
        self._depth = depth
        self.name = name

    def fetch(self) -> None:
        """Look again. Raises GitError."""
        self._fetch(self.name, _TIP)

    def _fetch(self, branch: str, to: str) -> None:
        options = ("--quiet", "--no-tags", f"--depth={self._depth}", "--filter=blob:none", "--update-shallow")
        self._git("fetch", *options, "origin", f"+refs/heads/{branch}:{to}")
        self._git.check_size()

    @property
    def tip(self) -> str:
        """The id of its newest commit."""
        return self._git("rev-parse", "--verify", f"{_TIP}^{{commit}}").strip()

    def entries(self, paths: Sequence[str] = ()) -> tuple[Entry, ...]:
        """Its newest commits, the newest first; without paths, every one touches what matters. Raises GitError."""
        return self._entries(_TIP, paths)

    def _entries(self, ref: str, paths: Sequence[str]) -> tuple[Entry, ...]:
        for path in paths:
            check_path(path)
        line = ("--first-parent", f"--max-count={self._depth}")
        found = self._git("log", *line, "-z", "--format=%H%x1f%P%x1f%B", ref, "--")
        touched: set[str] | None = None
        if wanted := [path.strip("/") or "." for path in paths]:
            touched = set(self._git("rev-list", *line, ref, "--", *wanted).split())
        entries = []
        for row in found.split("\0"):
            if row.strip():
                name, parents, message = row.split("\x1f", 2)
                name = name.strip()
                touches = touched is None or name in touched
                entries.append(Entry(name, tuple(parents.split()), message, touches))
        return tuple(entries)

    def changed_by(self, commit: str) -> tuple[str, ...]:
        """The paths that a commit changes, against its first parent. Raises GitError."""
        check_revision(commit)
        names = self._git("diff-tree", "-r", "-z", "--name-only", "--no-commit-id", f"{commit}^1", commit, "--")
        return tuple(name for name in names.split("\0") if name)

    def elsewhere(self, branch: str) -> tuple[Entry, ...] | None:
        """The newest commits of another branch of the repository; None when there is no such branch. Raises GitError."""
        check_branch(branch)
        try:
            self._fetch(branch, _ELSE)
        except NotThere:
            return None
        return self._entries(_ELSE, ())

    def revert(self, commit: str, message: str) -> str | None:
        """A commit on top of the branch that takes `commit` back, as `git revert` (of a merge: with `-m 1`) would make it; its
        id. None when nothing is left to take back. Raises Conflicting, GitError.
        """
        # What a revert merges: the state before the commit, as a change that follows it, into the branch as it is.
        before = self._git("rev-parse", "--verify", f"{commit}^1^{{tree}}").strip()
        undone = self._git("commit-tree", before, "-p", commit, stdin="undone").strip()
        code, out = self._git.code(
            "merge-tree", "--write-tree", "--no-messages", "--name-only", "-z", self.tip, undone, allowed=(0, 1)
        )
        tree, *files = [part for part in out.split("\0") if part]
        if code:
            raise Conflicting(
                f"{commit[:8]} cannot be reverted without a person: {', '.join(dict.fromkeys(files[:5]))}"
            )
        if tree == self._git("rev-parse", "--verify", f"{_TIP}^{{tree}}").strip():
            return None
        return self._commit(tree, message)

    def read(self, path: str) -> str | None:
        """The text of a file; None where there is none. Raises GitError, also for what is no text of UTF-8."""
        mode, blob = self._file(path)
        if not blob:
            return None
        if mode not in _FILES:
            raise GitError(f"{path} is no file")
        text = self._git("cat-file", "blob", blob)
        self._git.check_size()
        if "\ufffd" in text:
            raise GitError(f"{path} is not UTF-8")
        return text

    def write(self, path: str, text: str, message: str) -> str:
        """A commit on top of the branch in which a file has this text, and nothing else is changed; its id. Raises GitError."""
        mode, _ = self._file(path)
        blob = self._git("hash-object", "-w", "--stdin", stdin=text).strip()
        self._git("read-tree", self.tip)
        self._git("update-index", "--add", "--cacheinfo", f"{mode or _FILES[0]},{blob},{path}")
        return self._commit(self._git("write-tree", "--missing-ok").strip(), message)

    def _file(self, path: str) -> tuple[str, str]:
        """(Mode, id of its content) of a path; both empty where there is none."""
        check_path(path)
        row, _, _ = self._git("ls-tree", "-z", _TIP, "--", path).partition("\t")
        mode, _, blob = row.split() if row else ("", "", "")
        return mode, blob

    def _commit(self, tree: str, message: str) -> str:
        body = f"{message.rstrip()}\nSigned-off-by: {NAME} <{EMAIL}>\n"
        return self._git("commit-tree", tree, "-p", self.tip, stdin=body).strip()

    def push(self, commit: str, branch: str) -> None:
        """Have `branch` of the repository at `commit`. Never by force: raises Behind when somebody else was faster."""
        check_branch(branch)
        self._git("push", "--porcelain", "--no-verify", "--no-follow-tags", "origin", f"{commit}:refs/heads/{branch}")


def _unlock(folder: Path) -> None:
    """Remove what a process that was ended has left: nobody else works in the folder."""
    for name in (*folder.glob("*.lock"), *folder.glob("refs/**/*.lock"), *folder.glob("objects/pack/tmp_*")):
        name.unlink(missing_ok=True)


def _shown(text: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
