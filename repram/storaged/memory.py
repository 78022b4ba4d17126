"""The tier in memory: a place is the body itself, and forgetting is letting go of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from repram.storaged.tier import Bytes, Fact, Place

OVERHEAD: Final = 512  # what a fact costs beside its body, so that a million small ones count too


class MemoryTier:
    """Keeps bodies in memory; nothing of it survives the process."""

    name = "memory"
    durable = False

    def __init__(self) -> None:
        self._used = 0

    @property
    def used(self) -> int:
        """Bytes that live facts take, their overhead included."""
        return self._used

    def cost(self, size: int) -> int:
        """What a fact with a body of this size takes of the capacity."""
        return size + OVERHEAD

    def put(self, key: bytes, meta: bytes, body: Bytes, until: int) -> Place:  # noqa: ARG002  # nothing is written
        """Keep a body; nobody changes it from now on, so that it can be sent from where it is."""
        self._used += len(body) + OVERHEAD
        return body if isinstance(body, bytes) else memoryview(body).toreadonly()

    def replace(self, place: Place, key: bytes, meta: bytes, body: Bytes, until: int) -> Place:
        """Keep another body instead."""
        self.drop(place, ended=True)
        return self.put(key, meta, body, until)

    def amend(self, place: Place, meta: bytes, until: int) -> Place:  # noqa: ARG002  # nothing is written
        """Its body stays."""
        return place

    def drop(self, place: Place, *, ended: bool) -> None:  # noqa: ARG002  # gone is gone
        """Keep it no longer."""
        self._used -= len(place) + OVERHEAD

    def body(self, place: Place) -> Bytes:
        """A fact's body."""
        body: Bytes = place
        return body

    async def settled(self) -> None:
        """Nothing here survives a power cut, and nobody was promised that it does."""

    def undone(self, place: Place) -> bool:  # noqa: ARG002  # memory never fails to take what there was room for
        """None."""
        return False

    def restore(self, now: int) -> Iterator[Fact]:  # noqa: ARG002  # there is nothing
        """Nothing was there before."""
        return iter(())

    async def tend(self, now: int) -> None:
        """There is nothing to do."""

    async def close(self) -> None:
        """There is nothing to let go of."""
