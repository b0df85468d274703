"""Two operators at once on a real cluster: one of them works."""

import time
from typing import Any

from tests.cluster.installation import DEPLOYMENT, LEASE, SELECTOR, Installation
from tests.cluster.kit import Manifest, Namespace, pipeline, shell


def holder(operator: Installation) -> str:
    """The pod that holds the lease."""
    return str(operator.namespace.get("lease", LEASE)["spec"].get("holderIdentity") or "")


def test_the_lease_says_who_works(operator: Installation) -> None:
    pod = operator.pod()["metadata"]["name"]
    operator.namespace.wait_for("the lease", lambda: holder(operator) == pod or None, seconds=30)


def test_a_second_operator_stands_by_and_takes_over(operator: Installation, namespace: Namespace) -> None:
    namespace.apply(pipeline("hello", shell("main")))
    first = operator.pod()["metadata"]["name"]

    def others() -> list[Manifest]:
        pods = operator.namespace.all_of("pods", SELECTOR)
        return [pod for pod in pods if pod["metadata"]["name"] != first and "deletionTimestamp" not in pod["metadata"]]

    def said() -> str:
        names = [pod["metadata"]["name"] for pod in others()]
        return operator.namespace.kubectl("logs", names[0], check=False).stdout if names else ""

    operator.namespace.kubectl("scale", DEPLOYMENT, "--replicas=2")
    try:
        operator.namespace.wait_for("the second to stand by", lambda: "stands by" in said() or None, seconds=60)
        begin = time.monotonic()
        while time.monotonic() < begin + 5:
            namespace.ended(namespace.run("hello"))
            assert holder(operator) == first
        (second,) = others()
        ready: list[Any] = [row for row in second["status"]["conditions"] if row["type"] == "Ready"]
        assert ready[0]["status"] == "False"
        operator.namespace.kubectl("delete", "pod", first, "--force", "--grace-period=0", "--wait=false")
        # The one that stood by, or the one that comes in the place of the first, whoever asks first.
        operator.namespace.wait_for(
            "another one to take over", lambda: holder(operator) not in ("", first) or None, seconds=90
        )
        namespace.ended(namespace.run("hello"))
    finally:
        operator.namespace.kubectl("scale", DEPLOYMENT, "--replicas=1")
        operator.pod()
