"""The programs that come from Debian: installs the packages whose programs are missing, where it may."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from dev.cluster import progress
from dev.cluster.commands import run_logged
from dev.cluster.errors import ClusterError

# A package, and the file or program by which it is known to be there, however it came.
_KNOWN_BY = {
    "containerd": "containerd",
    "runc": "runc",
    "containernetworking-plugins": "/usr/lib/cni/bridge",
    "iptables": "iptables",
    "iproute2": "ip",
    "conntrack": "conntrack",
    "mount": "umount",
    "openssl": "openssl",
    "socat": "socat",
    "ethtool": "ethtool",
    "busybox-static": "busybox",
    "mmdebstrap": "mmdebstrap",
    "buildah": "buildah",
    "postgresql": "/usr/lib/postgresql",
    "prometheus": "prometheus",
    "git": "git",
    "redis-server": "redis-server",
}
_installing = threading.Lock()  # dpkg refuses a second installation at the same time
_LOCK = Path(tempfile.gettempdir(), "sluice-packages.lock")
_SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
_FOR_SOME = frozenset(("mmdebstrap", "buildah", "postgresql", "prometheus", "git", "redis-server"))
RUNTIME = tuple(package for package in _KNOWN_BY if package not in _FOR_SOME)
"""What a running local cluster needs."""
IMAGES = ("mmdebstrap", "buildah", "busybox-static")
"""What building images needs."""
DATABASE = ("postgresql",)
"""What the tests of checks on tables of a database need: the programs, not a running server."""
METRICS = ("prometheus",)
"""What the add-on `metrics` needs, and the tests that ask a real Prometheus."""
ARGOCD = ("git", "redis-server")
"""What the add-on `argocd` needs."""
_SERVICES = frozenset(("prometheus", "redis-server"))
"""Packages that start a service of the machine when they are installed, which nobody here wants."""
_POLICY = Path("/usr/sbin/policy-rc.d")
_CREATE_NO_SERVER = Path("/etc/postgresql-common/createcluster.d/none.conf")


def ensure(packages: Iterable[str], log: Path) -> None:
    """Install what is missing; raise ClusterError with the command that does so where we may not."""
    wanted = tuple(packages)
    if all(_there(_KNOWN_BY[package]) for package in wanted):
        return
    with _installing, _LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes, and each may be the first to need one
        _ensure(wanted, log)


def _ensure(packages: Iterable[str], log: Path) -> None:
    missing = [package for package in packages if not _there(_KNOWN_BY[package])]
    if not missing:
        return
    command = f"apt-get install -y --no-install-recommends {' '.join(missing)}"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise ClusterError(f"programs are missing; as root on Debian or Ubuntu, run: {command}")
    if "postgresql" in missing and not _CREATE_NO_SERVER.exists():
        # Else its package makes a database and starts a server on the usual port.
        _CREATE_NO_SERVER.parent.mkdir(parents=True, exist_ok=True)
        _CREATE_NO_SERVER.write_text("create_main_cluster = false\n")
    with progress.part(f"install Debian packages: {' '.join(missing)}"):
        environment = {"DEBIAN_FRONTEND": "noninteractive"}
        run_logged(["apt-get", "update", "-q"], log, timeout=300, env=environment)
        with _no_new_service() if _SERVICES & set(missing) else nullcontext():
            run_logged(command.split(), log, timeout=600, env=environment)
        if shutil.which("systemctl"):
            for package in sorted(_SERVICES & set(missing)):
                run_logged(["systemctl", "disable", package], log, timeout=60)  # nor after the next boot


@contextmanager
def _no_new_service() -> Iterator[None]:
    """While this lasts, installing a package starts nothing: Debian's own way to say so. A policy that is there stays."""
    try:
        with _POLICY.open("x") as file:
            file.write("#!/bin/sh\nexit 101\n")
    except FileExistsError:
        yield
        return
    try:
        _POLICY.chmod(0o755)
        yield
    finally:
        _POLICY.unlink()


def _there(mark: str) -> bool:
    return Path(mark).exists() if mark.startswith("/") else shutil.which(mark, path=search_path()) is not None


def search_path() -> str:
    """The PATH with the folders of system programs, which an ordinary user's lacks."""
    given = os.environ.get("PATH", "").split(os.pathsep)
    return os.pathsep.join((*given, *(folder for folder in _SYSTEM_FOLDERS if folder not in given)))
