"""The graph of steps: order, ancestors, cycles. Works on plain {name: dependencies}; knows nothing of pods or phases."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

Graph = Mapping[str, Sequence[str]]
"""{step: the steps that it depends on}. Names that are not keys are passed over; `sluice.planning.validation` reports them."""


def find_cycle(graph: Graph) -> list[str]:
    """A cycle as [a, b, c, a], each depending on the next, or [] when there is none.

    Iterative depth-first search in the order of the mapping: the same graph gives the same cycle.
    """
    done: set[str] = set()
    for root in graph:
        path: list[str] = []
        on_path: set[str] = set()
        stack: list[tuple[str, Iterator[str]]] = [(root, iter(graph[root]))] if root not in done else []
        if stack:
            path.append(root)
            on_path.add(root)
        while stack:
            name, rest = stack[-1]
            for below in rest:
                if below in on_path:
                    return [*path[path.index(below) :], below]
                if below in graph and below not in done:
                    stack.append((below, iter(graph[below])))
                    path.append(below)
                    on_path.add(below)
                    break
            else:
                stack.pop()
                done.add(name)
                on_path.discard(path.pop())
    return []


def ancestors(graph: Graph, name: str) -> set[str]:
    """Every step that has to end before `name` can start. Safe on graphs with cycles."""
    found: set[str] = set()
    todo = list(graph.get(name, ()))
    while todo:
        above = todo.pop()
        if above not in found and above in graph:
            found.add(above)
            todo.extend(graph[above])
    return found


def descendants(graph: Graph, names: Iterable[str]) -> set[str]:
    """`names`, and every step that starts only after one of them. Safe on graphs with cycles."""
    below: dict[str, list[str]] = {}
    for name, needs in graph.items():
        for above in needs:
            below.setdefault(above, []).append(name)
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo.extend(below.get(name, ()))
    return found
