"""Hooks that are Jobs, on the real API server with real containers."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from sluice.api import names
from sluice.api.canary import Hook
from sluice.kube.client import KubeClient
from sluice.kube.clock import SystemClock
from sluice.kube.resources import CANARIES, JOBS
from sluice.planning.canary_actions import RunHook
from sluice.planning.canary_scene import HookResult
from sluice.reconcile.hooks import Hooks
from tests.cluster.kit import BUSYBOX, Manifest, Namespace

RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}
CANARY = {
    "apiVersion": names.API_VERSION,
    "kind": CANARIES.kind,
    "metadata": {"name": "pricing"},
    "spec": {
        "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "absent"},
        "routing": {"replicas": {}},
        "canary": {"steps": [{"weight": 5}]},
        "approval": {"promotion": "Manual"},
    },
}
"""The owner of the Jobs. It has no target, so that nothing comes of it."""
ENDLESS = "trap 'exit 143' TERM; while :; do sleep 0.2; done"


def template(script: str, **container: Any) -> Manifest:
    """spec.template of a Job that runs a shell script."""
    row = {"name": "smoke", "image": BUSYBOX, "command": ["sh", "-ec", script], "securityContext": RESTRICTED}
    return {"spec": {"terminationGracePeriodSeconds": 1, "containers": [{**row, **container}]}}


@dataclass
class World:
    """Hooks of the Canary `pricing` in a namespace."""

    namespace: Namespace
    client: KubeClient
    uid: str
    heard: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    made: list[Hooks] = field(default_factory=list)

    @property
    def key(self) -> str:
        return f"{self.uid}/1/BeforeRollout/smoke"

    @property
    def name(self) -> str:
        """Name of the Job of the first attempt."""
        return names.hook_job_name("pricing", "smoke", self.key, 1)

    def start(self, job: Manifest, seconds: float = 120) -> Hooks:
        """Call the hook, as an operator does that has just been started."""
        hooks = Hooks(self.client, SystemClock(), called=lambda _namespace, name: self.heard.put_nowait(name))
        self.made.append(hooks)
        hook = Hook.model_validate({"name": "smoke", "at": "BeforeRollout", "job": {"template": job}})
        hooks.start(
            self.namespace.name, "pricing", self.uid, RunHook(hook, self.key, 1, timedelta(seconds=seconds)), {}
        )
        return hooks

    async def ended(self, hooks: Hooks) -> HookResult:
        """The result, once it is told."""
        async with asyncio.timeout(150):
            assert await self.heard.get() == "pricing"
        return hooks.results(self.uid)[self.key]

    async def jobs(self) -> list[Manifest]:
        """The Jobs of the namespace."""
        return (await self.client.list(JOBS, self.namespace.name)).items


@pytest.fixture
async def world(namespace: Namespace) -> AsyncIterator[World]:
    served = namespace.kubectl("get", "crd", f"{CANARIES.plural}.{CANARIES.group}", check=False).returncode == 0
    if served:
        namespace.apply(CANARY)
    # Where the kind is not served, the garbage collector leaves a Job of an owner alone that it cannot look up.
    uid = namespace.get("canaries", "pricing")["metadata"]["uid"] if served else str(uuid.uuid4())
    async with await KubeClient.connect(kubeconfig=str(namespace.kubeconfig)) as client:
        made = World(namespace, client, uid)
        yield made
        for hooks in made.made:
            await hooks.stop()


async def test_a_job_that_succeeds(world: World) -> None:
    result = await world.ended(world.start(template("true")))
    assert result == HookResult(1, "Succeeded", f"Job {world.name} completed")
    (job,) = await world.jobs()
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == ("Canary", "pricing", world.uid, True)
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    assert (job["spec"]["backoffLimit"], job["spec"]["activeDeadlineSeconds"]) == (0, 120)


async def test_a_job_that_fails_is_not_tried_again_by_kubernetes(world: World) -> None:
    result = await world.ended(world.start(template("exit 3")))
    assert result.state == "Failed"
    assert result.message.startswith(f"Job {world.name} failed: BackoffLimitExceeded: ")
    (job,) = await world.jobs()
    assert job["status"]["failed"] == 1


async def test_a_job_that_does_not_end_is_gone_after_its_time(world: World) -> None:
    result = await world.ended(world.start(template(ENDLESS), seconds=5))
    assert result.state == "Failed"
    ends = (f"Job {world.name} did not end within 5 s, and was deleted", f"Job {world.name} failed: DeadlineExceeded: ")
    assert result.message.startswith(ends)  # Kubernetes has the same deadline
    await asyncio.to_thread(
        world.namespace.wait_for,
        "the end of the pod",
        lambda: not world.namespace.all_of("pods", f"job-name={world.name}"),
    )


async def test_after_a_restart_the_job_is_found_again(world: World) -> None:
    script = "until [ -e /tmp/go ]; do sleep 0.2; done"
    first = world.start(template(script))
    pod = await asyncio.to_thread(world.namespace.wait_for, "a running container", lambda: running(world))
    await first.stop()
    assert first.results(world.uid)[world.key].state == "Running"
    second = world.start(template(script))
    world.namespace.kubectl("exec", pod, "--", "touch", "/tmp/go")
    assert await world.ended(second) == HookResult(1, "Succeeded", f"Job {world.name} completed")
    assert len(await world.jobs()) == 1
    assert len(world.namespace.all_of("pods")) == 1


def running(world: World) -> str | None:
    """The pod of the Job, once its container runs."""
    pods = world.namespace.all_of("pods", f"job-name={world.name}")
    return next((pod["metadata"]["name"] for pod in pods if pod["status"]["phase"] == "Running"), None)


async def test_a_job_of_somebody_else_under_the_name_is_left_alone(world: World) -> None:
    spec = template("true")
    foreign = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": world.name}}
    foreign["spec"] = {"template": {"spec": {**spec["spec"], "restartPolicy": "Never"}}}
    world.namespace.apply(foreign)
    result = await world.ended(world.start(template("true")))
    said = f"the name {world.name} is taken by a Job that does not belong to this Canary"
    assert result == HookResult(1, "Failed", said)
    assert len(await world.jobs()) == 1


async def test_a_job_that_is_no_job_is_refused_in_the_words_of_the_api_server(world: World) -> None:
    result = await world.ended(world.start(template("true", image="")))
    assert result.state == "Failed"
    assert result.message.startswith(f"Job {world.name} cannot be created: ")
    assert "spec.template.spec.containers[0].image: Required value" in result.message
    assert await world.jobs() == []
