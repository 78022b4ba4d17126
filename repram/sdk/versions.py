"""Versions of records: which comes next, and which have been seen."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from repram.errors import Conflict, IntegrityFailure
from repram.ids import ItemId

COUNTER_BITS: Final = 20
SEEN_MAX: Final = 1 << 16  # records whose newest version a client remembers
AHEAD_MAX: Final = 60_000  # milliseconds by which a version may be ahead of the node's time


class Versions:
    """Hybrid timestamps: the node's milliseconds, and a counter for what falls into the same one. Each is
    above all that were given before, even when the clock is set back."""

    def __init__(self) -> None:
        self._last = 0

    def next(self, now: int, above: int = 0) -> int:
        """A version for what is written `now`, above another."""
        if above >> COUNTER_BITS > now + AHEAD_MAX:
            raise Conflict(
                "the version that is there lies in the future: nothing newer can be written yet",
                hint="A clock was wrong when it was written: use another name until it has expired.",
            )
        self._last = max(self._last, above, (now << COUNTER_BITS) - 1) + 1
        return self._last


class Seen:
    """The newest version of each record that the node has shown; an older one later is a rollback."""

    def __init__(self, limit: int = SEEN_MAX) -> None:
        self._limit = limit
        self._versions: OrderedDict[bytes, int] = OrderedDict()  # by id

    def newest(self, item: ItemId) -> int:
        """The newest so far; 0: none."""
        return self._versions.get(item.raw, 0)

    def copy(self) -> Seen:
        """What is known by now."""
        copied = Seen(self._limit)
        copied._versions = self._versions.copy()
        return copied

    def note(self, item: ItemId, version: int) -> None:
        """This version is or was there, as its owner's signature or seal says."""
        self._versions[item.raw] = max(version, self._versions.get(item.raw, 0))
        self._versions.move_to_end(item.raw)
        if len(self._versions) > self._limit:
            self._versions.popitem(last=False)

    def check(self, item: ItemId, version: int, floor: int) -> None:
        """Refuse what is older than `floor`: what was known before it was asked for."""
        if version < floor:
            raise IntegrityFailure(
                f"the node answered with version {version}, and {floor} was there before",
                hint="It was set back to an older state, or it lies. Ask its owner; use another host.",
            )
        self.note(item, version)
