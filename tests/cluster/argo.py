"""The add-on argocd as its users see it: a repository of one's own, an Application of it, its health, and actions on resources."""

import copy
import json
import os
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev.cluster.addons import argocd
from dev.cluster.addons.git_server import PRIVATE, USER
from dev.cluster.errors import ClusterError
from dev.cluster.settings import Settings
from tests.cluster.kit import OUTAGE_SECONDS, Manifest, Namespace, is_outage

SERVER = "https://kubernetes.default.svc"
Health = tuple[str, str]
"""What Argo CD says of something, and its message."""


class Refused(Exception):
    """The API says no: its status and its words."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status
        self.text = text

    @property
    def words(self) -> str:
        """What it says in words."""
        try:
            return str(json.loads(self.text)["error"])
        except (ValueError, KeyError, TypeError):
            return self.text


@dataclass(frozen=True)
class ArgoCD:
    """The API, as one account."""

    url: str
    token: str = field(repr=False)

    @classmethod
    def log_in(cls, account: str = "admin") -> "ArgoCD":
        """As `admin`, or as `viewer`, who may run no action. Fails where the add-on is not up."""
        settings = Settings.from_environment()
        try:
            return cls(argocd.url(settings), argocd.log_in(settings, account))
        except ClusterError as error:
            pytest.fail(str(error))

    def ask(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        """The answer of the API. Raises Refused."""
        url = f"{self.url}/api/v1{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(
                urllib.request.Request(url, data, headers, method=method), timeout=60
            ) as answer:
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            text = error.read().decode()
            raise Refused(error.code, text) from error


class Repository:
    """A Git repository of one test: a working tree, and what it is pushed to."""

    def __init__(self, name: str, folder: Path, *, password: str = "") -> None:
        """With a password its name begins with `private-`, and it is pushed to with it."""
        server = argocd.git_url(Settings.from_environment())
        self.url = f"{server}/{PRIVATE if password else ''}{name}.git"
        self._pushed_to = self.url.replace("http://", f"http://{USER}:{password}@") if password else self.url
        self.folder = folder / name
        self.folder.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")
        self._sign("Anna Test", "anna@example.com")

    def desk(self, folder: Path) -> "Repository":
        """A clone of what is pushed by now, of another person."""
        self.git("clone", "--quiet", self.url, str(folder))
        made = copy.copy(self)
        made.folder = folder
        made._sign("Ravi Test", "ravi@example.com")
        return made

    def _sign(self, name: str, email: str) -> None:
        self.git("config", "user.name", name)
        self.git("config", "user.email", email)

    def git(self, *words: str) -> str:
        """What git says in the working tree."""
        done = subprocess.run(
            ["git", "-C", str(self.folder), *words], capture_output=True, text=True, timeout=180, check=False
        )
        assert done.returncode == 0, f"git {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def commit(self, message: str, **files: Manifest | list[Manifest] | None) -> str:
        """Commit and push manifests by file name, without `.yaml`; None removes a file. The commit's id."""
        for name, content in files.items():
            file = self.folder / f"{name}.yaml"
            if content is None:
                file.unlink()
                continue
            file.write_text(yaml.safe_dump_all(content if isinstance(content, list) else [content], sort_keys=False))
        return self.push(message)

    def push(self, message: str) -> str:
        """Commit and push what is in the working tree. The commit's id."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        self.git("push", "--quiet", self._pushed_to, "main")
        return self.git("rev-parse", "HEAD")

    def heads(self) -> dict[str, str]:
        """The branches that are pushed, each with its newest commit."""
        rows = [line.split() for line in self.git("ls-remote", "--heads", self._pushed_to).splitlines()]
        return {ref.removeprefix("refs/heads/"): commit for commit, ref in rows}


@dataclass(frozen=True)
class Application:
    """An Application of one test, as `admin` sees it."""

    name: str
    namespace: Namespace
    api: ArgoCD

    @property
    def _path(self) -> str:
        return f"/applications/{self.name}"

    def status(self) -> Manifest:
        """Its status; {} before it was looked at."""
        return dict(self.api.ask("GET", self._path).get("status") or {})

    def health(self) -> str:
        """Its health, and so that of the worst of what Git states in it."""
        return str((self.status().get("health") or {}).get("status", ""))

    def sync(self) -> str:
        """Synced, OutOfSync or Unknown."""
        return str((self.status().get("sync") or {}).get("status", ""))

    def nodes(self) -> list[Manifest]:
        """What it consists of, and what belongs to that: pods, runs."""
        return list(self.api.ask("GET", f"{self._path}/resource-tree").get("nodes") or [])

    def health_of(self, kind: str, name: str) -> Health:
        """Health and message of one object of its tree; ("", "") while there is none."""
        for node in self.nodes():
            if (node["kind"], node["name"]) == (kind, name):
                found = node.get("health") or {}
                return str(found.get("status", "")), str(found.get("message", ""))
        return "", ""

    def sees(self, revision: str, seconds: float = 60) -> None:
        """Wait until it has been compared with the commit."""
        what = f"{self.name} compared with {revision[:8]}"
        self._wait(what, lambda: (self.status().get("sync") or {}).get("revision") == revision or None, seconds)

    def synced(self, revision: str, seconds: float = 60 + OUTAGE_SECONDS) -> Manifest:
        """Its status, once the commit is applied and nothing differs from it. Fails when its sync has failed."""

        def look() -> Manifest | None:
            status = self.status()
            sync, operation = status.get("sync") or {}, status.get("operationState") or {}
            ended = operation.get("phase") == "Succeeded" and _revision(operation) == revision
            there = (sync.get("status"), sync.get("revision")) == ("Synced", revision)
            # A commit that changes nothing is Synced without an operation of its own.
            return status if there and (ended or operation.get("phase") != "Running") else None

        return self._wait(f"{self.name} synced at {revision[:8]}", look, seconds)

    def is_healthy(self, health: str, seconds: float = 60) -> Manifest:
        """Its status, once it has this health."""

        def look() -> Manifest | None:
            status = self.status()
            return status if (status.get("health") or {}).get("status") == health else None

        return self._wait(f"{self.name} {health}", look, seconds)

    def shows(self, kind: str, name: str, health: str, seconds: float = 60) -> str:
        """The message of an object, once it has this health."""
        return self.says(kind, name, health, "", seconds)

    def says(self, kind: str, name: str, health: str, part: str, seconds: float = 60) -> str:
        """The message of an object, once it has this health and the message has this part."""

        def look() -> list[str] | None:
            found, message = self.health_of(kind, name)
            return [message] if found == health and part in message else None

        return str(self._wait(f"{kind} {name} {health} {part}", look, seconds)[0])

    @contextmanager
    def watched(self) -> Iterator["Seen"]:
        """What it shows while this lasts, looked at five times a second."""
        seen, over = Seen(), threading.Event()

        def look() -> None:
            status = self.status()
            seen.add((status.get("health") or {}).get("status", ""), (status.get("sync") or {}).get("status", ""))

        def watch() -> None:
            while not over.wait(0.2):
                look()
            look()

        look()
        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield seen
        finally:
            over.set()
            thread.join()

    def compare(self, *, hard: bool = False) -> Manifest:
        """Have it compared with Git and the cluster now; `hard`: without what is remembered of Git. Its status then."""
        return dict(self.api.ask("GET", self._path, refresh="hard" if hard else "normal").get("status") or {})

    @contextmanager
    def recorded(self) -> Iterator[list[Manifest]]:
        """Every status that is written while this lasts, from the one before it on."""
        rows: list[Manifest] = []
        command = ["kubectl", "get", "applications.argoproj.io", self.name, "-n", argocd.NAMESPACE, "--watch"]
        env = {**os.environ, "KUBECONFIG": str(self.namespace.kubeconfig)}
        with subprocess.Popen([*command, "-o", "json"], stdout=subprocess.PIPE, text=True, env=env) as process:
            thread = threading.Thread(target=_read, args=(process, rows), daemon=True)
            thread.start()
            try:
                self._wait("the first status", lambda: bool(rows), 30)
                yield rows
                last = str(self.api.ask("GET", self._path)["metadata"]["resourceVersion"])
                self._wait("the last status", lambda: int(rows[-1]["resourceVersion"]) >= int(last), 30)
            finally:
                process.terminate()
                thread.join()

    def actions(self, kind: str, name: str) -> set[str]:
        """The actions on an object that are not greyed out."""
        rows = self.api.ask("GET", f"{self._path}/resource/actions", **self._resource(kind, name)).get("actions") or []
        return {row["name"] for row in rows if not row.get("disabled")}

    def act(self, kind: str, name: str, action: str, account: ArgoCD | None = None) -> None:
        """Run an action on an object, as another account if one is given. Raises Refused.

        What the operator's webhook did not see, as another test restarts it, is asked again.
        """
        body = {
            **self._resource(kind, name),
            "name": self.name,
            "action": action,
            "appNamespace": argocd.NAMESPACE,
        }
        began = time.monotonic()
        while True:
            try:
                (account or self.api).ask("POST", f"{self._path}/resource/actions/v2", body)
                return
            except Refused as refused:
                if not is_outage(refused.words, began):
                    raise

    def _resource(self, kind: str, name: str) -> dict[str, str]:
        for node in self.nodes():
            if (node["kind"], node["name"]) == (kind, name):
                return {
                    "namespace": node.get("namespace", ""),
                    "resourceName": name,
                    "group": node.get("group", ""),
                    "version": node["version"],
                    "kind": kind,
                }
        pytest.fail(f"{kind} {name} is not in the tree of {self.name}")

    def _wait(self, what: str, look: Callable[[], Any], seconds: float) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := look()):
            if time.monotonic() > deadline:
                status = self.status()
                told = {key: status.get(key) for key in ("sync", "health", "conditions", "operationState")}
                pytest.fail(
                    f"{what} did not come within {seconds:g} s\n{yaml.safe_dump(told)}\n{self.namespace.describe()}"
                )
            time.sleep(0.2)  # the pace of looking
        return found


@dataclass
class Seen:
    """What an Application showed one after the other; what it showed twice in a row is there once."""

    healths: list[str] = field(default_factory=list)
    syncs: list[str] = field(default_factory=list)

    def add(self, health: str, sync: str) -> None:
        """Put down one look."""
        for row, word in ((self.healths, health), (self.syncs, sync)):
            if row[-1:] != [word]:
                row.append(word)


def _read(process: "subprocess.Popen[str]", rows: list[Manifest]) -> None:
    """Put down the status of each object that is printed, with its resourceVersion."""
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if line == "}\n":  # the end of an object: within it, lines are indented
            found = json.loads(text)
            rows.append({**found.get("status", {}), "resourceVersion": found["metadata"]["resourceVersion"]})
            text = ""


def _revision(operation: Manifest) -> str:
    return str((operation.get("syncResult") or {}).get("revision", ""))


RETRY = {"limit": 300, "backoff": {"duration": "1s", "factor": 1, "maxDuration": "2s"}}
"""Other tests restart the operator, and its webhook with it: a sync that finds none tries again."""
FEW = {**RETRY, "limit": 8}
"""For commits that are refused: as long as Argo CD tries one again, it syncs no other."""


def manifest(
    name: str, repository: Repository, namespace: str, *options: str, retry: Manifest | None = None
) -> Manifest:
    """An Application of the repository's root, synced by itself with prune and self-healing, with these sync options."""
    policy = {"automated": {"prune": True, "selfHeal": True}, "syncOptions": list(options), "retry": retry or RETRY}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": name, "namespace": argocd.NAMESPACE},
        "spec": {
            "project": "default",
            "source": {"repoURL": repository.url, "targetRevision": "main", "path": "."},
            "destination": {"server": SERVER, "namespace": namespace},
            "syncPolicy": policy,
        },
    }


@contextmanager
def application(
    namespace: Namespace, repository: Repository, *options: str, retry: Manifest | None = None
) -> Iterator[Application]:
    """An Application of a repository that has a commit, named as the namespace that it is for.

    When it goes, what it made stays, and goes with the namespace.
    """
    api = ArgoCD.log_in()
    made = Application(namespace.name, namespace, api)
    api.ask("POST", "/applications", manifest(made.name, repository, namespace.name, *options, retry=retry))
    try:
        yield made
    finally:
        api.ask("DELETE", f"/applications/{made.name}", cascade="false")
