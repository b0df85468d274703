"""The Git server of the add-on argocd, by git's own client, and what Argo CD is told and given."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev.cluster.addons import argocd
from dev.cluster.addons.git_hook import payload
from dev.cluster.addons.git_server import GitServer
from dev.cluster.errors import ClusterError
from dev.cluster.packages import ARGOCD, RUNTIME
from dev.cluster.settings import Settings


class Webhook(ThreadingHTTPServer):
    """Takes what it is told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Listener)
        self.told: list[dict[str, Any]] = []


class _Listener(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.told.append({"path": self.path, "event": self.headers["X-GitHub-Event"], **json.loads(body)})
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with Webhook() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def server(tmp_path: Path, webhook: Webhook) -> Iterator[GitServer]:
    told = f"http://127.0.0.1:{webhook.server_port}/api/webhook"
    with GitServer("127.0.0.1", 0, tmp_path / "git", told, "open sesame") as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


def git(folder: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.com", "-C", str(folder), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A working tree with one commit on main."""
    folder = tmp_path / "work"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder, "a.yaml", "a: 1\n")
    return folder


def commit(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    git(folder, "add", name)
    git(folder, "commit", "--quiet", "-m", f"Change {name}")
    return git(folder, "rev-parse", "HEAD")


def test_the_first_push_makes_the_repository_and_what_was_pushed_can_be_cloned(
    server: GitServer, work: Path, tmp_path: Path
) -> None:
    git(work, "push", "--quiet", f"{server.url}/flights.git", "main")
    git(tmp_path, "clone", "--quiet", f"{server.url}/flights.git", "copy")
    assert (tmp_path / "copy" / "a.yaml").read_text() == "a: 1\n"


def test_a_private_repository_needs_the_password(server: GitServer, work: Path) -> None:
    for user in ("", "git:wrong@"):
        url = f"{server.url}/private-flights.git".replace("http://", f"http://{user}")
        command = ["git", "-c", "core.askPass=/bin/false", "-C", str(work), "push", "--quiet", url, "main"]
        environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
        assert subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False).returncode
    url = f"{server.url}/private-flights.git".replace("http://", "http://git:open%20sesame@")
    git(work, "push", "--quiet", url, "main")


def test_a_large_push_arrives_whole(server: GitServer, work: Path, tmp_path: Path) -> None:
    # More than http.postBuffer (1 MiB), so it is sent in chunks; random, so it is not compressed away.
    noise = subprocess.run(["openssl", "rand", "-hex", "1500000"], capture_output=True, text=True, check=True).stdout
    commit(work, "noise.txt", noise)
    git(work, "push", "--quiet", f"{server.url}/flights.git", "main")
    git(tmp_path, "clone", "--quiet", f"{server.url}/flights.git", "copy")
    assert (tmp_path / "copy" / "noise.txt").read_text() == noise


def test_each_push_is_told(server: GitServer, work: Path, webhook: Webhook) -> None:
    first = git(work, "rev-parse", "HEAD")
    git(work, "push", "--quiet", f"{server.url}/flights.git", "main")
    second = commit(work, "a.yaml", "a: 2\n")
    git(work, "push", "--quiet", f"{server.url}/flights.git", "main")
    assert [(row["before"], row["after"]) for row in webhook.told] == [("0" * 40, first), (first, second)]
    assert {row["path"] for row in webhook.told} == {"/api/webhook"}
    assert {row["event"] for row in webhook.told} == {"push"}
    assert {row["ref"] for row in webhook.told} == {"refs/heads/main"}
    assert {row["repository"]["html_url"] for row in webhook.told} == {f"{server.url}/flights"}


def test_a_push_succeeds_when_nobody_can_be_told(tmp_path: Path, work: Path) -> None:
    with GitServer("127.0.0.1", 0, tmp_path / "git", "http://127.0.0.1:9/api/webhook") as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        git(work, "push", "--quiet", f"{server.url}/flights.git", "main")
        assert git(work, "ls-remote", f"{server.url}/flights.git", "main").split()[0] == git(work, "rev-parse", "HEAD")
        server.shutdown()


@pytest.mark.parametrize(
    "path", ["/", "/Flights.git/info/refs", "/../etc.git/info/refs", "/a.git/../b.git/HEAD", "/a/HEAD"]
)
def test_what_is_no_repository_is_not_found(server: GitServer, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request("GET", path)
    assert connection.getresponse().status == 404
    connection.close()
    assert list(server.folder.iterdir()) == []


def test_reading_makes_no_repository(server: GitServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request("GET", "/flights.git/info/refs?service=git-upload-pack")
    assert connection.getresponse().status == 404
    connection.close()
    assert list(server.folder.iterdir()) == []


def test_an_event_names_no_files_so_that_all_may_have_changed() -> None:
    event = payload("1" * 40 + " " + "2" * 40 + " refs/heads/main\n", "http://127.0.0.1:1/flights")
    assert event["commits"] == []
    assert event["ref"] == "refs/heads/main"


def test_a_viewer_sees_and_does_nothing() -> None:
    found = {row["metadata"]["name"]: row for row in yaml.safe_load_all(argocd._MANIFEST.read_text())}
    assert found["argocd-rbac-cm"]["data"]["policy.csv"].split("\n") == ["g, viewer, role:readonly", ""]
    assert "data" not in found["argocd-secret"]


def test_without_the_add_on_there_is_no_password() -> None:
    settings = Settings.from_environment({"SLUICE_CLUSTER_DIR": "/nonexistent/cluster"})
    with pytest.raises(ClusterError, match="the add-on argocd is not up"):
        argocd.password(settings, "admin")


def test_a_cluster_needs_no_argocd() -> None:
    assert not set(ARGOCD) & set(RUNTIME)
