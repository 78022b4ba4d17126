"""Which records an owner has, in the order of their ids."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Final

import msgspec

_LONGEST: Final = 1024  # a run of ids; a longer one is parted


class Owned(msgspec.Struct, gc=False):
    """An owner's ids in sorted runs: adding, removing and paging cost the same however many there are."""

    owner: bytes
    runs: list[list[bytes]]
    firsts: list[
        bytes
    ]  # the first id of each run but the first: what lies before belongs to the one before

    @property
    def empty(self) -> bool:
        """Whether there is nothing left."""
        return not self.runs[0] and len(self.runs) == 1

    def add(self, key: bytes) -> None:
        """An id that may be there already."""
        at = bisect_right(self.firsts, key)
        run = self.runs[at]
        place = bisect_left(run, key)
        if place < len(run) and run[place] == key:
            return
        run.insert(place, key)
        if len(run) > _LONGEST:
            self.runs.insert(at + 1, run[_LONGEST // 2 :])
            self.firsts.insert(at, run[_LONGEST // 2])
            del run[_LONGEST // 2 :]

    def discard(self, key: bytes) -> None:
        """An id that may be there."""
        at = bisect_right(self.firsts, key)
        run = self.runs[at]
        place = bisect_left(run, key)
        if place == len(run) or run[place] != key:
            return
        del run[place]
        if not run and len(self.runs) > 1:
            del self.runs[at]
            del self.firsts[max(at - 1, 0)]

    def after(self, key: bytes, limit: int) -> list[bytes]:
        """At most so many ids that come behind this one."""
        at = bisect_right(self.firsts, key)
        run = self.runs[at]
        start = bisect_right(run, key)
        page = run[start : start + limit]
        while len(page) < limit and at + 1 < len(self.runs):
            at += 1
            page += self.runs[at][: limit - len(page)]
        return page


def owned_by(owner: bytes) -> Owned:
    """An owner who has nothing yet."""
    return Owned(owner, [[]], [])
