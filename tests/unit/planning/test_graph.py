"""Cycles and ancestors."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.planning.graph import Graph, ancestors, find_cycle

DIAMOND = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}


@pytest.mark.parametrize(
    ("graph", "cycle"),
    [
        pytest.param({}, [], id="nothing"),
        pytest.param(DIAMOND, [], id="a diamond"),
        pytest.param({"a": ["a"]}, ["a", "a"], id="a step and itself"),
        pytest.param({"a": ["b"], "b": ["a"]}, ["a", "b", "a"], id="two steps"),
        pytest.param({"z": ["a"], "a": ["b"], "b": ["c"], "c": ["a"]}, ["a", "b", "c", "a"], id="behind a lead-in"),
        pytest.param({"x": [], "a": ["x", "b"], "b": ["x", "a"]}, ["a", "b", "a"], id="beside steps that are fine"),
        pytest.param({"a": ["nobody"]}, [], id="unknown names are passed over"),
    ],
)
def test_a_cycle_is_found_with_its_path(graph: Graph, cycle: list[str]) -> None:
    assert find_cycle(graph) == cycle


@pytest.mark.parametrize(
    ("graph", "name", "above"),
    [
        pytest.param(DIAMOND, "d", {"a", "b", "c"}, id="of the foot of a diamond"),
        pytest.param(DIAMOND, "a", set(), id="of a root"),
        pytest.param(DIAMOND, "nobody", set(), id="of an unknown step"),
        pytest.param({"a": ["b"], "b": ["a"]}, "a", {"a", "b"}, id="in a cycle"),
        pytest.param({"a": ["nobody"]}, "a", set(), id="unknown names are passed over"),
    ],
)
def test_ancestors(graph: Graph, name: str, above: set[str]) -> None:
    assert ancestors(graph, name) == above


def test_a_chain_longer_than_the_recursion_limit_is_no_trouble() -> None:
    graph = {str(number): [str(number + 1)] for number in range(5000)}
    assert find_cycle(graph) == []
    assert len(ancestors(graph, "0")) == 4999
    assert len(find_cycle(graph | {"5000": ["0"]})) == 5002


@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdef"), max_size=3)))
def test_a_cycle_exists_exactly_when_a_step_is_its_own_ancestor(graph: dict[str, list[str]]) -> None:
    cycle = find_cycle(graph)
    assert bool(cycle) == any(name in ancestors(graph, name) for name in graph)
    assert all(below in graph[above] for above, below in pairwise(cycle))
    assert cycle == [] or cycle[0] == cycle[-1]
