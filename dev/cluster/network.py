"""The local cluster's network: a bridge, three iptables chains of its own, and the removal of everything the cluster
put there.

Pods and Services have addresses from 198.18.0.0/15, which is reserved for benchmarks and so meets no real network.
The node's own address is the bridge's: it does not change when the machine's address does, and nothing but the
machine itself can reach it. Masquerading is done by one rule here and not by the CNI plugin, which makes rules for
each pod that stay behind when a pod's end is not seen.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Sequence
from itertools import pairwise
from pathlib import Path

from dev.cluster.commands import run, succeeds
from dev.cluster.errors import ClusterError
from dev.cluster.processes import all_pids, command_line

BRIDGE = "sluice0"
POD_RANGE = "198.18.0.0/16"
SERVICE_RANGE = "198.19.0.0/16"
NODE_ADDRESS = "198.18.0.1"
API_ADDRESS = "198.19.0.1"
DNS_ADDRESS = "198.19.0.10"

_SHOW_BRIDGE = ("ip", "link", "show", "dev", BRIDGE)
_CNI_NAME = "sluice"
_CNI_NOTES = Path("/var/lib/cni/results")
_OWN = "SLUICE-"
# kube-proxy's chains. One kube-proxy to a machine: two would overwrite each other's rules.
_PROXY = "KUBE-"
_RULES = {
    "filter": (
        ("FORWARD", "SLUICE-FORWARD", (f"-s {POD_RANGE} -j ACCEPT", f"-d {POD_RANGE} -j ACCEPT")),
        ("INPUT", "SLUICE-INPUT", (f"-i {BRIDGE} -s {POD_RANGE} -j ACCEPT",)),
    ),
    "nat": (("POSTROUTING", "SLUICE-POSTROUTING", (f"-s {POD_RANGE} ! -d {POD_RANGE} ! -o {BRIDGE} -j MASQUERADE",)),),
}


def require_alone(ours: Collection[int]) -> None:
    """Raise ClusterError if another kube-proxy than ours runs on this machine."""
    for pid in all_pids():
        words = command_line(pid)
        if pid not in ours and words and Path(words[0]).name == "kube-proxy":
            raise ClusterError(
                f"process {pid} is a kube-proxy: another Kubernetes runs on this machine, and two would overwrite each "
                "other's iptables rules. Use it (SLUICE_KUBECONFIG), or stop it"
            )


def up(cni: Path, leases: Path) -> None:
    """Make the bridge and the rules, and write the CNI configuration to the folder `cni`."""
    if not succeeds(_SHOW_BRIDGE):
        run(["ip", "link", "add", BRIDGE, "type", "bridge"])
    run(["ip", "address", "replace", f"{NODE_ADDRESS}/16", "dev", BRIDGE])
    run(["ip", "link", "set", BRIDGE, "up"])
    for table, hooks in _RULES.items():
        for hook, chain, rules in hooks:
            run(
                ["iptables-restore", "-w", "--noflush"],
                stdin=_script(table, [f":{chain} - [0:0]", *(f"-A {chain} {rule}" for rule in rules)]),
            )
            if not succeeds(["iptables", "-w", "-t", table, "-C", hook, "-j", chain]):
                run(["iptables", "-w", "-t", table, "-I", hook, "-j", chain])
    cni.mkdir(parents=True, exist_ok=True)
    plugin = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": str(leases),
            "ranges": [[{"subnet": POD_RANGE}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    (cni / "10-sluice.conflist").write_text(
        json.dumps({"cniVersion": "0.4.0", "name": _CNI_NAME, "plugins": [plugin]}, indent=2)
    )


def down() -> None:
    """Remove the bridge, our chains and kube-proxy's, and the CNI library's notes. What is gone already is no error."""
    for family in ("iptables", "ip6tables"):
        for table in ("filter", "nat", "mangle"):
            _remove_chains(family, table)
    if succeeds(_SHOW_BRIDGE):
        run(["ip", "link", "delete", BRIDGE])
    # They are named NETWORK-CONTAINER-INTERFACE. The loopback network is any containerd's: the container tells whose.
    for note in _CNI_NOTES.glob(f"{_CNI_NAME}-*-eth0"):
        container = note.name.split("-")[1]
        for ours in _CNI_NOTES.glob(f"*-{container}-*"):
            ours.unlink()


def removal(rules: Sequence[str]) -> list[str]:
    """Give the lines for iptables-restore that take our chains and kube-proxy's out of a table, and the rules that lead
    to them. `rules` lists the table as `iptables -S` does."""
    words = [shlex.split(rule) for rule in rules]
    chains = [rule[1] for rule in words if rule[0] == "-N" and rule[1].startswith((_OWN, _PROXY))]
    leading = [
        f"-D{line[2:]}"
        for line, rule in zip(rules, words, strict=True)
        if rule[0] == "-A" and rule[1] not in chains and any(pair in _jumps(chains) for pair in pairwise(rule))
    ]
    return [*leading, *(f"-F {chain}" for chain in chains), *(f"-X {chain}" for chain in chains)]


def _jumps(chains: Sequence[str]) -> set[tuple[str, str]]:
    return {(flag, chain) for flag in ("-j", "-g") for chain in chains}


def _remove_chains(family: str, table: str) -> None:
    """Take our part out of one table, in one transaction."""
    listing = [family, "-w", "-t", table, "-S"]
    if not succeeds(listing):
        return  # no such table in this kernel
    if lines := removal(run(listing).splitlines()):
        run([f"{family}-restore", "-w", "--noflush"], stdin=_script(table, lines))


def _script(table: str, lines: Sequence[str]) -> str:
    return "\n".join((f"*{table}", *lines, "COMMIT", ""))
