"""Repositories over HTTP on loopback, served by git's own `git http-backend`, with a user and a password where asked for; and
a person who works on them."""

import base64
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PERSON = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    **{f"GIT_{role}_NAME": "Asha Rao" for role in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{role}_EMAIL": "asha@example.com" for role in ("AUTHOR", "COMMITTER")},
}


def git(folder: Path, *args: str, check: bool = True) -> str:
    """What `git ARGS` prints in a folder."""
    done = subprocess.run(
        ["git", *args],
        cwd=folder,
        env={**os.environ, **PERSON},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if check and done.returncode:
        raise AssertionError(f"git {args}: {done.stdout}{done.stderr}")
    return done.stdout.strip()


class GitServer(ThreadingHTTPServer):
    """Serves the bare repositories of `folder`."""

    daemon_threads = True

    def __init__(self, folder: Path, *, password: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.password = password
        self.writable = True
        self.answer: tuple[int, dict[str, str]] | None = None
        """What every request is answered with, instead of by git."""
        self.paused = threading.Event()
        """While set, no request is answered."""
        self.requests: list[str] = []
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def repository(self, name: str = "apps") -> str:
        """Make one; its URL."""
        path = self.folder / f"{name}.git"
        git(self.folder, "init", "--quiet", "--bare", "--initial-branch=main", str(path))
        for key in ("http.receivepack", "uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
            git(path, "config", key, "true")
        return f"{self.url}/{name}.git"

    def close(self) -> None:
        self.paused.clear()
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: GitServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        """Nobody reads it."""

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        self.close_connection = True
        server = self.server
        server.requests.append(f"{self.command} {self.path}")
        body = self._body()
        while server.paused.is_set():
            threading.Event().wait(0.02)
        if server.answer is not None:
            self._plain(*server.answer)
            return
        wanted = base64.b64encode(f"bot:{server.password}".encode()).decode()
        if server.password and self.headers.get("Authorization") != f"Basic {wanted}":
            self._plain(401, {"WWW-Authenticate": 'Basic realm="git"'})
            return
        if "git-receive-pack" in self.path and not server.writable:
            self._plain(403, {})
            return
        url = urlsplit(self.path)
        env = {
            **os.environ,
            **PERSON,
            "GIT_PROJECT_ROOT": str(server.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": "bot",
            "PATH_INFO": url.path,
            "QUERY_STRING": url.query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        done = subprocess.run(["git", "http-backend"], input=body, capture_output=True, env=env, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        rows = [line.partition(": ") for line in head.decode().split("\r\n")]
        status = next((int(value.split()[0]) for name, _, value in rows if name == "Status"), 200)
        self._plain(status, {name: value for name, _, value in rows if name != "Status"}, content)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _plain(self, status: int, headers: dict[str, str], content: bytes = b"") -> None:
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except ConnectionError:
            return


class Person:
    """Somebody with a working copy of a repository."""

    def __init__(self, folder: Path, bare: Path) -> None:
        self.folder = folder
        git(folder.parent, "clone", "--quiet", str(bare), str(folder))
        if not git(folder, "branch", "--list", "main"):
            git(folder, "checkout", "--quiet", "-B", "main")

    def write(self, path: str, text: str) -> None:
        """Change a file, and no more."""
        place = self.folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        git(self.folder, "add", "--", path)

    def commit(self, message: str, **files: str) -> str:
        """Commit what was written, with `files` by name; the id."""
        for name, text in files.items():
            self.write(name, text)
        git(self.folder, "commit", "--quiet", "--allow-empty", "-m", message)
        return git(self.folder, "rev-parse", "HEAD")

    def push(self) -> None:
        """Push, over whatever has come meanwhile."""
        for _ in range(20):
            git(self.folder, "fetch", "--quiet", "origin", check=False)
            if git(self.folder, "branch", "--remotes", "--list", "origin/main"):
                git(self.folder, "rebase", "--quiet", "origin/main")
            done = subprocess.run(
                ["git", "push", "--quiet", "origin", "HEAD:main"],
                cwd=self.folder,
                env={**os.environ, **PERSON},
                check=False,
                capture_output=True,
            )
            if done.returncode == 0:
                return
        raise AssertionError("cannot push")

    def pull(self) -> None:
        """Have the branch as it is."""
        git(self.folder, "fetch", "--quiet", "origin")
        git(self.folder, "reset", "--quiet", "--hard", "origin/main")
