"""Real stores for the tests: versitygw over a folder, and a PostgreSQL server, each started when a test asks for it."""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import adbc_driver_postgresql.dbapi as adbc
import pytest

from dev.cluster import packages
from dev.cluster.commands import wait_until
from dev.cluster.settings import Settings
from dev.cluster.tools import Toolbox


@dataclass(frozen=True)
class S3:
    """A running storage."""

    folder: Path
    """Buckets are folders of it."""
    environment: Mapping[str, str]
    """What reaches it, under the prefix STORE."""


@dataclass
class Postgres:
    """A running server with one database."""

    folder: Path
    port: int
    password: str
    process: subprocess.Popen[bytes]

    @property
    def uri(self) -> str:
        return f"postgresql://127.0.0.1:{self.port}/postgres"

    @property
    def environment(self) -> dict[str, str]:
        """What reaches it, under the prefix DB."""
        return {"DB_USER": "sluice", "DB_PASSWORD": self.password}

    @contextmanager
    def cursor(self) -> Iterator[adbc.Cursor]:
        words = f"host=127.0.0.1 port={self.port} dbname=postgres user=sluice password={self.password}"
        with adbc.connect(words, autocommit=True) as connection, connection.cursor() as cursor:
            yield cursor

    def execute(self, *statements: str) -> None:
        with self.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def stop(self) -> None:
        """End the server at once, as when its machine goes."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(timeout=30)


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """versitygw with one bucket, `data`."""
    toolbox = Toolbox(Settings.from_environment().cache)
    try:
        program = toolbox.path("versitygw")
    finally:
        toolbox.close()
    folder = tmp_path_factory.mktemp("s3")
    (folder / "buckets" / "data").mkdir(parents=True)
    (folder / "about").mkdir()
    port, key, secret = free_port(), "sluice", secrets.token_hex(16)
    argv = [program, "--port", f"127.0.0.1:{port}", "posix", "--sidecar", folder / "about", folder / "buckets"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(word) for word in argv],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "ROOT_ACCESS_KEY": key, "ROOT_SECRET_KEY": secret},
        )
    try:
        wait_until("versitygw", lambda: _listens(port) or process.poll() is not None, timeout=30)
        assert process.poll() is None, (folder / "log").read_text()
        names = {"ACCESS_KEY_ID": key, "SECRET_ACCESS_KEY": secret, "ENDPOINT": f"http://127.0.0.1:{port}"}
        yield S3(folder / "buckets", {f"STORE_{name}": value for name, value in names.items()})
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture(scope="session")
def start_postgres() -> Iterator["Starter"]:
    """Starts servers; all of them end with the tests."""
    packages.ensure(packages.DATABASE, Settings.from_environment().cache / "logs" / "apt.log")
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    starter = Starter(programs)
    try:
        yield starter
    finally:
        for server in starter.started:
            server.stop()
            shutil.rmtree(server.folder, ignore_errors=True)


class Starter:
    """Makes a database in a folder of its own and starts its server, as somebody who is not root."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self.started: list[Postgres] = []

    def __call__(self) -> Postgres:
        # Below /tmp itself, since pytest's folders are closed to others than root.
        folder = Path(tempfile.mkdtemp(prefix="sluice-postgres-"))
        owner = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        password, port = secrets.token_hex(16), free_port()
        (folder / "password").write_text(password)
        for path in (folder, folder / "password"):
            os.chown(path, owner.pw_uid, owner.pw_gid)
        who = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
        make = ["initdb", "-D", "data", "-U", "sluice", "--pwfile", "password", "-A", "scram-sha-256", "-N"]
        subprocess.run(
            [self._programs / make[0], *make[1:], "-E", "UTF8", "--locale", "C.UTF-8"],
            check=True,
            cwd=folder,
            capture_output=True,
            **who,
        )
        options = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "off"}
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [self._programs / "postgres", "-D", folder / "data", *words],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
                **who,
            )
        server = Postgres(folder, port, password, process)
        self.started.append(server)

        def answers() -> bool:
            assert process.poll() is None, (folder / "log").read_text()
            try:
                server.execute("SELECT 1")
            except adbc.Error:
                return False
            return True

        wait_until("PostgreSQL", answers, timeout=60)
        return server


@pytest.fixture(scope="session")
def postgres(start_postgres: Starter) -> Postgres:
    """A server for the whole session."""
    return start_postgres()


@pytest.fixture
def reach(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets the variables of stores for one test."""

    def use(*stores: S3 | Postgres) -> None:
        for store in stores:
            for name, value in store.environment.items():
                monkeypatch.setenv(name, value)

    return use
