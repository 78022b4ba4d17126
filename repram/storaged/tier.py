"""The seam between what a node knows (`holdings`) and where it keeps it: in memory, or on disk.

A *fact* is a key, a few bytes about it (`meta`), perhaps a body, and the time until which it is kept. A tier
knows nothing of leases, records or feeds. Times are the node's, in milliseconds, and come from outside.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

Bytes: TypeAlias = bytes | bytearray | memoryview
Place: TypeAlias = Any  # where a fact is; what it looks like is the tier's own affair

KEY_MAX: Final = 80  # bytes of a fact's key
META_MAX: Final = 4096


class Fact(NamedTuple):
    """What a tier remembers from before a restart."""

    key: bytes
    meta: bytes
    until: int
    size: int  # of the body
    place: Place


class Tier(Protocol):
    """All of it is called from the event loop's thread, but for `body`, which any thread may call."""

    name: str
    durable: bool  # whether facts survive a restart
    prompt: bool  # whether `settled` never has anything to wait for

    @property
    def used(self) -> int:
        """Bytes that live facts take, what each costs beside its body included."""

    def cost(self, size: int) -> int:
        """What a fact with a body of this size takes of the capacity."""

    def put(self, key: bytes, meta: bytes, body: Bytes, until: int) -> Place:
        """Keep a fact of a key that is not kept."""

    def replace(self, place: Place, key: bytes, meta: bytes, body: Bytes, until: int) -> Place:
        """Keep a fact in the place of one of the same key, which counts as dropped and ended. A crash
        leaves one of the two."""

    def amend(self, place: Place, meta: bytes, until: int) -> Place:
        """Other meta and another time for a fact; its body stays. The old place is not used again."""

    def drop(self, place: Place, *, ended: bool) -> None:
        """Keep a fact no longer. `ended`: before its time, so that whatever could still decrypt its body
        has to be destroyed within 60 seconds; otherwise its time is over, and the keys go by themselves."""

    def body(self, place: Place) -> Bytes:
        """A fact's body; IntegrityFailure when what is kept is damaged."""

    async def settled(self) -> None:
        """Everything that was asked before this call survives a power cut when it returns. Raises Full or
        RepramError when something of it could not be written: then none of it since the last success is
        sure, and `undone` tells which places never came to be."""

    def undone(self, place: Place) -> bool:
        """Whether this place is one that could not be written."""

    def restore(self, now: int) -> Iterator[Fact]:
        """The facts from before a restart whose time is not over; once, before anything else."""

    async def tend(self, now: int) -> None:
        """Called about once a second: destroy keys whose time is over, make up for drops, tidy up."""

    async def close(self) -> None:
        """Settle and let go of files."""
