"""A tier whose facts outlive their node, and which fails to write when the test says so."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from repram.errors import Full
from repram.storaged.tier import Bytes, Fact, Place

OVERHEAD = 512


class LastingTier:
    """What is settled is there after `restart`, and nothing else is."""

    name = "lasting"
    durable = True
    prompt = False

    def __init__(self) -> None:
        self.failing = False
        self.settlements = 0
        self._numbers = itertools.count()
        self._kept: dict[int, Fact] = {}
        self._settled: dict[int, Fact] = {}
        self._undone: set[int] = set()

    @property
    def used(self) -> int:
        return sum(fact.size + OVERHEAD for fact in self._kept.values())

    def cost(self, size: int) -> int:
        return size + OVERHEAD

    def put(self, key: bytes, meta: bytes, body: Bytes, until: int) -> Place:
        number = next(self._numbers)
        self._kept[number] = Fact(key, meta, until, len(body), bytes(body))
        return number

    def replace(self, place: Place, key: bytes, meta: bytes, body: Bytes, until: int) -> Place:
        self.drop(place, ended=True)
        return self.put(key, meta, body, until)

    def amend(self, place: Place, meta: bytes, until: int) -> Place:
        number = next(self._numbers)
        self._kept[number] = self._kept.pop(place)._replace(meta=meta, until=until)
        return number

    def drop(self, place: Place, *, ended: bool) -> None:  # gone is gone
        self._kept.pop(place, None)

    def body(self, place: Place) -> Bytes:
        body: bytes = self._kept[place].place
        return body

    async def settled(self) -> None:
        if self.failing:
            self._undone |= self._kept.keys() - self._settled.keys()
            raise Full("no space is left on the device")
        self.settlements += 1
        self._settled = dict(self._kept)

    def undone(self, place: Place) -> bool:
        return place in self._undone

    def restart(self) -> None:
        """The process has died."""
        self._kept = dict(self._settled)
        self._undone.clear()

    def restore(self, now: int) -> Iterator[Fact]:
        for number, fact in list(self._kept.items()):
            if fact.until > now:
                yield fact._replace(place=number)
            else:
                del self._kept[number]

    async def tend(self, now: int) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to let go of."""
