"""Releases by nothing but commits, with a real Argo CD: `python -m dev.demo_gitops`.

Has a Git repository of its own at the Git server of the add-on argocd, and two Applications with a namespace each. Pushes:

    the flights pipeline      Synced, and a run for one day ends Succeeded
    the pricing example       with its Canary, at rest
    a good version            let in step by step and promoted, without a failed request at the client
    a failing version         rolled back; the Application is Degraded and says why
    its revert                by the operator, as the Canary's `spec.writeBack` asks for; Healthy and Synced again

It tells the times from each push on. Ends with 0 only when all of this came about. KEEP=1 leaves everything there.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from dev import demo, demo_canary
from dev.cluster.addons import argocd
from dev.cluster.settings import Settings
from dev.demo_canary import Clients, DemoError
from dev.reading import Api, api_of

NAME = "gitops-demo"
"""Of the repository; the Applications and namespaces are this with `-` and the example's name."""
FLIGHTS, PRICING = f"{NAME}-flights", f"{NAME}-pricing"
HOST = f"{PRICING}.local"
DAY = "2013-01-01"
LIMIT_SECONDS = 180.0
RETRY = {"limit": 30, "backoff": {"duration": "1s", "factor": 1, "maxDuration": "2s"}}
Object = dict[str, Any]
Found = TypeVar("Found")


class Repository:
    """A working tree, and the repository at the Git server that it is pushed to."""

    def __init__(self, name: str, folder: Path) -> None:
        self.url = f"{argocd.git_url(Settings.from_environment())}/{name}.git"
        self.folder = folder
        self.git("init", "--quiet", "--initial-branch=main")
        for key, value in {"user.name": "Demo", "user.email": "demo@example.com"}.items():
            self.git("config", key, value)

    def git(self, *words: str) -> str:
        """What git says in the working tree. Raises DemoError."""
        return _run("git", "-C", str(self.folder), *words).strip()

    def commit(self, message: str, path: str, documents: Iterable[Object]) -> "Commit":
        """Commit and push the manifests of one folder."""
        (self.folder / path).mkdir(exist_ok=True)
        (self.folder / path / "manifests.yaml").write_text(yaml.safe_dump_all(documents, sort_keys=False))
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", message)
        return self.push()

    def push(self) -> "Commit":
        """Push what is committed. What an earlier demo left in the repository is replaced."""
        self.git("push", "--quiet", "--force", self.url, "main")
        return self._pushed()

    def pull(self) -> "Commit | None":
        """What somebody else has pushed since; None when nobody has."""
        before = self.git("rev-parse", "HEAD")
        self.git("pull", "--quiet", "--ff-only", self.url, "main")
        return self._pushed() if self.git("rev-parse", "HEAD") != before else None

    def _pushed(self) -> "Commit":
        made = Commit(self.git("rev-parse", "HEAD"), time.monotonic())
        print(f"   0.0 s  pushed {made.id[:8]} {self.git('log', '-1', '--format=%s, by %an')}", flush=True)
        return made


@dataclass
class Commit:
    """A commit, when it was pushed (by time.monotonic), and what followed from it: seconds since then by what it was."""

    id: str
    pushed: float
    times: dict[str, float] = field(default_factory=dict)

    def note(self, what: str, more: str = "") -> None:
        """Put down, once, that something has come about, and print it."""
        if what not in self.times:
            self.times[what] = time.monotonic() - self.pushed
            print(f"{self.times[what]:6.1f} s  {what}{more and ': '}{more}", flush=True)


@dataclass(frozen=True)
class Look:
    """An Application, its Canary and what that moves at one moment."""

    application: Object
    canary: Object
    candidates: frozenset[str]
    """UIDs of the pods of candidates."""
    weight: int
    """What the route gives to the candidate."""

    def synced_at(self, commit: Commit) -> bool:
        """Whether the commit is applied and nothing differs from it."""
        status = self.application
        sync, operation = status.get("sync") or {}, status.get("operationState") or {}
        applied = (operation.get("syncResult") or {}).get("revision"), operation.get("phase")
        return (sync.get("status"), sync.get("revision"), *applied) == ("Synced", commit.id, commit.id, "Succeeded")

    @property
    def health(self) -> str:
        """That of the Application."""
        return str((self.application.get("health") or {}).get("status", ""))

    @property
    def reason(self) -> str:
        """What Argo CD says of the Canary."""
        rows = self.application.get("resources") or []
        return next((str((row.get("health") or {}).get("message", "")) for row in rows if row["kind"] == "Canary"), "")

    @property
    def phase(self) -> str:
        """That of the Canary."""
        return str(self.canary.get("phase", ""))

    def is_later_than(self, before: "Look") -> bool:
        """Whether a rollout has begun since."""
        return int(self.canary.get("round") or 0) > int(before.canary.get("round") or 0)

    def ended_after(self, before: "Look") -> bool:
        """Whether a rollout has begun since, and is over."""
        return self.is_later_than(before) and self.phase in ("Stable", "Failed")

    def is_well(self, commit: Commit) -> bool:
        """Whether the commit is applied, runs, and Argo CD says so."""
        return self.synced_at(commit) and self.health == "Healthy" and self.phase == "Stable"


def main() -> int:
    """Exit code 0 when every commit led to what it should."""
    try:
        _clean_up()
        try:
            with tempfile.TemporaryDirectory() as folder:
                lines = demo_gitops(Repository(NAME, Path(folder)))
        finally:
            if not os.environ.get("KEEP"):
                _heading("clean up")
                _clean_up()
    except (DemoError, demo.DemoError) as error:
        print(f"demo-gitops: {error}", file=sys.stderr)
        return 1
    print("\ndemo-gitops: by commits alone:\n" + "\n".join(f"  {line}" for line in lines))
    return 0


def demo_gitops(repository: Repository) -> list[str]:
    """What became of each commit, a line for each. Raises DemoError."""
    lines = [_flights(repository)]
    _heading(f"examples/pricing with its Canary is committed, for the Application {PRICING}")
    nothing = Look({}, {}, frozenset(), 0)
    first = repository.commit("Add the pricing service with its Canary", "pricing", _pricing("good", drain="5"))
    _deploy(PRICING, repository.url, "pricing")
    _follow(first, nothing, lambda look: look.is_well(first), "Healthy")
    url = demo_canary.gateway(HOST)
    lines.append(_good(repository, url))
    return [*lines, *_failing(repository, url)]


def _flights(repository: Repository) -> str:
    _heading(f"examples/flights is committed, for the Application {FLIGHTS}")
    image = demo.images()[demo.IMAGE]
    commit = repository.commit("Add the flights pipeline", "flights", demo.manifests(image))
    _deploy(FLIGHTS, repository.url, "flights")
    _until("the pipeline is Synced", lambda: _look(FLIGHTS).synced_at(commit))
    commit.note("Synced")
    run = f"flights-{uuid.uuid4().hex[:5]}"
    _sluice(FLIGHTS, "run", demo.PIPELINE, "--day", DAY, "--name", run)

    def ended() -> str:
        phase = (_get(FLIGHTS, "pipelinerun", run).get("status") or {}).get("phase", "")
        return phase if phase in ("Succeeded", "Failed", "Cancelled") else ""

    phase = _until("the run ends", ended)
    commit.note(f"the run for {DAY}", phase)
    if phase != "Succeeded":
        raise DemoError(f"run {run} did not succeed: {_sluice(FLIGHTS, 'logs', run)}")
    return f"the flights pipeline: Synced after {_times(commit, 'Synced')}; its run for {DAY} Succeeded"


def _good(repository: Repository, url: str) -> str:
    _heading("a good version is committed")
    before = _look(PRICING)
    with Clients(url, HOST) as clients:
        commit = repository.commit("Release the good version", "pricing", _pricing("good", drain="6"))
        ended = _follow(commit, before, lambda look: look.ended_after(before), "the rollout is over")
        if ended.canary.get("reason") == "Promoted":
            commit.note("promoted")
            ended = _follow(commit, before, lambda look: look.is_well(commit), "Healthy")
    requests, failed = clients.met()["all"]
    print(f"{requests} requests, {failed} failed")
    if ended.canary.get("reason") != "Promoted" or failed:
        why = f"{ended.canary.get('reason')}: {ended.canary.get('message', '')}"
        raise DemoError(f"the good version: {why}; {failed} of {requests} requests failed")
    return (
        f"a good version: Synced after {_times(commit, 'Synced')}, first pod of the candidate after "
        f"{_times(commit, POD)}, promoted after {_times(commit, 'promoted')}; 0 of {requests} requests failed"
    )


def _failing(repository: Repository, url: str) -> list[str]:
    _heading("a failing version is committed")
    before = _look(PRICING)
    with Clients(url, HOST) as clients:
        commit = repository.commit("Release the failing version", "pricing", _pricing("failing", drain="6"))
        why: list[str] = []

        def taken_back(look: Look) -> bool:
            if look.health == "Degraded":
                commit.note("Degraded", look.reason)
                why.append(look.reason)
            if look.canary.get("writeBack", {}).get("state") == "Pushed":
                commit.note(REVERTED)
            return {"Degraded", BACK, REVERTED} <= commit.times.keys()

        rolled_back = _follow(commit, before, taken_back, REVERTED)
        revert = _until("the operator's revert", repository.pull)
        restored = _follow(revert, rolled_back, lambda look: look.is_well(revert), "Healthy")
        commit.note("Healthy again")
    _require_ours(repository, commit, revert, restored)
    met = clients.met()
    (requests, failed), (seen, wrong) = met["all"], met.get("failing", (0, 0))
    print(f"{requests} requests, {seen} met the failing version, {failed} failed")
    if failed != wrong:
        raise DemoError(f"{failed - wrong} requests failed that did not meet the failing version; all: {met}")
    return [
        f"a failing version: Synced after {_times(commit, 'Synced')}, first pod of the candidate after "
        f"{_times(commit, POD)}, rolled back after {_times(commit, BACK)}; {seen} of {requests} requests met it, "
        f"{failed} failed; Degraded: {why[0]}",
        f"its revert, {revert.id[:8]} by the operator: in Git after {_times(commit, REVERTED)}, Synced "
        f"{_times(revert, 'Synced')} later; Healthy again {_times(commit, 'Healthy again')} after the failing commit",
    ]


def _require_ours(repository: Repository, failing: "Commit", revert: "Commit", seen: Look) -> None:
    """The revert is the operator's: its trailers and the Canary say so, and it leaves what was there before. Raises DemoError."""
    written = seen.canary.get("writeBack") or {}
    if (written.get("state"), written.get("commit")) != ("Pushed", revert.id):
        raise DemoError(f"the Canary should say that {revert.id[:8]} was pushed: {written}")
    trailers = repository.git("log", "-1", "--format=%(trailers)")
    print("\n".join(f"          {line}" for line in trailers.splitlines()))
    if f"Sluice-Reverts: {failing.id}" not in trailers or "Signed-off-by: " not in trailers:
        raise DemoError(f"{revert.id[:8]} should have the trailers of a revert: {trailers}")
    if repository.git("diff", f"{failing.id}~", revert.id):
        raise DemoError(f"{revert.id[:8]} is not the state before {failing.id[:8]}")


# -- what is committed and applied ------------------------------------------------------------------------------------


def _pricing(version: str, *, drain: str) -> list[Object]:
    """The example as it is kept in Git with Argo CD: its route names both backends, and states defaults (docs/gitops.md)."""
    documents = demo_canary.manifests(version, HOST, drain)
    for document in documents:
        if document["kind"] == "Canary":
            document["spec"]["writeBack"] = {"branch": "main", "onRollback": "Revert"}
        if document["kind"] == "HTTPRoute":
            gateway = {"group": "gateway.networking.k8s.io", "kind": "Gateway"}
            document["spec"]["parentRefs"] = [{**gateway, **parent} for parent in document["spec"]["parentRefs"]]
            (rule,) = document["spec"]["rules"]
            (stable,) = rule["backendRefs"]
            kind = {"group": "", "kind": "Service"}
            rule["matches"] = [{"path": {"type": "PathPrefix", "value": "/"}}]
            rule["backendRefs"] = [
                {**kind, **stable, "weight": 100},
                {**kind, **stable, "name": f"{stable['name']}-candidate", "weight": 0},
            ]
    return documents


def _deploy(name: str, url: str, path: str) -> None:
    """A namespace, and an Application of a folder of the repository for it, set up as docs/gitops.md tells."""
    policy = {
        "automated": {"prune": True, "selfHeal": True},
        "syncOptions": ["ServerSideApply=true", "RespectIgnoreDifferences=true"],
        "retry": RETRY,
    }
    application = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {
            "name": name,
            "namespace": argocd.NAMESPACE,
            "finalizers": ["resources-finalizer.argocd.argoproj.io"],
        },
        "spec": {
            "project": "default",
            "source": {"repoURL": url, "targetRevision": "main", "path": path},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": name},
            "syncPolicy": policy,
        },
    }
    _kubectl("create", "namespace", name)
    _kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    _kubectl("apply", "-f", "-", stdin=json.dumps(application))


def _clean_up() -> None:
    """Remove the Applications with what they made, and then the namespaces."""
    gone = ("--ignore-not-found", "--timeout=90s")
    _kubectl("delete", "applications.argoproj.io", FLIGHTS, PRICING, "-n", argocd.NAMESPACE, *gone)
    _kubectl("delete", "namespace", FLIGHTS, PRICING, *gone)


# -- what is seen -----------------------------------------------------------------------------------------------------

POD, BACK = "first pod of the candidate", "weight 0: all requests go to the old version again"
REVERTED = "reverted in Git by the operator"


def _follow(commit: Commit, before: Look, over: Callable[[Look], bool], what: str) -> Look:
    """What is seen once it is over. Notes on the way there when the commit was Synced, had a pod and was taken back.

    `before` is what was seen before the commit.
    """

    def look() -> Look | None:
        seen = _look(PRICING)
        if seen.synced_at(commit):
            commit.note("Synced")
        if seen.candidates - before.candidates:
            commit.note(POD)
        if seen.is_later_than(before) and seen.phase in ("RollingBack", "Failed") and not seen.weight:
            commit.note(BACK)
        return seen if over(seen) else None

    found = _until(f"{PRICING} is {what} after {commit.id[:8]}", look)
    commit.note(what, found.reason)
    return found


def _look(name: str) -> Look:
    application = _get(argocd.NAMESPACE, "applications.argoproj.io", name).get("status") or {}
    api = _api()
    canary = next((row.get("status") or {} for row in api.all_of(name, "canaries")), {})
    pods = [row["metadata"] for row in api.all_of(name, "pods")]
    backends = [row for route in api.all_of(name, "httproutes") for row in route["spec"]["rules"][0]["backendRefs"]]
    return Look(
        application,
        canary,
        frozenset(pod["uid"] for pod in pods if pod["name"].startswith("pricing-candidate-")),
        sum(row.get("weight", 1) for row in backends if row["name"] == "pricing-candidate"),
    )


def _until(what: str, look: Callable[[], Found | None]) -> Found:
    """The first true value. Raises DemoError."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while not (found := look()):
        if time.monotonic() > deadline:
            raise DemoError(f"not within {LIMIT_SECONDS:g} s: {what}")
        time.sleep(0.1)
    return found


def _times(commit: Commit, what: str) -> str:
    if what not in commit.times:
        raise DemoError(f"{commit.id[:8]}: never seen: {what}")
    return f"{commit.times[what]:.1f} s"


def _get(namespace: str, kind: str, name: str) -> Object:
    return _api().get(namespace, kind, name)


def _api() -> Api:
    return api_of(Path(os.environ["KUBECONFIG"]))


def _heading(text: str) -> None:
    print(f"\n== {text}", flush=True)


def _sluice(namespace: str, *arguments: str) -> str:
    return _run(sys.executable, "-m", "sluice.cli.main", "--namespace", namespace, *arguments)


def _kubectl(*arguments: str, stdin: str | None = None) -> str:
    return _run("kubectl", *arguments, stdin=stdin)


def _run(*command: str, stdin: str | None = None) -> str:
    env = {**os.environ, "PYTHONPATH": str(demo.ROOT / "operator")}
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, env=env, cwd=demo.ROOT, timeout=150, check=False
    )
    if done.returncode:
        raise DemoError(f"{' '.join(command[:6])}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
