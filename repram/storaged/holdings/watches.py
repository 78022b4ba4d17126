"""Who is told when a record changes, and what each of them has not been told yet.

What waits for a watcher are ids, each once: what there is to say of them is looked up when it is said. So
a slow one is told less often, and nothing false. One that has too much waiting loses its place, and has
to begin again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from repram.errors import Busy, RateLimited

WATCHERS_MAX: Final = 512  # in all; each takes one of the calls that may be under way
WAITING_MIN: Final = 1_024  # ids that may wait for each watcher, however many there are
WAITING_IN_ALL: Final = 1 << 17


class Watcher:
    """One who watches some ids, or all of an owner's."""

    def __init__(self, ids: Iterable[bytes], owner: bytes) -> None:
        self.ids = frozenset(ids)
        self.owner = owner
        self.watched = self.ids | {owner} if owner else self.ids  # both are 32 bytes, and random
        self._waiting: dict[bytes, None] = {}
        self._something = asyncio.Event()
        self._lost = False

    def tell(self, item: bytes, limit: int) -> None:
        """This record has changed."""
        if item in self._waiting:
            return
        if len(self._waiting) >= limit:
            self._lost = True
            self._waiting.clear()
        if not self._lost:
            self._waiting[item] = None
        self._something.set()

    async def next(self, limit: int) -> list[bytes]:
        """One id to so many, as soon as there are any; RateLimited when it lost its place."""
        while not self._waiting:
            if self._lost:
                raise RateLimited(
                    "more changes came than were read",
                    hint="Watch again; all there is comes first.",
                )
            self._something.clear()
            await self._something.wait()
        ids = list(self._waiting)[:limit]
        for item in ids:
            del self._waiting[item]
        return ids


class Watches:
    """All watchers of a node, by what they watch."""

    def __init__(self) -> None:
        self.count = 0
        self._by: dict[bytes, dict[Watcher, None]] = {}

    def refuse_more(self) -> None:
        """Busy when there are as many as there may be."""
        if self.count >= WATCHERS_MAX:
            raise Busy(f"{self.count} others watch this node, and it takes no more")

    @contextmanager
    def joined(self, watcher: Watcher) -> Iterator[None]:
        """It is told of what happens meanwhile."""
        self.refuse_more()
        self.count += 1
        for each in watcher.watched:
            self._by.setdefault(each, {})[watcher] = None
        try:
            yield
        finally:
            self.count -= 1
            for each in watcher.watched:
                self._by[each].pop(watcher)
                if not self._by[each]:
                    del self._by[each]

    def changed(self, item: bytes, owner: bytes) -> None:
        """A record of this owner has a new version, or is gone."""
        if not self._by:
            return
        limit = max(WAITING_MIN, WAITING_IN_ALL // self.count)
        for each in (item, owner):
            for watcher in self._by.get(each, ()):
                watcher.tell(item, limit)
