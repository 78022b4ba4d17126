"""A tier whose facts survive a restart, in the memory of the test; and that fails when told to."""

from __future__ import annotations

from collections.abc import Iterator

from repram.errors import RepramError
from repram.storaged.memory import MemoryTier
from repram.storaged.tier import Bytes, Fact, Place


class Kept:
    """A place: the fact itself."""

    def __init__(self, key: bytes, meta: bytes, body: Bytes, until: int) -> None:
        self.key, self.meta, self.body, self.until = key, meta, bytes(body), until
        self.undone = False

    def __len__(self) -> int:
        return len(self.body)


class LedgerTier(MemoryTier):
    """What is settled is in `disk`; what is not is lost in a restart."""

    durable = True

    def __init__(self, disk: dict[bytes, Kept] | None = None) -> None:
        super().__init__()
        self.prompt = False
        self.disk = {} if disk is None else disk
        self.failing = False
        self._written: dict[bytes, Kept | None] = {}

    def put(self, key: bytes, meta: bytes, body: Bytes, until: int) -> Place:
        kept = self._written[key] = Kept(key, meta, body, until)
        super().put(key, meta, kept.body, until)
        return kept

    def amend(self, place: Place, meta: bytes, until: int) -> Place:
        kept = self._written[place.key] = Kept(place.key, meta, place.body, until)
        return kept

    def drop(self, place: Place, *, ended: bool) -> None:
        super().drop(place, ended=ended)
        self._written[place.key] = None

    def body(self, place: Place) -> Bytes:
        body: Bytes = place.body
        return body

    async def settled(self) -> None:
        written, self._written = self._written, {}
        if self.failing:
            for key, kept in written.items():
                if kept is not None:
                    kept.undone = True
                    before = self.disk.get(key)
                    self._used += self.cost(len(before)) if before else 0
                    self._used -= self.cost(len(kept))
            raise RepramError("the disk takes nothing")
        for key, kept in written.items():
            if kept is None:
                self.disk.pop(key, None)
            else:
                self.disk[key] = kept

    def undone(self, place: Place) -> bool:
        return bool(place.undone)

    def restore(self, now: int) -> Iterator[Fact]:
        for kept in self.disk.values():
            if kept.until > now:
                self._used += self.cost(len(kept))
                yield Fact(kept.key, kept.meta, kept.until, len(kept), kept)
