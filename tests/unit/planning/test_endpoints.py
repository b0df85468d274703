"""Pods that are ready, and whether their Service leads to them."""

from typing import Any

import pytest

from sluice.planning.endpoints import unnamed


def pod(name: str, *, ready: str = "True", **metadata: Any) -> dict[str, Any]:
    status = {"conditions": [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": ready}]}
    return {"metadata": {"name": name, "uid": f"uid-{name}", **metadata}, "status": status}


def endpoint(name: str, **conditions: bool | None) -> dict[str, Any]:
    return {"targetRef": {"kind": "Pod", "uid": f"uid-{name}"}, "conditions": conditions}


@pytest.mark.parametrize(
    ("pods", "slices", "waiting"),
    [
        pytest.param([], [], (), id="nothing"),
        pytest.param([pod("a")], [], ("a",), id="no slice yet"),
        pytest.param([pod("a")], [{"endpoints": None}], ("a",), id="an empty slice"),
        pytest.param([pod("a")], [{"endpoints": [endpoint("a", ready=True)]}], (), id="named"),
        pytest.param([pod("a")], [{"endpoints": [endpoint("a")]}], (), id="what is not said counts as ready"),
        pytest.param([pod("a")], [{"endpoints": [endpoint("a", ready=None)]}], (), id="null counts as ready"),
        pytest.param([pod("a")], [{"endpoints": [endpoint("a", ready=False)]}], ("a",), id="named as not ready"),
        pytest.param(
            [pod("b"), pod("a")],
            [{"endpoints": [endpoint("old", ready=True)]}],
            ("a", "b"),
            id="the slice is of the pods before",
        ),
        pytest.param(
            [pod("a"), pod("b")],
            [{"endpoints": [endpoint("a", ready=True)]}, {"endpoints": [endpoint("b", ready=True)]}],
            (),
            id="in two slices",
        ),
        pytest.param([pod("a", ready="False")], [], (), id="a pod that is not ready"),
        pytest.param([pod("a", ready="Unknown")], [], (), id="a pod of which nothing is known"),
        pytest.param([pod("a", deletionTimestamp="2026-01-01T00:00:00Z")], [], (), id="a pod that ends"),
        pytest.param([{"metadata": {"name": "a", "uid": "1"}, "status": {}}], [], (), id="a pod that has just come"),
        pytest.param([pod("a")], [{"endpoints": [{"addresses": ["10.0.0.1"]}]}], ("a",), id="an address of no pod"),
    ],
)
def test_pods_that_no_slice_names(
    pods: list[dict[str, Any]], slices: list[dict[str, Any]], waiting: tuple[str, ...]
) -> None:
    assert unnamed(pods, slices) == waiting
