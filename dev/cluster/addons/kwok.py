"""kwok: a node that only pretends, for thousands of pods. Their phases come and go as the stages in kwok.yaml say;
nothing runs.

Pods go there by `nodeSelector: {type: kwok}` and a toleration of the taint `kwok.x-k8s.io/node=fake:NoSchedule`.
"""

from __future__ import annotations

from pathlib import Path

from dev.cluster import progress
from dev.cluster.addons.context import Context
from dev.cluster.commands import wait_until

NODE = "kwok"
_STAGES = Path(__file__).parent / "kwok-stages.yaml"
_NODE_MANIFEST = Path(__file__).parent / "kwok-node.yaml"


def up(context: Context) -> None:
    """Start kwok as a process of this machine, and give it its node."""
    with progress.part("start kwok and its node"):
        context.kubectl.apply(_NODE_MANIFEST)
        context.processes.start(
            "kwok",
            [
                context.toolbox.path("kwok"),
                f"--kubeconfig={context.cluster.kubeconfig}",
                "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
                f"--server-address=127.0.0.1:{context.settings.ports.kwok}",
                f"--config={_STAGES}",
            ],
            reads=[_STAGES, context.cluster.kubeconfig],
        )
        wait_until(
            "kwok's node to be Ready",
            lambda: context.kubectl.condition("Ready", "node", NODE),
            timeout=60,
            alive=lambda: context.processes.require("kwok"),
        )
