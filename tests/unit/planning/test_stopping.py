"""How a live pod is ended: with its logs where it has some, at once where it has none."""

import pytest

from sluice.planning.attempts import nothing_to_show
from sluice.planning.observed import PodView
from tests.builders import ended_pod, pod_view, running_pod, waiting_pod


@pytest.mark.parametrize(
    ("pod", "deleted"),
    [
        pytest.param(pod_view(), True, id="not scheduled"),
        pytest.param(pod_view(scheduled=True), True, id="not yet seen by the kubelet"),
        pytest.param(waiting_pod("ContainerCreating"), True, id="waits for a volume, perhaps"),
        pytest.param(waiting_pod("ImagePullBackOff"), False, id="says that its image cannot be pulled"),
        pytest.param(waiting_pod("CreateContainerConfigError"), False, id="says that a ConfigMap is missing"),
        pytest.param(running_pod(), False, id="runs"),
        pytest.param(ended_pod(1), False, id="has ended"),
    ],
)
def test_a_pod_is_deleted_when_it_has_nothing_to_show(pod: PodView, deleted: bool) -> None:
    assert nothing_to_show(pod) is deleted
