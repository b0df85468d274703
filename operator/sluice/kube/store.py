"""A cache of one resource that only moves forward.

Three sources write to it, in any order: a list, the watch, and our own writes (their answers are put in at once, so
that the next plan sees them; safety rule 8). What makes that safe is the order that the API server gives: a
resourceVersion is the number of a change in one sequence for the whole resource, so of two states of one name the one
with the higher number is the later, even when one is of an object that was deleted and made again. (Kubernetes
documents the comparison from 1.35 on and has kept it ever since etcd 3.)

- An older or equal state of a name is ignored.
- A deletion leaves a tombstone for the object's uid, with the version at which it was gone, so that a late event of the
  dead object cannot bring it back. Tombstones are bounded in number and age.
- A list removes what it does not contain, unless that is newer than the list.

The cache keeps what `project` makes of an object, not the object. Listeners are called, synchronously and in order,
when that value appears, changes or goes; a change that the projection does not show (a heartbeat, managedFields) moves
the version on in silence.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, ValuesView
from typing import Any, Final, Generic, NamedTuple, TypeVar

from sluice.kube.clock import Clock, SystemClock
from sluice.telemetry import metrics
from sluice.telemetry.logs import get_logger

T = TypeVar("T")

Key = tuple[str, str]
"""(namespace, name); the namespace of a cluster-scoped object is empty."""

TOMBSTONE_SECONDS: Final = 600.0
TOMBSTONES: Final = 20_000
"""Limits of age and number. A watch event that comes ten minutes late would have to survive a relist, which replaces
everything."""

_FOR_GOOD: Final = 1 << 63
"""Newer than every resourceVersion, which are 63 bits at most."""

log = get_logger(__name__)


class Cached(NamedTuple, Generic[T]):
    """One object in the cache."""

    key: Key
    uid: str
    resource_version: int
    value: T


class Change(NamedTuple, Generic[T]):
    """What a listener is told: at least one of old and new is there; both when the value changed."""

    key: Key
    old: Cached[T] | None
    new: Cached[T] | None


class Store(Generic[T]):
    """See the module. Not thread-safe: it belongs to the event loop."""

    def __init__(
        self,
        name: str,
        project: Callable[[Mapping[str, Any]], T],
        *,
        indices: Mapping[str, Callable[[T], Iterable[Hashable]]] | None = None,
        clock: Clock | None = None,
        max_tombstones: int = TOMBSTONES,
        tombstone_seconds: float = TOMBSTONE_SECONDS,
    ) -> None:
        """`name` is that of the resource, for logs and metrics. `indices` give the keys under which `by_index` finds a
        value."""
        self.name = name
        self._project = project
        self._clock = clock or SystemClock()
        self._items: dict[Key, Cached[T]] = {}
        self._indices = {index: _Index(keys_of) for index, keys_of in (indices or {}).items()}
        self._listeners: list[Callable[[Change[T]], None]] = []
        self._tombstones: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._max_tombstones = max_tombstones
        self._tombstone_seconds = tombstone_seconds
        self._size = metrics.INFORMER_OBJECTS.labels(name)

    # Reading --------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, key: Key) -> bool:
        return key in self._items

    def get(self, namespace: str, name: str) -> T | None:
        """The value of one object."""
        item = self._items.get((namespace, name))
        return None if item is None else item.value

    def cached(self, namespace: str, name: str) -> Cached[T] | None:
        """One object with its uid and resourceVersion."""
        return self._items.get((namespace, name))

    def items(self) -> ValuesView[Cached[T]]:
        """A live view of everything; do not change the store while iterating."""
        return self._items.values()

    def by_index(self, index: str, key: Hashable) -> list[T]:
        """The values found under `key`, in the order in which they came. Takes time in proportion to their number."""
        return [item.value for item in self._indices[index].items(key)]

    def count(self, index: str, key: Hashable) -> int:
        """How many values are found under `key`."""
        return len(self._indices[index].items(key))

    # Writing --------------------------------------------------------------------------------------

    def upsert(self, obj: Mapping[str, Any]) -> bool:
        """Put in an object as the API gave it, from the watch or as the answer to our own write. False when it is
        nothing new."""
        metadata = obj["metadata"]
        key = (metadata.get("namespace") or "", metadata["name"])
        uid: str = metadata["uid"]
        version = int(metadata["resourceVersion"])
        if self._is_stale(key, uid, version):
            return False
        self._put(Cached(key, uid, version, self._project(obj)))
        return True

    def remove(self, namespace: str, name: str, *, uid: str, resource_version: int | str | None = None) -> bool:
        """Take out the object with this uid. False when it is not there, or when what is there is newer.

        `resource_version` is the one that the DELETED event carries. Without it, the object is known to be gone for
        good (the server says NotFound for it); do not call it for an object that is only being deleted.
        """
        version = _FOR_GOOD if resource_version is None else int(resource_version)
        self._bury(uid, version)
        key = (namespace, name)
        item = self._items.get(key)
        if item is None or item.uid != uid or item.resource_version > version:
            return False
        self._drop(item)
        return True

    def replace_all(
        self, objects: Iterable[Mapping[str, Any]], list_version: int | str, *, namespace: str | None = None
    ) -> None:
        """Make the store equal to a list taken at `list_version`, but for what is newer. `namespace`: the list covers
        only that one."""
        self.replace_with([self.read(obj) for obj in objects], list_version, namespace=namespace)

    def read(self, obj: Mapping[str, Any]) -> Cached[T]:
        """Project an object without putting it in, so that a long list need not be held whole."""
        metadata = obj["metadata"]
        key = (metadata.get("namespace") or "", metadata["name"])
        return Cached(key, metadata["uid"], int(metadata["resourceVersion"]), self._project(obj))

    def replace_with(
        self, items: Iterable[Cached[T]], list_version: int | str, *, namespace: str | None = None
    ) -> None:
        """`replace_all` for items that `read` made."""
        version = int(list_version)
        listed = {item.key: item for item in items}
        gone = [
            item
            for key, item in self._items.items()
            if (namespace is None or key[0] == namespace)
            and item.resource_version <= version
            and (key not in listed or listed[key].uid != item.uid)
        ]
        for item in gone:
            self._bury(item.uid, version)
            successor = listed.get(item.key)
            # Of a successor, it may be known that it went after the list was taken.
            if successor is None or self._is_stale(successor.key, successor.uid, successor.resource_version):
                self._drop(item)
        for item in listed.values():
            if not self._is_stale(item.key, item.uid, item.resource_version):
                self._put(item)

    def subscribe(self, listener: Callable[[Change[T]], None]) -> Callable[[], None]:
        """Have every change told; returns what ends it. A listener that raises is logged and counted, and the others
        are told."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    # Inside ---------------------------------------------------------------------------------------

    def _is_stale(self, key: Key, uid: str, version: int) -> bool:
        item = self._items.get(key)
        if item is not None and version <= item.resource_version:
            return True
        tombstone = self._tombstones.get(uid)
        return tombstone is not None and version <= tombstone[0]

    def _put(self, item: Cached[T]) -> None:
        old = self._items.get(item.key)
        self._items[item.key] = item
        if old is None:
            for index in self._indices.values():
                index.add(item)
        else:
            for index in self._indices.values():
                index.replace(old, item)
            if old.uid != item.uid:
                self._bury(old.uid, _FOR_GOOD)
            elif old.value == item.value:
                return
        self._size.set(len(self._items))
        self._tell(Change(item.key, old, item))

    def _drop(self, item: Cached[T]) -> None:
        del self._items[item.key]
        for index in self._indices.values():
            index.discard(item)
        self._size.set(len(self._items))
        self._tell(Change(item.key, item, None))

    def _bury(self, uid: str, version: int) -> None:
        now = self._clock.monotonic()
        earlier = self._tombstones.pop(uid, None)
        self._tombstones[uid] = (
            version if earlier is None else max(version, earlier[0]),
            now + self._tombstone_seconds,
        )
        while self._tombstones:
            oldest = next(iter(self._tombstones))
            if len(self._tombstones) <= self._max_tombstones and self._tombstones[oldest][1] > now:
                break
            del self._tombstones[oldest]

    def _tell(self, change: Change[T]) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(change)
            except Exception:
                metrics.INFORMER_LISTENER_ERRORS.labels(self.name).inc()
                log.exception("listener failed", resource=self.name, namespace=change.key[0], name=change.key[1])


class _Index(Generic[T]):
    """Items by what a function says of their value. Keeps the keys it filed an item under, so the function runs once an
    item."""

    def __init__(self, keys_of: Callable[[T], Iterable[Hashable]]) -> None:
        self._keys_of = keys_of
        self._filed: dict[Key, tuple[Hashable, ...]] = {}
        self._buckets: dict[Hashable, dict[Key, Cached[T]]] = {}

    def items(self, key: Hashable) -> Collection[Cached[T]]:
        return self._buckets.get(key, {}).values()

    def add(self, item: Cached[T]) -> None:
        keys = tuple(dict.fromkeys(self._keys_of(item.value)))
        self._filed[item.key] = keys
        for key in keys:
            self._buckets.setdefault(key, {})[item.key] = item

    def replace(self, old: Cached[T], new: Cached[T]) -> None:
        keys = tuple(dict.fromkeys(self._keys_of(new.value)))
        if keys == self._filed[old.key]:
            for key in keys:
                self._buckets[key][new.key] = new
            return
        self.discard(old)
        self.add(new)

    def discard(self, item: Cached[T]) -> None:
        for key in self._filed.pop(item.key):
            bucket = self._buckets[key]
            del bucket[item.key]
            if not bucket:
                del self._buckets[key]
