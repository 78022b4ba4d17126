"""Where a node in memory holds sealed bytes: bounded, exact about expiry, never early in forgetting."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias

from repram.errors import Full, NotFound
from repram.ids import ItemId, format_size
from repram.storaged.clock import Moment

Bytes: TypeAlias = bytes | bytearray | memoryview

ITEM_OVERHEAD: Final = (
    512  # what an item costs beside its bytes, so that a million small ones count too
)
_BUCKET: Final = 100  # milliseconds that share an entry in the queue


@dataclass(slots=True)
class Item:
    """Sealed bytes and the lease with the latest deadline."""

    body: Bytes
    created: int
    ttl: int
    deadline: int

    def remaining(self, now: Moment) -> int:
        """Milliseconds until it is gone; never below zero."""
        return max(0, self.deadline - now.boot)


class MemoryStore:
    """Items by id. An item past its deadline is not there, whether or not its bytes were freed yet.

    The queue costs O(1) an item: deadlines are gathered in buckets, and only buckets are kept in order.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.used = 0
        self._items: dict[ItemId, Item] = {}
        self._buckets: dict[int, set[ItemId]] = {}
        self._order: list[int] = []

    def __len__(self) -> int:
        return len(self._items)

    @contextmanager
    def reserved(self, size: int, now: Moment) -> Iterator[None]:
        """Keep room for an item that is on its way, or raise Full before it comes."""
        self._make_room(size, now)
        self.used += size + ITEM_OVERHEAD
        try:
            yield
        finally:
            self.used -= size + ITEM_OVERHEAD

    def put(self, item: ItemId, body: Bytes, ttl: int, remaining: int, now: Moment) -> Item:
        """Hold the bytes until `remaining` milliseconds from now; what is held longer already stays so."""
        deadline = now.boot + remaining
        held = self._live(item, now)
        if held is None:
            self._forget(item)
            self._make_room(len(body), now)
            held = Item(body, now.wall - (ttl - remaining), ttl, deadline)
            self._items[item] = held
            self.used += len(body) + ITEM_OVERHEAD
        elif deadline > held.deadline:
            self._bucket_of(held).discard(item)
            held.created, held.ttl, held.deadline = now.wall - (ttl - remaining), ttl, deadline
        self._bucket_of(held).add(item)
        return held

    def get(self, item: ItemId, now: Moment) -> Item:
        """The item, or NotFound: exactly at its deadline it is gone."""
        held = self._live(item, now)
        if held is None:
            raise NotFound(f"{item} is not here, or it has expired")
        return held

    def expire(self, now: Moment, limit: int = 1_000) -> int:
        """Free at most `limit` items whose time has come and say how many; 0 means that none is left."""
        freed = 0
        while self._order and freed < limit and self._order[0] * _BUCKET <= now.boot:
            due = self._buckets[self._order[0]]
            while due and freed < limit:
                self._forget(due.pop())
                freed += 1
            if not due:
                del self._buckets[heapq.heappop(self._order)]
        return freed

    def _make_room(self, size: int, now: Moment) -> None:
        """What has expired makes room; nothing else does."""
        while self.used + size + ITEM_OVERHEAD > self.capacity:
            if not self.expire(now):
                raise Full(
                    f"this node is full: {format_size(self.used)} of {format_size(self.capacity)} are "
                    f"taken, and {format_size(size)} more do not fit"
                )

    def _live(self, item: ItemId, now: Moment) -> Item | None:
        held = self._items.get(item)
        return held if held is not None and held.deadline > now.boot else None

    def _bucket_of(self, held: Item) -> set[ItemId]:
        """The bucket that ends at or after the item's deadline."""
        number = -(-held.deadline // _BUCKET)
        if number not in self._buckets:
            self._buckets[number] = set()
            heapq.heappush(self._order, number)
        return self._buckets[number]

    def _forget(self, item: ItemId) -> None:
        held = self._items.pop(item, None)
        if held is not None:
            self._bucket_of(held).discard(item)
            self.used -= len(held.body) + ITEM_OVERHEAD
