"""The cache only moves forward, whatever order news comes in."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.kube.clock import ManualClock
from sluice.kube.store import Change, Store
from sluice.telemetry.metrics import REGISTRY

Object = dict[str, Any]


def obj(name: str, version: int, *, uid: str = "", color: str = "", namespace: str = "team-a") -> Object:
    metadata = {"namespace": namespace, "name": name, "uid": uid or f"uid-of-{name}", "resourceVersion": str(version)}
    return {"metadata": metadata, "color": color}


def color_of(item: Mapping[str, Any]) -> str:
    return str(item["color"])


def new_store(**options: Any) -> Store[str]:
    return Store("pods", color_of, indices={"color": lambda color: color.split()}, **options)


def listen(store: Store[str]) -> list[tuple[str, str | None, str | None]]:
    heard: list[tuple[str, str | None, str | None]] = []

    def listener(change: Change[str]) -> None:
        heard.append(
            (change.key[1], change.old.value if change.old else None, change.new.value if change.new else None)
        )

    store.subscribe(listener)
    return heard


# Order --------------------------------------------------------------------------------------------


def test_a_newer_state_replaces_and_an_older_or_equal_one_does_not() -> None:
    store = new_store()

    assert store.upsert(obj("a", 5, color="red"))
    assert not store.upsert(obj("a", 4, color="blue"))
    assert not store.upsert(obj("a", 5, color="blue"))
    assert store.get("team-a", "a") == "red"
    assert store.upsert(obj("a", 6, color="green"))
    assert store.get("team-a", "a") == "green"


def test_versions_are_compared_as_numbers() -> None:
    store = new_store()
    store.upsert(obj("a", 9, color="red"))

    assert store.upsert(obj("a", 10, color="blue"))


def test_an_own_write_is_seen_at_once_and_its_echo_changes_nothing() -> None:
    store = new_store()
    store.upsert(obj("a", 5, color="red"))
    heard = listen(store)
    store.upsert(obj("a", 8, color="blue"))
    for late in (6, 7, 8):
        store.upsert(obj("a", late, color="red"))

    assert store.get("team-a", "a") == "blue"
    assert heard == [("a", "red", "blue")]


def test_a_late_event_does_not_bring_back_what_was_deleted() -> None:
    store = new_store()
    store.upsert(obj("a", 5))

    assert store.remove("team-a", "a", uid="uid-of-a", resource_version=9)
    assert not store.upsert(obj("a", 8))
    assert store.get("team-a", "a") is None


def test_what_is_gone_for_good_does_not_come_back_at_any_version() -> None:
    store = new_store()
    store.upsert(obj("a", 5))
    store.remove("team-a", "a", uid="uid-of-a")

    assert not store.upsert(obj("a", 10**9))


def test_an_object_that_left_the_selection_may_come_back_later() -> None:
    store = new_store()
    store.upsert(obj("a", 5))
    store.remove("team-a", "a", uid="uid-of-a", resource_version=6)

    assert store.upsert(obj("a", 7))


def test_a_deletion_that_is_older_than_what_is_known_removes_nothing() -> None:
    store = new_store()
    store.upsert(obj("a", 7))

    assert not store.remove("team-a", "a", uid="uid-of-a", resource_version=6)
    assert store.get("team-a", "a") is not None


def test_a_deletion_may_come_before_the_object() -> None:
    store = new_store()

    assert not store.remove("team-a", "a", uid="uid-of-a", resource_version=9)
    assert not store.upsert(obj("a", 5))


def test_a_new_object_of_the_name_replaces_the_old_one_for_good() -> None:
    store = new_store()
    store.upsert(obj("a", 5, uid="first", color="red"))
    heard = listen(store)

    assert store.upsert(obj("a", 9, uid="second", color="red"))
    assert not store.upsert(obj("a", 8, uid="first"))
    assert not store.remove("team-a", "a", uid="first", resource_version=8)
    item = store.cached("team-a", "a")
    assert item is not None
    assert (item.uid, item.resource_version) == ("second", 9)
    assert heard == [("a", "red", "red")]


def test_a_cluster_scoped_object_has_an_empty_namespace() -> None:
    store = new_store()
    store.upsert({"metadata": {"name": "n", "uid": "u", "resourceVersion": "1"}, "color": "red"})

    assert store.get("", "n") == "red"
    assert ("", "n") in store


# Lists --------------------------------------------------------------------------------------------


def test_a_list_removes_what_it_does_not_contain_and_tells_of_it() -> None:
    store = new_store()
    store.upsert(obj("a", 5, color="red"))
    store.upsert(obj("b", 6, color="red"))
    heard = listen(store)
    store.replace_all([obj("b", 8, color="blue"), obj("c", 9, color="green")], 10)

    assert sorted(item.key[1] for item in store.items()) == ["b", "c"]
    assert heard == [("a", "red", None), ("b", "red", "blue"), ("c", None, "green")]
    assert not store.upsert(obj("a", 7))


def test_a_list_keeps_what_is_newer_than_it() -> None:
    store = new_store()
    store.upsert(obj("new", 12, color="red"))
    store.upsert(obj("changed", 13, color="red"))
    store.replace_all([obj("changed", 5, color="old")], 10)

    assert store.get("team-a", "new") == "red"
    assert store.get("team-a", "changed") == "red"


def test_a_list_does_not_bring_back_what_was_deleted_after_it() -> None:
    store = new_store()
    store.upsert(obj("a", 5))
    store.remove("team-a", "a", uid="uid-of-a", resource_version=12)
    store.replace_all([obj("a", 5)], 10)

    assert len(store) == 0


def test_a_list_shows_that_an_object_was_made_again() -> None:
    store = new_store()
    store.upsert(obj("a", 5, uid="first", color="red"))
    heard = listen(store)
    store.replace_all([obj("a", 9, uid="second", color="blue")], 10)

    assert heard == [("a", "red", "blue")]
    assert not store.upsert(obj("a", 8, uid="first"))


def test_a_list_of_one_namespace_leaves_the_others_alone() -> None:
    store = new_store()
    store.upsert(obj("a", 5, namespace="team-a"))
    store.upsert(obj("b", 5, namespace="team-b", uid="b"))
    store.replace_all([], 10, namespace="team-a")

    assert [item.key for item in store.items()] == [("team-b", "b")]


# Indices and listeners ----------------------------------------------------------------------------


def test_an_index_follows_every_change() -> None:
    store = new_store()
    store.upsert(obj("a", 1, color="red blue"))
    store.upsert(obj("b", 2, color="red"))
    assert store.by_index("color", "red") == ["red blue", "red"]

    store.upsert(obj("a", 3, color="blue"))
    assert store.by_index("color", "red") == ["red"]
    assert store.by_index("color", "blue") == ["blue"]

    store.remove("team-a", "b", uid="uid-of-b", resource_version=4)
    assert store.by_index("color", "red") == []


def test_a_value_filed_twice_under_one_key_is_found_once() -> None:
    store = new_store()
    store.upsert(obj("a", 1, color="red red"))
    store.upsert(obj("a", 2, color="red blue red"))

    assert store.by_index("color", "red") == ["red blue red"]


def test_a_change_that_the_projection_does_not_show_is_not_told_but_moves_the_version() -> None:
    store = new_store()
    store.upsert(obj("a", 1, color="red"))
    heard = listen(store)

    assert store.upsert(obj("a", 2, color="red"))
    item = store.cached("team-a", "a")
    assert item is not None
    assert item.resource_version == 2
    assert heard == []


def test_a_listener_that_raises_does_not_keep_others_from_hearing() -> None:
    store = new_store()

    def broken(_change: Change[str]) -> None:
        raise RuntimeError

    store.subscribe(broken)
    heard = listen(store)
    before = REGISTRY.get_sample_value("sluice_informer_listener_errors_total", {"resource": "pods"}) or 0
    store.upsert(obj("a", 1, color="red"))

    assert heard == [("a", None, "red")]
    assert REGISTRY.get_sample_value("sluice_informer_listener_errors_total", {"resource": "pods"}) == before + 1


def test_a_listener_that_left_hears_nothing_more() -> None:
    store = new_store()
    heard: list[Change[str]] = []
    leave = store.subscribe(heard.append)
    store.upsert(obj("a", 1))
    leave()
    store.upsert(obj("b", 2))

    assert [change.key[1] for change in heard] == ["a"]


def test_the_number_of_objects_is_a_metric() -> None:
    store = new_store()
    store.upsert(obj("a", 1))
    store.upsert(obj("b", 2))
    store.remove("team-a", "a", uid="uid-of-a")

    assert REGISTRY.get_sample_value("sluice_informer_objects", {"resource": "pods"}) == 1


# Tombstones ---------------------------------------------------------------------------------------


def test_tombstones_are_bounded_in_number() -> None:
    store = new_store(max_tombstones=100, clock=ManualClock())
    for number in range(1000):
        store.remove("team-a", f"p{number}", uid=f"u{number}", resource_version=number + 1)

    assert store.upsert(obj("p0", 1, uid="u0"))
    assert not store.upsert(obj("p999", 1000, uid="u999"))


def test_tombstones_are_bounded_in_age() -> None:
    clock = ManualClock()
    store = new_store(tombstone_seconds=60, clock=clock)
    store.remove("team-a", "a", uid="uid-of-a", resource_version=9)
    clock.advance(61)
    store.remove("team-a", "b", uid="uid-of-b", resource_version=10)

    assert store.upsert(obj("a", 5))
    assert not store.upsert(obj("b", 5))


def test_a_list_removes_an_object_whose_successor_is_known_to_be_gone_too() -> None:
    store = new_store()
    store.upsert(obj("b", 2, uid="first"))
    store.remove("team-a", "b", uid="second", resource_version=5)
    store.replace_all([obj("b", 4, uid="second")], 4)
    assert colors_in(store) == {}


# Properties ---------------------------------------------------------------------------------------


class Truth:
    """A history of one resource, as etcd would number it."""

    def __init__(self, actions: list[tuple[str, int]]) -> None:
        self.version = 0
        self.events: list[tuple[str, Object]] = []
        self.states: list[dict[str, Object]] = [{}]
        made = 0
        now: dict[str, Object] = {}
        for name, color in actions:
            self.version += 1
            old = now.get(name)
            if old is not None and color == 0:
                gone = {**old, "metadata": {**old["metadata"], "resourceVersion": str(self.version)}}
                self.events.append(("DELETED", gone))
                now = {key: value for key, value in now.items() if key != name}
            else:
                made += old is None
                uid = old["metadata"]["uid"] if old else f"uid-{made}"
                state = obj(name, self.version, uid=uid, color=f"color-{color}")
                self.events.append(("MODIFIED" if old else "ADDED", state))
                now = {**now, name: state}
            self.states.append(now)

    def colors(self) -> dict[str, str]:
        return {name: str(state["color"]) for name, state in self.states[-1].items()}


def tell(store: Store[str], event: tuple[str, Object]) -> None:
    kind, state = event
    metadata = state["metadata"]
    if kind == "DELETED":
        version = metadata["resourceVersion"]
        store.remove(metadata["namespace"], metadata["name"], uid=metadata["uid"], resource_version=version)
    else:
        store.upsert(state)


def colors_in(store: Store[str]) -> dict[str, str]:
    return {item.key[1]: item.value for item in store.items()}


def check_indices(store: Store[str]) -> None:
    for number in range(4):
        color = f"color-{number}"
        assert sorted(store.by_index("color", color)) == [color] * list(colors_in(store).values()).count(color)


histories = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), min_size=1, max_size=30)


@given(actions=histories, seed=st.integers(0, 2**32), copies=st.integers(1, 3))
@settings(max_examples=400)
def test_all_events_in_any_order_any_number_of_times_lead_to_the_truth(
    actions: list[tuple[str, int]], seed: int, copies: int
) -> None:
    truth = Truth(actions)
    events = truth.events * copies
    random.Random(seed).shuffle(events)
    store = new_store(clock=ManualClock())
    for event in events:
        tell(store, event)
        check_indices(store)

    assert colors_in(store) == truth.colors()


@given(actions=histories, seed=st.integers(0, 2**32), loss=st.floats(0, 1), data=st.data())
@settings(max_examples=400)
def test_losses_are_made_good_by_a_list_and_what_followed_it(
    actions: list[tuple[str, int]], seed: int, loss: float, data: st.DataObject
) -> None:
    """Some events are lost, the rest come in any order; a list of some moment comes somewhere among them, then all that
    followed it."""
    truth = Truth(actions)
    rng = random.Random(seed)
    listed_at = data.draw(st.integers(0, truth.version))
    kept = [event for event in truth.events if rng.random() >= loss]
    rng.shuffle(kept)
    after = truth.events[listed_at:]
    store = new_store(clock=ManualClock())
    for event in kept:
        tell(store, event)
    store.replace_all(list(truth.states[listed_at].values()), listed_at)
    for event in after:
        tell(store, event)
    check_indices(store)

    assert colors_in(store) == truth.colors()


@given(actions=histories, seed=st.integers(0, 2**32))
@settings(max_examples=300)
def test_versions_of_a_name_never_go_back_and_listeners_see_an_unbroken_chain(
    actions: list[tuple[str, int]], seed: int
) -> None:
    truth = Truth(actions)
    events = truth.events * 2
    random.Random(seed).shuffle(events)
    store = new_store(clock=ManualClock())
    seen: dict[str, tuple[str, str] | None] = {}

    def listener(change: Change[str]) -> None:
        name = change.key[1]
        old = (change.old.uid, change.old.value) if change.old else None
        assert seen.get(name) == old
        seen[name] = (change.new.uid, change.new.value) if change.new else None
        if change.old and change.new:
            assert change.new.resource_version > change.old.resource_version

    store.subscribe(listener)
    for event in events:
        tell(store, event)

    assert {name: value[1] for name, value in seen.items() if value} == colors_in(store)
