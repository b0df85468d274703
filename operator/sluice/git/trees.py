"""Reads the trees of a local repository: two sides of a range, as lists of files and as files in a folder.

A commit is not checked out. Its blobs are written by our own hand, so no hook, no filter and no attribute of the repository is
obeyed, and nothing outside of the folder is touched. Git's own programs that are called (rev-parse, merge-base, ls-tree,
cat-file, ls-files) run no hooks either; the one thing that ls-files would run, core.fsmonitor, is turned off.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import git

MAX_FILE_BYTES = 1024 * 1024
"""Larger files are named and not read: no manifest is so large."""
MAX_FILES = 20_000
MAX_TOTAL_BYTES = 64 * 1024 * 1024
TIME_LIMIT = 30.0
"""Seconds that each call of git may take."""

_OPTIONS = ("--no-pager", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "--literal-pathspecs")
_ENVIRONMENT = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1"}
_HISTORY = "in CI, fetch the whole history first (fetch-depth: 0, GIT_DEPTH: 0)"


class TreeError(Exception):
    """A repository, a revision or a tree that cannot be read. `str` says which, and what to do."""


class EntryKind(StrEnum):
    """What a path of a tree is."""

    FILE = "file"
    LINK = "symbolic link"
    SUBMODULE = "submodule"


@dataclass(frozen=True)
class Entry:
    """A path of a tree."""

    path: str
    """From the top of the repository, with /."""
    kind: EntryKind
    size: int
    """In bytes."""
    blob: str = ""
    """Name of its content; empty in a working tree."""


@dataclass(frozen=True)
class Side:
    """One side of a range."""

    name: str
    """As the user wrote it."""
    commit: str | None
    """None: the working tree."""

    @property
    def short(self) -> str:
        """For people: main (1a2b3c4d5e), or the working tree."""
        if self.commit is None:
            return self.name
        short = self.commit[:10]
        return short if self.commit.startswith(self.name) else f"{self.name} ({short})"


@dataclass(frozen=True)
class Range:
    """Two sides to be compared."""

    base: Side
    head: Side


@dataclass(frozen=True)
class Skipped:
    """A path that was not read, and why."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class Repository:
    """A repository on this machine."""

    def __init__(self, repo: git.Repo) -> None:
        self._repo = repo
        self._top = Path(repo.working_tree_dir).resolve() if repo.working_tree_dir is not None else None

    @classmethod
    def around(cls, path: Path) -> Repository:
        """The repository that `path` lies in. TreeError when there is none. The path itself need not exist."""
        place = path.absolute()
        while not place.is_dir() and place != place.parent:
            place = place.parent
        try:
            return cls(git.Repo(place, search_parent_directories=True))
        except (git.InvalidGitRepositoryError, git.NoSuchPathError) as error:
            raise TreeError(f"{path}: not in a Git repository") from error
        except (OSError, ValueError) as error:
            raise TreeError(f"{path}: the Git repository cannot be read: {error}") from error

    def within(self, path: Path) -> str:
        """`path` from the top of the repository, with /; empty for the top itself. TreeError when it lies outside."""
        top = self._top
        if top is None:
            inside = PurePosixPath(os.path.normpath(path))
            if inside.is_absolute() or ".." in inside.parts:
                raise TreeError(f"{path}: must be a folder of the repository, which is bare, counted from its top")
        else:
            try:
                inside = PurePosixPath(path.resolve().relative_to(top))
            except ValueError as error:
                raise TreeError(f"{path}: is outside of the repository {top}") from error
        return "" if str(inside) == "." else str(inside)

    def range(self, text: str) -> Range:
        """What BASE..HEAD, BASE...HEAD (from their merge base) or BASE (against the working tree) means.

        As with git, a side left out is HEAD. TreeError when a revision is unknown, or there is nothing to compare.
        """
        match = re.fullmatch(r"(.*?)(\.{2,3})(.*)", text.strip())
        if match is None:
            if not text.strip():
                raise TreeError('the range is empty; it must be BASE..HEAD, BASE...HEAD or BASE, such as "main...HEAD"')
            if self._top is None:
                raise TreeError(f"{text}: a bare repository has no working tree; give BASE..HEAD")
            return Range(self._side(text.strip()), Side("the working tree", None))
        first, dots, second = match.groups()
        if not first and not second:
            raise TreeError(f'"{text}" is an empty range; it must be BASE..HEAD, BASE...HEAD or BASE')
        base, head = self._side(first or "HEAD"), self._side(second or "HEAD")
        return Range(self._merge_base(base, head) if dots == "..." else base, head)

    def _side(self, name: str) -> Side:
        try:
            commit = self._git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        except git.GitCommandError as error:
            said = _words(error)
            if said:
                raise TreeError(f'revision "{name}" cannot be read: {said}') from error
            raise TreeError(f'unknown revision "{name}"; {_HISTORY}') from error
        return Side(name, commit.decode().strip())

    def _merge_base(self, base: Side, head: Side) -> Side:
        assert base.commit is not None
        assert head.commit is not None
        try:
            commit = self._git("merge-base", base.commit, head.commit).decode().strip()
        except git.GitCommandError as error:
            if said := _words(error):
                raise TreeError(f"the merge base of {base.name} and {head.name} cannot be found: {said}") from error
            raise TreeError(f"{base.name} and {head.name} have no commit in common; {_HISTORY}") from error
        return Side(base.name, commit)

    def entries(self, side: Side) -> list[Entry]:
        """Every path of a side, in order. Of the working tree those that Git knows, and new ones that it does not ignore."""
        try:
            if side.commit is None:
                return self._working_entries()
            listed = self._git("ls-tree", "-r", "-z", "-l", "--full-tree", side.commit)
        except git.GitCommandError as error:
            raise TreeError(f"the tree of {side.short} cannot be listed: {_words(error)}") from error
        return sorted((_entry(row) for row in listed.split(b"\0") if row), key=lambda entry: entry.path)

    def _working_entries(self) -> list[Entry]:
        assert self._top is not None
        listed = self._git("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--full-name")
        found = []
        for path in sorted({os.fsdecode(row) for row in listed.split(b"\0") if row}):
            try:
                status = (self._top / path).lstat()
            except (FileNotFoundError, NotADirectoryError):
                continue  # Removed, and Git has not been told yet.
            kind = EntryKind.FILE if stat.S_ISREG(status.st_mode) else EntryKind.SUBMODULE
            found.append(
                Entry(path.rstrip("/"), EntryKind.LINK if stat.S_ISLNK(status.st_mode) else kind, status.st_size)
            )
        return found

    def write(self, side: Side, entries: Iterable[Entry], folder: Path) -> list[Skipped]:
        """Write files and links of a side into an empty folder, and say what was left out.

        Left out are files above MAX_FILE_BYTES, submodules, and links that lead out of the folder. TreeError beyond MAX_FILES or
        MAX_TOTAL_BYTES.
        """
        skipped = [entry for entry in (_refusal(entry) for entry in entries) if entry is not None]
        names = {row.path for row in skipped}
        wanted = [entry for entry in entries if entry.path not in names]
        total = sum(entry.size for entry in wanted)
        if len(wanted) > MAX_FILES or total > MAX_TOTAL_BYTES:
            limits = f"{MAX_FILES} files and {MAX_TOTAL_BYTES >> 20} MiB"
            raise TreeError(
                f"{side.short}: {len(wanted)} files with {total >> 20} MiB; at most {limits}; give --path DIR"
            )
        try:
            contents = self._blobs(wanted) if side.commit is not None else map(self._read, wanted)
            links = []
            for entry, content in zip(wanted, contents, strict=True):
                if content is None:
                    skipped.append(Skipped(entry.path, "cannot be read, or grew beyond the limit meanwhile"))
                elif entry.kind is EntryKind.LINK:
                    links.append((entry, content))
                else:
                    _write_file(folder / entry.path, content)
        except git.GitCommandError as error:
            raise TreeError(f"the files of {side.short} cannot be read: {_words(error)}") from error
        except OSError as error:
            raise TreeError(f"{error.filename}: cannot be written: {error.strerror}") from error
        return skipped + _write_links(links, folder)

    def _read(self, entry: Entry) -> bytes | None:
        """A file or a link of the working tree."""
        assert self._top is not None
        path = self._top / entry.path
        try:
            if entry.kind is EntryKind.LINK:
                return os.fsencode(path.readlink())
            if path.parent.resolve() != path.parent:
                return None
            with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except OSError:
            return None
        return content if len(content) <= MAX_FILE_BYTES else None

    def _blobs(self, entries: Sequence[Entry]) -> list[bytes | None]:
        """The contents of entries of a commit, by one process."""
        if not entries:
            return []
        with tempfile.TemporaryFile() as names:
            names.write("".join(f"{entry.blob}\n" for entry in entries).encode())
            names.seek(0)
            answer = self._git("cat-file", "--batch", istream=names)
        contents: list[bytes | None] = []
        position = 0
        for _ in entries:
            end = answer.index(b"\n", position)
            head = answer[position:end].split(b" ")
            position = end + 1
            if len(head) != 3:
                contents.append(None)  # "NAME missing": a partial clone does not have it.
                continue
            size = int(head[2])
            contents.append(answer[position : position + size])
            position += size + 1
        return contents

    def _git(self, *arguments: str, istream: BinaryIO | None = None) -> bytes:
        place = [f"--git-dir={self._repo.git_dir}"] + ([f"--work-tree={self._top}"] if self._top is not None else [])
        answer = self._repo.git.execute(
            ["git", *place, *_OPTIONS, *arguments],
            istream=istream,
            kill_after_timeout=TIME_LIMIT,
            stdout_as_string=False,
            strip_newline_in_stdout=False,
            shell=False,
            env=_ENVIRONMENT,
        )
        assert isinstance(answer, bytes)
        return answer


def select(entries: Iterable[Entry], wanted: Callable[[str], bool]) -> list[Entry]:
    """The entries whose path is wanted."""
    return [entry for entry in entries if wanted(entry.path)]


def _entry(row: bytes) -> Entry:
    """An entry of `git ls-tree -l -z`: MODE TYPE NAME SIZE<tab>PATH."""
    head, _, path = row.partition(b"\t")
    mode, kind, blob, size = head.split()
    if kind == b"commit":
        return Entry(os.fsdecode(path), EntryKind.SUBMODULE, 0, blob.decode())
    what = EntryKind.LINK if mode == b"120000" else EntryKind.FILE
    return Entry(os.fsdecode(path), what, int(size) if size.isdigit() else 0, blob.decode())


def _refusal(entry: Entry) -> Skipped | None:
    """Why an entry is not written."""
    if entry.kind is EntryKind.SUBMODULE:
        return Skipped(entry.path, "a submodule or a repository of its own: not read")
    if entry.size > MAX_FILE_BYTES:
        return Skipped(entry.path, f"{entry.size} bytes, above {MAX_FILE_BYTES >> 20} MiB: not read")
    parts = entry.path.split("/")
    if any(part in ("", ".", "..") or part.lower() == ".git" for part in parts):
        return Skipped(entry.path, "not a path that Git itself would write: not read")
    return None


def _write_file(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
        file.write(content)


def _write_links(links: Sequence[tuple[Entry, bytes]], folder: Path) -> list[Skipped]:
    """Links, after all files, so that no file is written through one. Then those that lead out are taken away again."""
    skipped, written = [], []
    for entry, content in links:
        path = folder / entry.path
        above = [parent for parent in path.parents if parent != folder and parent.is_relative_to(folder)]
        try:
            if any(parent.is_symlink() for parent in above):
                raise NotADirectoryError  # It would be written where the link leads.
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(os.fsdecode(content))
        except (OSError, ValueError):
            skipped.append(Skipped(entry.path, "a symbolic link that cannot be made: not followed"))
            continue
        written.append((entry, path))
    inside = folder.resolve()
    leaving = [(entry, path) for entry, path in written if not _leads_inside(path, inside)]
    for entry, path in leaving:
        path.unlink()
        skipped.append(Skipped(entry.path, "a symbolic link that leads out of the tree, or nowhere: not followed"))
    return skipped


def _leads_inside(path: Path, folder: Path) -> bool:
    try:
        return path.resolve(strict=True).is_relative_to(folder)
    except (OSError, RuntimeError):
        return False


def _words(error: git.GitCommandError) -> str:
    """What git itself said, in one line."""
    text = error.stderr if isinstance(error.stderr, str) else str(error.stderr or "")
    text = text.strip().removeprefix("stderr:").strip().strip("'\"")
    return next((line.strip() for line in text.splitlines() if line.strip()), "")
