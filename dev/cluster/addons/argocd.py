"""argocd: a real Argo CD as processes of this machine, with a Git server that tells it of each push.

The controllers, the repo-server, the API server and Debian's Redis listen on loopback only, the Git server on the
bridge of a local cluster, which nothing but this machine reaches. They reach the cluster by its kubeconfig. Applications name it
as `https://kubernetes.default.svc`, as they do everywhere, and lie in the namespace `argocd`. It is configured by this
checkout's argocd/argocd-cm.yaml.

    Git       push to `git_url(settings)/NAME.git`; the first push makes the repository. On a local cluster pods reach it too
    API       `http://127.0.0.1:PORT`, without a web UI
    accounts  `admin`, and `viewer`, which may run no action; `password(settings, ACCOUNT)`

What is left out: notifications, Dex.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dev.cluster import network, packages, progress
from dev.cluster.addons.context import Context
from dev.cluster.commands import run, wait_until
from dev.cluster.errors import ClusterError
from dev.cluster.kubectl import Kubectl
from dev.cluster.settings import CHECKOUT, Settings
from dev.cluster.tools import TOOLS

NAMESPACE = "argocd"
ACCOUNTS = ("admin", "viewer")
_MANIFEST = Path(__file__).with_name("argocd.yaml")
_GIT_SERVER = Path(__file__).with_name("git_server.py")
_GIT_HOOK = Path(__file__).with_name("git_hook.py")
_CONFIG = CHECKOUT / "argocd" / "argocd-cm.yaml"
_CRDS = ("application-crd.yaml", "applicationset-crd.yaml", "appproject-crd.yaml")
_MODULE = "github.com/argoproj/argo-cd/v3"
_PARTS = (
    *("argocd-redis", "argocd-repo-server", "argocd-application-controller", "argocd-applicationset-controller"),
    *("argocd-server", "argocd-git"),
)
_DOWNLOAD_SECONDS = 300
_SECONDS = 90
_EXCLUDED = [
    {"apiGroups": ["", "discovery.k8s.io"], "kinds": ["Endpoints", "EndpointSlice"]},
    {"apiGroups": ["coordination.k8s.io"], "kinds": ["Lease"]},
]
"""Kinds that it does not watch, the first ones of its own installation: they change all the time and nobody applies them."""


def url(settings: Settings) -> str:
    """Where its API is."""
    return f"http://127.0.0.1:{settings.ports.argocd}"


def git_url(settings: Settings) -> str:
    """What the URLs of repositories begin with: add `/NAME.git`. Raises ClusterError where the add-on is not up."""
    return f"http://{_kept(_home(settings) / 'git-address')}:{settings.ports.argocd_git}"


def git_folder(settings: Settings) -> Path:
    """Where the bare repositories are, as `NAME.git`."""
    return _home(settings) / "git"


def git_password(settings: Settings) -> str:
    """The password of the user `git` for repositories `private-NAME`. Raises ClusterError where the add-on is not up."""
    return _kept(_git_password_file(settings))


def password(settings: Settings, account: str) -> str:
    """The password of one of ACCOUNTS. Raises ClusterError where the add-on is not up."""
    return _kept(_password_file(settings, account))


def up(context: Context) -> None:
    """Install the CRDs, start the processes, and see to it that the accounts can log in."""
    packages.ensure(packages.ARGOCD, context.settings.cache / "logs" / "apt.log")
    _require_own(context.kubectl)
    with progress.part("install the CRDs and the settings of Argo CD"):
        _install(context.kubectl)
    with progress.part("start Argo CD and its Git server"):
        _start(context)
        wait_until("Argo CD's API", lambda: _answers(context.settings), timeout=_SECONDS, alive=lambda: _alive(context))
        _accounts(context)


def _require_own(kubectl: Kubectl) -> None:
    """Refuse to run beside an Argo CD that lives in the cluster: both would act on the same Applications."""
    words = ("deployments,statefulsets", f"--namespace={NAMESPACE}", "--selector=app.kubernetes.io/part-of=argocd")
    if found := kubectl.get(*words)["items"]:
        raise ClusterError(
            f"this cluster has an Argo CD of its own ({found[0]['kind']} {found[0]['metadata']['name']} in the namespace "
            f"{NAMESPACE}), and the add-on argocd brings one: use a cluster without"
        )


def _install(kubectl: Kubectl) -> None:
    folder = _module() / "manifests" / "crds"
    for name in _CRDS:
        kubectl.apply(folder / name)
    for name in _CRDS:
        kubectl.wait(f"{name} to be established", "Established", f"--filename={folder / name}")
    kubectl.apply(_MANIFEST)
    kubectl.apply(_CONFIG)
    more = {"accounts.viewer": "login", "resource.exclusions": json.dumps(_EXCLUDED)}
    kubectl(
        *("patch", "configmap", "argocd-cm", f"--namespace={NAMESPACE}", "--type=merge"),
        *("--patch", json.dumps({"data": more})),
    )


def _module() -> Path:
    """The folder of the module that Argo CD is built from, fetched if need be."""
    command = ["go", "mod", "download", "-json", _MODULE]
    described = run(command, cwd=TOOLS["argocd"].folder, env={"GOWORK": "off"}, timeout=_DOWNLOAD_SECONDS)
    return Path(json.loads(described)["Dir"])


def _start(context: Context) -> None:
    settings, start = context.settings, context.processes.start
    home = _home(settings)
    home.mkdir(mode=0o700, exist_ok=True)
    for name in ("tls", "ssh", "gpg", "tmp", "redis"):
        (home / name).mkdir(exist_ok=True)
    redis = shutil.which("redis-server", path=packages.search_path())
    if redis is None:
        raise ClusterError("redis-server is not installed (no such program on the PATH)")
    start(
        "argocd-redis",
        [
            *(redis, "--bind", "127.0.0.1", "--port", str(settings.ports.argocd_redis), "--dir", home / "redis"),
            *("--save", "", "--appendonly", "no", "--daemonize", "no"),
        ],
    )
    kubeconfig = context.cluster.kubeconfig
    program = context.toolbox.path("argocd")
    programs = [program.parent, context.toolbox.path("kustomize").parent]
    environment = _environment(home, kubeconfig, programs)
    for name, flags in _flags(settings).items():
        # One program, which does what the name it is called by says.
        start(name, [program, *flags], env={**environment, "ARGOCD_BINARY_NAME": name}, reads=[kubeconfig])
    _start_git_server(context)


def _environment(home: Path, kubeconfig: Path, programs: Sequence[Path]) -> dict[str, str]:
    return {
        "KUBECONFIG": str(kubeconfig),
        "ARGOCD_FAKE_IN_CLUSTER": "true",
        "ARGOCD_GPG_ENABLED": "false",
        "ARGOCD_TLS_DATA_PATH": str(home / "tls"),
        "ARGOCD_SSH_DATA_PATH": str(home / "ssh"),
        "ARGOCD_GNUPGHOME": str(home / "gpg"),
        # Git asks the program `argocd` for a user and a password, and that asks the server that it works for here. Overlays are
        # built by `kustomize`.
        "PATH": os.pathsep.join((*map(str, programs), packages.search_path())),
        "ARGOCD_ASK_PASS_SOCK": str(home / "tmp" / "ask-pass.sock"),
        # A commit is told by the webhook. This is how soon it is found when that fails.
        "ARGOCD_RECONCILIATION_TIMEOUT": "30s",
        "ARGOCD_RECONCILIATION_JITTER": "0s",
        "GOMEMLIMIT": "250MiB",
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
    }


def _flags(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Of each program of Argo CD."""
    ports = settings.ports
    common = ("--loglevel=warn", "--logformat=text", f"--redis=127.0.0.1:{ports.argocd_redis}")
    client = (*common, f"--repo-server=127.0.0.1:{ports.argocd_repo}", "--repo-server-plaintext")
    return {
        "argocd-repo-server": (
            *common,
            "--disable-tls",
            "--address=127.0.0.1",
            f"--port={ports.argocd_repo}",
            "--metrics-address=127.0.0.1",
            f"--metrics-port={ports.argocd_repo_metrics}",
        ),
        "argocd-application-controller": (
            *client,
            f"--namespace={NAMESPACE}",
            f"--metrics-port={ports.argocd_controller_metrics}",
            # Without it the health of single objects is not in the status of an Application.
            "--persist-resource-health",
            "--status-processors=4",
            "--operation-processors=4",
            # Drift is put right within a second; by default after 2 s, and ever later.
            "--self-heal-backoff-timeout-seconds=1",
            "--self-heal-backoff-factor=1",
            "--self-heal-backoff-cap-seconds=1",
        ),
        "argocd-applicationset-controller": (
            *("--loglevel=warn", "--logformat=text", f"--namespace={NAMESPACE}"),
            f"--argocd-repo-server=127.0.0.1:{ports.argocd_repo}",
            "--repo-server-plaintext",
            f"--metrics-addr=127.0.0.1:{ports.argocd_sets_metrics}",
            f"--probe-addr=127.0.0.1:{ports.argocd_sets_probe}",
            f"--webhook-addr=127.0.0.1:{ports.argocd_sets_webhook}",
        ),
        "argocd-server": (
            *client,
            f"--namespace={NAMESPACE}",
            "--insecure",
            "--address=127.0.0.1",
            f"--port={ports.argocd}",
            "--metrics-address=127.0.0.1",
            f"--metrics-port={ports.argocd_metrics}",
            f"--staticassets={_home(settings) / 'tmp'}",
        ),
    }


def _start_git_server(context: Context) -> None:
    settings = context.settings
    address = network.NODE_ADDRESS if context.cluster.name == "local" else "127.0.0.1"
    (_home(settings) / "git-address").write_text(address)
    if not _git_password_file(settings).exists():
        _write_secret(_git_password_file(settings), secrets.token_urlsafe(24))
    context.processes.start(
        "argocd-git",
        [
            *(sys.executable, _GIT_SERVER, address, str(settings.ports.argocd_git), git_folder(settings)),
            f"{url(settings)}/api/webhook,http://127.0.0.1:{settings.ports.argocd_sets_webhook}/api/webhook",
            _git_password_file(settings),
        ],
        reads=[_GIT_SERVER, _GIT_HOOK],
    )


def _alive(context: Context) -> None:
    for name in _PARTS:
        context.processes.require(name)


def _answers(settings: Settings) -> bool:
    try:
        with urllib.request.urlopen(f"{url(settings)}/healthz?full=true", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


# -- accounts ---------------------------------------------------------------------------------------------------------


def log_in(settings: Settings, account: str) -> str:
    """A token for the API, good for a day. Raises ClusterError when it is refused."""
    asked = {"username": account, "password": password(settings, account)}
    return str(_ask(settings, "POST", "/api/v1/session", asked)["token"])


def _accounts(context: Context) -> None:
    """Passwords that only this cluster's folder knows: that of `admin` is made by Argo CD, that of `viewer` here."""
    settings = context.settings
    if not _password_file(settings, "admin").exists():
        words = ("secret", "argocd-initial-admin-secret", f"--namespace={NAMESPACE}")
        _keep(settings, "admin", base64.b64decode(context.kubectl.get(*words)["data"]["password"]).decode())
    token = log_in(settings, "admin")
    if _password_file(settings, "viewer").exists():
        return
    chosen = secrets.token_urlsafe(24)
    asked = {"name": "viewer", "newPassword": chosen, "currentPassword": password(settings, "admin")}
    _ask(settings, "PUT", "/api/v1/account/password", asked, token)
    _keep(settings, "viewer", chosen)


def _ask(settings: Settings, method: str, path: str, body: dict[str, Any], token: str = "") -> dict[str, Any]:
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    request = urllib.request.Request(f"{url(settings)}{path}", json.dumps(body).encode(), headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            found: dict[str, Any] = json.loads(answer.read())
            return found
    except urllib.error.HTTPError as error:
        raise ClusterError(f"Argo CD refuses {method} {path}: {error.code} {error.read().decode()[:300]}") from error
    except (urllib.error.URLError, OSError) as error:
        raise ClusterError(f"Argo CD does not answer {method} {path}: {error}") from error


def _keep(settings: Settings, account: str, text: str) -> None:
    _write_secret(_password_file(settings, account), text)


def _write_secret(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.write_text(text)


def _kept(file: Path) -> str:
    if not file.exists():
        raise ClusterError("the add-on argocd is not up: run `python3 -m dev.cluster up --addons argocd`")
    return file.read_text()


def _git_password_file(settings: Settings) -> Path:
    return _home(settings) / "git-password"


def _password_file(settings: Settings, account: str) -> Path:
    return _home(settings) / f"password-{account}"


def _home(settings: Settings) -> Path:
    return settings.cluster / "argocd"
