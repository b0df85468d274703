"""Targets of canaries are held in the request that changes them, and requests of people bear their names: by the operator's
webhook, and by the policies that the chart has for API servers without need of one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from tests.cluster.gateway import speaker
from tests.cluster.installation import ACCOUNT
from tests.cluster.kit import OPERATOR_NAMESPACE, ROOT, Manifest, Namespace

LABEL = "sluice.dev/canary"
MARK = "sluice.dev/held"
CONTROL = "sluice.dev/control"
BY = "sluice.dev/control-by"
RESUME = '{"spec": {"paused": null}}'
NOT_THERE = "localhost/sluice/of-nothing:1"
"""An image that no pod can run, so a pod of it would show."""


@dataclass(frozen=True)
class Shop:
    """A namespace with a Deployment `pricing`, where one of the two holds targets."""

    namespace: Namespace
    user: tuple[str, ...]
    """Options of kubectl: as whom it asks."""
    refuser: str
    """Who refuses, as the API server says it."""

    def kubectl(self, *args: str, stdin: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.namespace.kubectl(*args, *self.user, stdin=stdin, check=check)

    def replace(self, manifest: Manifest) -> None:
        """`kubectl replace`. It reads before it writes, and is refused when a controller writes between: whoever meets that tries
        again."""

        def done() -> bool:
            said = self.kubectl("replace", "-f", "-", stdin=yaml.safe_dump(manifest), check=False)
            assert said.returncode == 0 or "(Conflict)" in said.stderr, said.stderr
            return said.returncode == 0

        self.namespace.wait_for("a replacement that nobody came between", done, seconds=30)

    def get(self) -> Manifest:
        return self.namespace.get("deployment", "pricing")

    def is_held(self) -> bool:
        """Whether it is paused by sluice. Fails when there is one without the other."""
        found = self.get()
        paused, marked = found["spec"].get("paused", False), MARK in found["metadata"].get("annotations", {})
        assert paused == marked
        return bool(paused)

    def settled(self) -> Manifest:
        """The Deployment once its controller has seen its newest state and all its pods are there."""

        def look() -> Manifest | None:
            found = self.get()
            status, wanted = found.get("status", {}), found["spec"]["replicas"]
            seen = status.get("observedGeneration") == found["metadata"]["generation"]
            return found if seen and status.get("availableReplicas", 0) == status.get("replicas", 0) == wanted else None

        return self.namespace.wait_for("the controller of the Deployment", look)

    def pods(self) -> set[str]:
        return {pod["metadata"]["uid"] for pod in self.namespace.all_of("pods", "app=pricing")}

    def replica_sets(self) -> int:
        return len(self.namespace.all_of("replicasets", "app=pricing"))


def deployment(*, canary: str = "", image: str = "", **spec: Any) -> Manifest:
    """The Deployment `pricing`, as it stands in Git."""
    made, _ = speaker("pricing")
    made["spec"] |= spec
    if canary:
        made["metadata"]["labels"] = {LABEL: canary}
    if image:
        made["spec"]["template"]["spec"]["containers"][0]["image"] = image
    return made


def canary(**annotations: str) -> Manifest:
    """A Canary whose target does not exist, so that nothing is done about it."""
    return {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "Canary",
        "metadata": {"name": "idle", "annotations": annotations},
        "spec": {
            "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "nothing"},
            "routing": {"replicas": {}},
            "canary": {"steps": [{"weight": 50}]},
            "approval": {"promotion": "Manual"},
        },
    }


def policies(namespace: Namespace) -> str:
    """The chart's policies for one namespace and under names of its own, for an operator `another`."""
    helm = subprocess.run(
        [sys.executable, "-m", "dev.cluster", "helm"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    values = {
        "fullnameOverride": namespace.name,
        "namespaces": f"{{{namespace.name}}}",
        "hold.by": "policy",
        "serviceAccount.name": "another",
    }
    command = [helm, "template", "sluice", str(ROOT / "charts/sluice"), "--namespace", OPERATOR_NAMESPACE]
    command += ["--show-only", "templates/policy-hold.yaml"]
    command += [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@contextmanager
def by_policy(namespace: Namespace) -> Iterator[Shop]:
    """Held by policies. The webhook of the installed operator leaves the operator's own requests alone, and these policies
    are for another operator: asking under its name, with the rights of an administrator, one meets the policies alone."""
    user = (f"--as={ACCOUNT}", "--as-group=system:masters")
    text = policies(namespace)
    kinds = {item["kind"] for item in yaml.safe_load_all(text)}
    assert {"MutatingAdmissionPolicy", "ValidatingAdmissionPolicy"} < kinds
    namespace.kubectl("apply", "-f", "-", stdin=text)
    try:
        shop = Shop(namespace, user, f"ValidatingAdmissionPolicy '{namespace.name}-hold'")
        wait_for_policies(shop)
        yield shop
    finally:
        namespace.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=text)


def wait_for_policies(shop: Shop) -> None:
    """Until the API server goes by new policies, which takes it a moment."""
    probe = deployment(canary="probe", replicas=0)
    probe["metadata"]["name"] = "probe"
    shop.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(probe))
    dry = ("deployment", "probe", "--dry-run=server", "--type=merge", "-o", "yaml", "-p")

    def holds() -> bool | None:
        changed = shop.kubectl("patch", *dry, '{"spec": {"template": {"metadata": {"labels": {"version": "2"}}}}}')
        return "paused: true" in changed.stdout or None

    def refuses() -> bool | None:
        return shop.kubectl("patch", *dry, RESUME, check=False).returncode != 0 or None

    def signs() -> bool | None:
        made = ("create", "--dry-run=server", "-o", "yaml", "-f", "-")
        return BY in shop.kubectl(*made, stdin=yaml.safe_dump(canary(**{CONTROL: "pause"}))).stdout or None

    shop.namespace.wait_for("a policy that holds", holds, seconds=60)
    shop.kubectl(
        "patch",
        "deployment",
        "probe",
        "--type=merge",
        "-p",
        '{"spec": {"template": {"metadata": {"labels": {"v": "2"}}}}}',
    )
    shop.namespace.wait_for("a policy that refuses", refuses, seconds=60)
    shop.namespace.wait_for("a policy that signs", signs, seconds=60)
    shop.kubectl("delete", "deployment", "probe")


@contextmanager
def by_webhook(namespace: Namespace) -> Iterator[Shop]:
    """Held by the operator that is installed."""
    yield Shop(namespace, (), 'admission webhook "hold.sluice.dev"')


@pytest.fixture(params=[by_webhook, by_policy])
def empty(namespace: Namespace, request: pytest.FixtureRequest) -> Iterator[Shop]:
    """Without the Deployment."""
    held_by: Callable[[Namespace], Any] = request.param
    with held_by(namespace) as shop:
        yield shop


@pytest.fixture
def shop(empty: Shop) -> Shop:
    """With a target that serves."""
    empty.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(deployment(canary="pricing")))
    empty.settled()
    return empty


def test_a_new_image_is_held_and_the_old_pods_serve_on(shop: Shop) -> None:
    before = shop.pods()
    shop.kubectl("set", "image", "deployment/pricing", f"httpd={NOT_THERE}")
    assert shop.is_held()
    found = shop.settled()
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == NOT_THERE
    assert found["status"].get("updatedReplicas", 0) == 0
    assert (shop.pods(), shop.replica_sets()) == (before, 1)


def test_scaling_is_not_held_neither_before_nor_while_something_is(shop: Shop) -> None:
    shop.kubectl("scale", "deployment/pricing", "--replicas=2")
    assert not shop.is_held()
    shop.settled()
    assert len(shop.pods()) == 2
    shop.kubectl("set", "image", "deployment/pricing", f"httpd={NOT_THERE}")
    shop.kubectl("scale", "deployment/pricing", "--replicas=1")
    assert shop.is_held()
    shop.settled()
    assert shop.replica_sets() == 1


def test_a_restart_is_held(shop: Shop) -> None:
    before = shop.pods()
    shop.kubectl("rollout", "restart", "deployment/pricing")
    assert shop.is_held()
    shop.settled()
    assert (shop.pods(), shop.replica_sets()) == (before, 1)


def test_a_resume_by_hand_is_refused_with_what_to_do_instead(shop: Shop) -> None:
    shop.kubectl("set", "image", "deployment/pricing", f"httpd={NOT_THERE}")
    refused = shop.kubectl("rollout", "resume", "deployment/pricing", check=False)
    assert refused.returncode != 0
    assert shop.refuser in refused.stderr
    assert 'Deployment "pricing" is held back by Canary "pricing"' in refused.stderr
    assert "`sluice canary promote --full pricing`" in refused.stderr
    assert shop.is_held()


def test_a_replacement_keeps_label_mark_and_pause(shop: Shop) -> None:
    before = shop.pods()
    for _ in range(2):  # the second one changes no template, and is no resume either
        shop.replace(deployment(image=NOT_THERE))
        assert shop.is_held()
        assert shop.get()["metadata"]["labels"] == {LABEL: "pricing"}
    shop.settled()
    assert (shop.pods(), shop.replica_sets()) == (before, 1)


def test_a_label_that_is_taken_off_is_put_back(shop: Shop) -> None:
    shop.kubectl("label", "deployment", "pricing", f"{LABEL}-")
    assert shop.get()["metadata"]["labels"] == {LABEL: "pricing"}
    assert not shop.is_held()


def test_a_server_side_apply_is_held_and_finds_no_difference_the_next_time(shop: Shop) -> None:
    """As Argo CD does it."""
    apply = ("apply", "--server-side", "--force-conflicts", "--field-manager=git", "-f", "-")
    commit = yaml.safe_dump(deployment(image=NOT_THERE))
    shop.kubectl(*apply, stdin=commit)
    assert shop.is_held()
    held = shop.settled()["metadata"]
    shop.kubectl(*apply, stdin=commit)
    assert shop.is_held()
    assert shop.get()["metadata"]["generation"] == held["generation"]


def test_a_pause_of_its_users_becomes_a_hold_when_the_user_ends_it(shop: Shop) -> None:
    before = shop.pods()
    shop.kubectl("rollout", "pause", "deployment/pricing")
    shop.kubectl("set", "image", "deployment/pricing", f"httpd={NOT_THERE}")
    assert MARK not in shop.get()["metadata"].get("annotations", {})
    shop.kubectl("rollout", "resume", "deployment/pricing")
    assert shop.is_held()
    shop.settled()
    assert (shop.pods(), shop.replica_sets()) == (before, 1)


def test_a_deployment_that_is_no_target_is_left_alone(empty: Shop) -> None:
    empty.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(deployment()))
    empty.settled()
    empty.kubectl("set", "env", "deployment/pricing", "VERSION=2")
    assert not empty.is_held()
    empty.namespace.wait_for("a second ReplicaSet", lambda: empty.replica_sets() == 2 or None)
    empty.kubectl("rollout", "pause", "deployment/pricing")
    empty.kubectl("rollout", "resume", "deployment/pricing")
    assert empty.get()["spec"].get("paused") is None


def test_what_is_asked_of_a_canary_bears_the_name_of_who_asks_and_no_other(empty: Shop) -> None:
    me = (
        ACCOUNT
        if empty.user
        else empty.namespace.kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}").stdout
    )

    def names() -> dict[str, str]:
        found: dict[str, str] = empty.namespace.get("canary", "idle")["metadata"].get("annotations", {})
        return {name: found[name] for name in (CONTROL, BY) if name in found}

    def annotate(*annotations: str) -> dict[str, str]:
        empty.kubectl("annotate", "--overwrite", "canary", "idle", *annotations)
        return names()

    empty.kubectl("create", "-f", "-", stdin=yaml.safe_dump(canary(**{BY: "boss"})))
    assert names() == {}
    assert annotate(f"{CONTROL}=pause:1") == {CONTROL: "pause:1", BY: me}
    assert annotate(f"{BY}=boss") == {CONTROL: "pause:1", BY: me}
    assert annotate(f"{CONTROL}=pause:2", f"{BY}=boss") == {CONTROL: "pause:2", BY: me}
    assert annotate(f"{BY}-") == {CONTROL: "pause:2", BY: me}
    assert annotate(f"{CONTROL}-") == {}
    assert annotate(f"{BY}=boss") == {}


def test_a_request_of_somebody_else_bears_their_name(namespace: Namespace) -> None:
    """By whatever holds on this cluster."""
    jo = ("--as=jo", "--as-group=system:masters")
    namespace.apply(canary())
    namespace.kubectl("annotate", "canary", "idle", f"{CONTROL}=pause:1", f"{BY}=boss", *jo)
    assert namespace.get("canary", "idle")["metadata"]["annotations"][BY] == "jo"
    namespace.kubectl("annotate", "--overwrite", "canary", "idle", "team=shop")
    assert namespace.get("canary", "idle")["metadata"]["annotations"][BY] == "jo"
