"""The cluster that is made of Kubernetes' own programs, as processes of this machine: one node, for machines without a
Docker engine or a registry.

One binary holds the Kubernetes programs (see components/kubernetes); containerd, runc and the CNI plugins are Debian's.
Everything it has lies in the cluster's folder, except what `footprint.py` and `network.py` note and undo.

Version 1.35, since Debian's containerd 1.6 is too old for 1.36. etcd 3.6, since the watch-lists of newer clients
need its progress requests.
"""

from __future__ import annotations

import http
import json
import os
import shutil
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from string import Template

from dev.cluster import network, packages, ports, progress, state, storage
from dev.cluster.cgroups import PodsCgroup
from dev.cluster.cluster import Archive, load_missing
from dev.cluster.commands import run, wait_until
from dev.cluster.containerd import Containerd
from dev.cluster.errors import ClusterError
from dev.cluster.footprint import Footprint
from dev.cluster.kubectl import Kubectl
from dev.cluster.pki import Authority, Identity
from dev.cluster.processes import Processes
from dev.cluster.settings import Settings
from dev.cluster.small_images import SmallImages
from dev.cluster.tools import Toolbox

NODE = "sluice"
TOOLS = ("kubernetes", "etcd", "pause", "coredns")

_COREDNS = Path(__file__).parent / "manifests" / "coredns.yaml"
_IDENTITIES = (
    Identity("etcd", "etcd", names=("DNS:localhost", "IP:127.0.0.1")),
    Identity("etcd-client", "kube-apiserver"),
    Identity(
        "apiserver",
        "kube-apiserver",
        names=(
            *(f"DNS:{name}" for name in ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")),
            "DNS:kubernetes.default.svc.cluster.local",
            *(f"IP:{address}" for address in ("127.0.0.1", network.API_ADDRESS, network.NODE_ADDRESS)),
        ),
    ),
    Identity("kubelet-client", "apiserver-kubelet-client", ("system:masters",)),
    Identity("front-proxy", "front-proxy"),
    Identity("admin", "admin", ("system:masters",)),
    Identity("controller-manager", "system:kube-controller-manager"),
    Identity("scheduler", "system:kube-scheduler"),
    Identity("proxy", "system:kube-proxy"),
    Identity("kubelet", f"system:node:{NODE}", ("system:nodes",), (f"DNS:{NODE}", f"IP:{network.NODE_ADDRESS}")),
)
_KUBECONFIGS = ("controller-manager", "scheduler", "proxy", "kubelet")
_PATIENCE = 3.0


class LocalCluster:
    """One node, from Go modules."""

    name = "local"

    def __init__(self, settings: Settings, toolbox: Toolbox, processes: Processes) -> None:
        self._folder = settings.cluster
        self._cache = settings.cache
        self._ports = settings.ports
        self._logs = settings.logs
        self._toolbox = toolbox
        self._processes = processes
        self._containerd = Containerd(self._folder / "containerd", processes)
        self._cgroup = PodsCgroup(self._folder.name)
        self._authority = Authority(self._folder / "pki")
        self._footprint = Footprint(self._folder / "footprint.json")
        self._small_images = SmallImages(settings.cache, toolbox)
        self.kubeconfig = self._folder / "kubeconfig"
        self._kubectl = Kubectl(lambda: toolbox.path("kubernetes", "kubectl"), self.kubeconfig)

    def up(self) -> None:
        """Bring it up, or keep it up."""
        require_possible()
        if self._after_reboot():
            progress.say("the machine was restarted since: the remains of the old cluster are removed")
            self.down()
            state.clear(self._folder, keep=("lock", "provider"))
        ports.require_free(self._ports, self._processes.pids())
        network.require_alone(self._processes.pids())
        self._toolbox.request(TOOLS)
        packages.ensure(packages.RUNTIME, self._cache / "logs" / "apt.log")
        for tool in ("kubernetes", "etcd"):
            self._toolbox.path(tool)
        with progress.part("prepare the machine: network, cgroup, certificates"):
            self._prepare()
        with ThreadPoolExecutor(1) as runtime:
            images_there = runtime.submit(self._start_runtime)
            with progress.part("start etcd and the API server"):
                self._start_api()
            images_there.result()
        with progress.part("start the node"):
            self._start_node()
        with progress.part("start CoreDNS"):
            self._start_coredns()

    def down(self) -> None:
        """End it, and remove its traces."""
        names = self._processes.names()
        if not (self._folder / "footprint.json").exists() and not names:
            return
        with progress.part("stop Kubernetes"):
            # The kubelet first, so that it brings back nothing while the rest goes. Nothing waits for the API server to
            # close its watches in peace.
            self._processes.stop("kubelet", patience=_PATIENCE)
            self._processes.stop(*(name for name in names if name != "containerd"), patience=_PATIENCE)
        with progress.part("stop the pods and containerd"):
            self._cgroup.end()
            self._processes.stop("containerd")
            self._containerd.end_shims()
            for mount in state.mounts_below(self._folder):
                run(["umount", "--lazy", mount])
        with progress.part("remove network, iptables rules and traces"):
            network.down()
            self._footprint.undo(self._folder)

    def missing(self, references: Iterable[str]) -> set[str]:
        """Which of these images the node lacks."""
        return set(references) - self._containerd.images()

    def load(self, archives: Iterable[Archive]) -> None:
        """Import images on the node."""
        for archive in archives:
            with progress.part(f"load image {archive.reference}"):
                self._containerd.import_archive(archive.path)

    def gather(self, folder: Path) -> None:
        """Copy the logs of its parts, and note the state of the machine."""
        if self._logs.exists():
            shutil.copytree(self._logs, folder / "components", dirs_exist_ok=True)
        (folder / "node.txt").write_text(_machine_state())

    def status(self) -> list[str]:
        """Whether each part runs."""
        return [
            f"{name:20} {'running' if self._processes.alive(name) else 'ENDED'}" for name in self._processes.names()
        ]

    # --- parts of up, in their order

    def _prepare(self) -> None:
        self._footprint.note()
        self._boot_file.write_text(_boot_id())
        for name in ("net/ipv4/ip_forward", "net/bridge/bridge-nf-call-iptables"):
            self._footprint.set(name, "1")
        self._cgroup.make()
        network.up(self._containerd.cni, self._containerd.leases)
        self._authority.issue(_IDENTITIES)
        server = f"https://127.0.0.1:{self._ports.apiserver}"
        for name in _KUBECONFIGS:
            self._authority.kubeconfig(self._folder / f"{name}.kubeconfig", name, server)
        self._authority.kubeconfig(self.kubeconfig, "admin", server)

    def _start_runtime(self) -> None:
        pause, busybox = self._small_images.pause(), self._small_images.busybox()
        self._containerd.start(pause.reference)
        load_missing(self, [pause, busybox])

    def _start_api(self) -> None:
        client = f"https://127.0.0.1:{self._ports.etcd}"
        peer = f"http://127.0.0.1:{self._ports.etcd_peer}"
        pki = self._authority
        self._processes.start(
            "etcd",
            [
                self._toolbox.path("etcd"),
                f"--data-dir={self._folder / 'etcd'}",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
                f"--cert-file={pki.crt('etcd')}",
                f"--key-file={pki.key('etcd')}",
                f"--trusted-ca-file={pki.certificate}",
                "--client-cert-auth",
                "--auto-compaction-retention=10m",
                "--log-level=warn",
            ],
        )
        self._start_component(
            "kube-apiserver",
            [
                f"--etcd-servers={client}",
                f"--etcd-cafile={pki.certificate}",
                f"--etcd-certfile={pki.crt('etcd-client')}",
                f"--etcd-keyfile={pki.key('etcd-client')}",
                f"--secure-port={self._ports.apiserver}",
                f"--advertise-address={network.NODE_ADDRESS}",
                f"--tls-cert-file={pki.crt('apiserver')}",
                f"--tls-private-key-file={pki.key('apiserver')}",
                f"--client-ca-file={pki.certificate}",
                f"--service-account-key-file={self._folder / 'pki' / 'sa.pub'}",
                f"--service-account-signing-key-file={pki.key('sa')}",
                "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
                f"--service-cluster-ip-range={network.SERVICE_RANGE}",
                "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction",
                "--allow-privileged=true",
                f"--kubelet-client-certificate={pki.crt('kubelet-client')}",
                f"--kubelet-client-key={pki.key('kubelet-client')}",
                f"--kubelet-certificate-authority={pki.certificate}",
                "--kubelet-preferred-address-types=InternalIP",
                f"--requestheader-client-ca-file={pki.certificate}",
                "--requestheader-allowed-names=front-proxy",
                "--requestheader-extra-headers-prefix=X-Remote-Extra-",
                "--requestheader-group-headers=X-Remote-Group",
                "--requestheader-username-headers=X-Remote-User",
                f"--proxy-client-cert-file={pki.crt('front-proxy')}",
                f"--proxy-client-key-file={pki.key('front-proxy')}",
                # MutatingAdmissionPolicy, which is beta and off in 1.35, holds Deployments back for canaries.
                "--runtime-config=admissionregistration.k8s.io/v1beta1=true",
                "--feature-gates=MutatingAdmissionPolicy=true",
            ],
        )

        def alive() -> None:
            self._processes.require("etcd")
            self._processes.require("kube-apiserver")

        wait_until("the API server", self._api_ready, timeout=60, alive=alive)

    def _start_node(self) -> None:
        recycler = self._folder / "recycler.yaml"
        recycler.write_text(storage.recycler(self._small_images.busybox().reference))
        clients = ("--kube-api-qps=500", "--kube-api-burst=1000", "--leader-elect=false", "--bind-address=127.0.0.1")
        self._start_component(
            "kube-controller-manager",
            [
                *self._kubeconfig_flags("controller-manager"),
                *clients,
                f"--secure-port={self._ports.controller_manager}",
                f"--service-account-private-key-file={self._authority.key('sa')}",
                f"--root-ca-file={self._authority.certificate}",
                f"--cluster-signing-cert-file={self._authority.certificate}",
                f"--cluster-signing-key-file={self._authority.key_file}",
                "--use-service-account-credentials",
                f"--cluster-cidr={network.POD_RANGE}",
                "--allocate-node-cidrs=false",
                # A busy machine is late with the heartbeats of nodes; no pod is to be called unready for that.
                "--node-monitor-grace-period=10m",
                f"--flex-volume-plugin-dir={self._folder / 'plugins'}",
                f"--pv-recycler-pod-template-filepath-hostpath={recycler}",
            ],
            [recycler],
        )
        self._start_component(
            "kube-scheduler", [*self._kubeconfig_flags("scheduler"), *clients, f"--secure-port={self._ports.scheduler}"]
        )
        config = self._folder / "kubelet.json"
        config.write_text(json.dumps(self._kubelet_configuration(), indent=2))
        self._start_component(
            "kubelet",
            [
                f"--config={config}",
                f"--kubeconfig={self._folder / 'kubelet.kubeconfig'}",
                f"--root-dir={self._folder / 'kubelet'}",
                f"--cert-dir={self._folder / 'kubelet' / 'pki'}",
                f"--hostname-override={NODE}",
                f"--node-ip={network.NODE_ADDRESS}",
            ],
            [config],
        )
        self._start_component(
            "kube-proxy",
            [
                f"--kubeconfig={self._folder / 'proxy.kubeconfig'}",
                f"--hostname-override={NODE}",
                f"--cluster-cidr={network.POD_RANGE}",
                "--proxy-mode=iptables",
                f"--healthz-bind-address=127.0.0.1:{self._ports.proxy_health}",
                f"--metrics-bind-address=127.0.0.1:{self._ports.proxy_metrics}",
                # Node ports open on the bridge only, and the machine's connection tracking stays as it is.
                f"--nodeport-addresses={network.POD_RANGE}",
                "--iptables-localhost-nodeports=false",
                "--iptables-min-sync-period=100ms",
                "--conntrack-max-per-core=0",
                "--conntrack-tcp-timeout-established=0s",
                "--conntrack-tcp-timeout-close-wait=0s",
            ],
        )

        def alive() -> None:
            for name in ("kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"):
                self._processes.require(name)

        wait_until(
            "the node to be Ready", lambda: self._kubectl.condition("Ready", "node", NODE), timeout=60, alive=alive
        )
        self._kubectl.apply(storage.manifests(self._folder / "volumes"))

    def _start_coredns(self) -> None:
        image = self._small_images.coredns()
        load_missing(self, [image])
        resolver = _resolver()
        manifest = Template(_COREDNS.read_text()).substitute(
            image=image.reference, address=network.DNS_ADDRESS, forward="forward . /etc/resolv.conf" if resolver else ""
        )
        self._kubectl.apply(manifest)
        self._kubectl.wait("CoreDNS to be available", "Available", "deployment", "coredns", "--namespace=kube-system")

    # --- details

    @property
    def _boot_file(self) -> Path:
        return self._folder / "boot"

    def _after_reboot(self) -> bool:
        return self._boot_file.exists() and self._boot_file.read_text() != _boot_id()

    def _start_component(self, name: str, flags: list[str], reads: Iterable[Path] = ()) -> None:
        self._processes.start(name, [self._toolbox.path("kubernetes", name), *flags], reads=reads)

    def _kubeconfig_flags(self, name: str) -> list[str]:
        file = self._folder / f"{name}.kubeconfig"
        return [f"--{purpose}kubeconfig={file}" for purpose in ("", "authentication-", "authorization-")]

    def _api_ready(self) -> bool:
        trust = ssl.create_default_context(cafile=str(self._authority.certificate))
        try:
            with urllib.request.urlopen(
                f"https://127.0.0.1:{self._ports.apiserver}/readyz", timeout=5, context=trust
            ) as answer:
                return bool(answer.status == http.HTTPStatus.OK)
        except (urllib.error.URLError, OSError):
            return False

    def _kubelet_configuration(self) -> dict[str, object]:
        resolver = _resolver()
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": network.NODE_ADDRESS,
            "port": self._ports.kubelet,
            "healthzPort": self._ports.kubelet_health,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(self._authority.certificate)},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(self._authority.crt("kubelet")),
            "tlsPrivateKeyFile": str(self._authority.key("kubelet")),
            "containerRuntimeEndpoint": f"unix://{self._containerd.socket}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self._cgroup.name}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "clusterDNS": [network.DNS_ADDRESS],
            "clusterDomain": "cluster.local",
            "resolvConf": str(resolver) if resolver else "",
            "podLogsDir": str(self._folder / "pods"),
            "volumePluginDir": str(self._folder / "plugins"),
            "makeIPTablesUtilChains": False,
            "maxPods": 250,
            "serializeImagePulls": False,
            "kubeAPIQPS": 200,
            "kubeAPIBurst": 400,
            "eventRecordQPS": 0,
            # The images were imported and cannot be pulled again, and the disk is not ours alone: nothing is thrown
            # away or evicted for want of space.
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        }


def require_possible() -> None:
    """Raise ClusterError, with what else there is, where this cannot work at all."""
    if sys.platform != "linux":
        raise ClusterError(
            "without kind or a cluster in SLUICE_KUBECONFIG a Linux machine is needed: "
            "start Docker, or name a kubeconfig"
        )
    if os.geteuid() != 0:
        raise ClusterError(
            "a cluster of this machine's own processes needs root: use sudo, or start Docker for kind, "
            "or name a cluster in SLUICE_KUBECONFIG"
        )


def _resolver() -> Path | None:
    """The machine's resolv.conf that names a server which pods can reach: none on the loopback interface."""
    for file in (Path("/run/systemd/resolve/resolv.conf"), Path("/etc/resolv.conf")):
        if file.exists():
            servers = [
                words[1]
                for line in file.read_text().splitlines()
                if (words := line.split())[:1] == ["nameserver"] and len(words) > 1
            ]
            if servers and not any(server.startswith("127.") or server == "::1" for server in servers):
                return file
    return None


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _machine_state() -> str:
    """What one wants to know of the machine when a pod does not start."""
    text = []
    for argv in (
        ["free", "-m"],
        ["df", "-h"],
        ["ip", "address"],
        ["iptables-save"],
        ["ps", "-eo", "pid,ppid,stat,etime,pcpu,rss,args"],
    ):
        try:
            text.append(f"$ {' '.join(argv)}\n{run(argv)}")
        except ClusterError as error:
            text.append(str(error))
    return "\n".join(text)
