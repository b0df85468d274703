"""Git over HTTP for the add-on argocd: git's own `git http-backend` behind a small server. A program of its own, and of the
standard library only: python3 git_server.py ADDRESS PORT FOLDER WEBHOOK[,WEBHOOK...] PASSWORD_FILE

A repository is made by the first push to `http://ADDRESS:PORT/NAME.git`. After each push its post-receive hook, which
is git_hook.py, tells each WEBHOOK. Whoever reaches ADDRESS may read and push: it is one that only this machine and its pods
reach. Names that begin with `private-` need the user `git` and the password of PASSWORD_FILE.
"""

from __future__ import annotations

import base64
import hmac
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

PRIVATE = "private-"
USER = "git"
BRANCH = "main"
"""The branch that HEAD of a new repository names."""
_HOOK = Path(__file__).with_name("git_hook.py")
_PATH = re.compile(r"/(?P<name>[a-z0-9][a-z0-9-]{0,62}\.git)(?P<rest>/[A-Za-z0-9/._-]*)")
_CHUNK = 65536
_SECONDS = 120


class GitServer(ThreadingHTTPServer):
    """Serves the bare repositories of a folder, which need not be there."""

    daemon_threads = True

    def __init__(self, address: str, port: int, folder: Path, webhooks: str, password: str = "") -> None:
        super().__init__((address, port), _Handler)
        self.folder = folder
        self._password = password
        self._making = threading.Lock()
        hooks = folder.with_name(f"{folder.name}-hooks")
        hooks.mkdir(parents=True, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        hook = hooks / "post-receive"
        hook.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{_HOOK}" "{webhooks}" "{self.url}"\n')
        hook.chmod(0o755)
        settings = {
            "http.receivepack": "true",
            "uploadpack.allowFilter": "true",
            "core.hooksPath": str(hooks),
            "safe.directory": "*",
        }
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            "GIT_PROJECT_ROOT": str(folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": str(len(settings)),
            **{f"GIT_CONFIG_KEY_{number}": name for number, name in enumerate(settings)},
            **{f"GIT_CONFIG_VALUE_{number}": value for number, value in enumerate(settings.values())},
        }

    def lets_in(self, name: str, authorization: str) -> bool:
        """Whether a repository may be used by who says this in the header Authorization."""
        asked = base64.b64encode(f"{USER}:{self._password}".encode()).decode()
        return not name.startswith(PRIVATE) or hmac.compare_digest(authorization.encode(), f"Basic {asked}".encode())

    @property
    def url(self) -> str:
        """What the URLs of its repositories begin with."""
        return f"http://{self.server_address[0]!s}:{self.server_port}"

    def make(self, name: str) -> None:
        """See to it that there is a repository of this name."""
        with self._making:
            if (self.folder / name).exists():
                return
            command = ["git", "init", "--quiet", "--bare", f"--initial-branch={BRANCH}", str(self.folder / name)]
            subprocess.run(command, check=True, env=self.environment, timeout=_SECONDS)


class _Handler(BaseHTTPRequestHandler):
    server: GitServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        self.close_connection = True  # the answer has no length, so its end is the connection's
        url = urlsplit(self.path)
        found = _PATH.fullmatch(unquote(url.path))
        if found is None or ".." in found["rest"]:
            self.send_error(404, "no such repository", "repositories are at /NAME.git; NAME has a-z, 0-9 and -")
            return
        if not self.server.lets_in(found["name"], self.headers.get("Authorization", "")):
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Connection", "close")
            self.end_headers()
            return
        if url.query == "service=git-receive-pack":
            self.server.make(found["name"])
        environment = {
            **self.server.environment,
            "PATH_INFO": found[0],
            "QUERY_STRING": url.query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_ADDR": self.client_address[0],
        }
        with subprocess.Popen(
            ["git", "http-backend"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        ) as backend:
            assert backend.stdin is not None
            assert backend.stdout is not None
            feeder = threading.Thread(target=self._feed, args=(backend.stdin,), daemon=True)
            feeder.start()
            self._answer(backend.stdout)
            feeder.join()

    def _feed(self, backend: IO[bytes]) -> None:
        """Hand the request's body on. A backend that wants no more of it has its reasons, which its answer says."""
        try:
            for part in self._body():
                backend.write(part)
            backend.close()
        except (BrokenPipeError, ConnectionError):
            return

    def _body(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().partition(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left > 0 and (part := self.rfile.read(min(left, _CHUNK))):
            left -= len(part)
            yield part

    def _answer(self, backend: IO[bytes]) -> None:
        """Hand the answer on: headers as CGI has them, an empty line, the body."""
        headers = []
        while (line := backend.readline().strip()) != b"":
            name, _, value = line.decode("latin-1").partition(":")
            headers.append((name, value.strip()))
        status = next((value for name, value in headers if name.lower() == "status"), "200 OK" if headers else "500")
        self.send_response(int(status.split()[0]))
        for name, value in headers:
            if name.lower() != "status":
                self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        while part := backend.read(_CHUNK):
            self.wfile.write(part)


def main(address: str, port: str, folder: str, webhooks: str, password_file: str) -> None:
    """Serve until it is ended."""
    GitServer(address, int(port), Path(folder), webhooks, Path(password_file).read_text()).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
