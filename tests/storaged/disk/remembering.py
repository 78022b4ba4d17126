"""A book in memory and its snapshot, without a node around them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from repram.crypto import atrest
from repram.storaged.disk.buckets import Draw
from repram.storaged.disk.files import Files
from repram.storaged.disk.snapshot import Snapshot
from repram.storaged.holdings.book import Book, Entry
from repram.storaged.memory import MemoryTier
from repram.storaged.tier import Fact

NOW = 1_800_000_000_000
SLOTS = 200


class Kept(Entry, gc=False):
    """A fact that says what it says."""

    said: bytes = b""

    def meta(self) -> bytes:
        return self.said


def read(fact: Fact) -> Kept:
    return Kept(fact.key, fact.until, fact.size, fact.place, fact.meta)


class Remembering:
    """A book in memory, and its snapshot."""

    def __init__(self, snapshot: Snapshot, now: int = NOW) -> None:
        self.snapshot = snapshot
        self.book = Book(MemoryTier(snapshot), 1 << 30)
        self.book.add_kind(b"k", read, lambda _: None)
        self.book.on_outdated(snapshot.outdate)
        self.book.restore(now)

    def keep(self, name: bytes, body: bytes, until: int) -> Kept:
        entry = Kept(b"k" + name, until, len(body), None, b"said of " + name)
        self.book.keep(entry, body, NOW)
        return entry

    async def write(self, now: int = NOW) -> None:
        await self.snapshot.write(self.book.copied(now), now)

    def all(self) -> dict[bytes, bytes]:
        return {each.key[1:]: bytes(self.book.body(each)) for each in self.book.entries()}


@asynccontextmanager
async def remembering(
    path: Path, now: int = NOW, files: Files | None = None, drawn: Draw | None = None
) -> AsyncIterator[Remembering]:
    snapshot = Snapshot.open(path, files=files, slots=SLOTS, draw=drawn or atrest.draw_random)
    try:
        yield Remembering(snapshot, now)
    finally:
        await snapshot.close()
