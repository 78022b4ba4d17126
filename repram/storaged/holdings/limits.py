"""How often an item may be fetched: downloads that are reserved, given back and counted."""

from __future__ import annotations

from typing import Final

import msgspec

from repram.errors import Busy, NotFound

RESERVED_FOR: Final = 600_000
GIVEN_BACK_MAX: Final = 2
AT_ONCE: Final = (
    24  # reservations of one item; what a restart needs of them has to fit into META_MAX
)


class Reserved(msgspec.Struct, array_like=True):
    """One download, reserved for whoever has the claimant's key."""

    claimant: bytes
    until: int
    given_back: int  # how often this download was, by whomever
    counted: bool = False  # it was handed out whole; the same key may fetch it again until its time


class Limit(msgspec.Struct, array_like=True):
    """The downloads of one item: taken, reserved, given back, or not touched yet.

    One counts as taken when the whole body was handed out under it, when its ten minutes are over, or
    when it is given back a third time. One that was given back is handed out again before a fresh one,
    so that nobody can fetch for ever by always giving back.
    """

    downloads: int
    taken: int = 0
    reserved: list[Reserved] = []
    returned: list[int] = []  # for each download that was given back how often it was, ascending

    def tell(self, now: int) -> tuple[int, int, int]:
        """How many are left for others, taken, and under way."""
        self._count_what_ran_out(now)
        under_way = sum(not each.counted for each in self.reserved)
        return self.downloads - self.taken - under_way, self.taken, under_way

    def of(self, claimant: bytes, now: int) -> Reserved | None:
        """What this key has reserved."""
        self._count_what_ran_out(now)
        return next((each for each in self.reserved if each.claimant == claimant), None)

    def reserve(self, claimant: bytes, now: int) -> Reserved:
        """A download for this key: the one that it has, or one more."""
        known = self.of(claimant, now)
        if known is not None:
            return known
        left, taken, under_way = self.tell(now)
        if taken >= self.downloads:
            raise NotFound(
                f"it has been downloaded {taken} times, which is as often as it may be",
                hint="Ask the sender for a new link.",
            )
        if left <= 0 or under_way >= AT_ONCE:
            raise Busy(
                f"{under_way} others are downloading it just now",
                hint="Try again in ten minutes: if one of them gives up, it is yours.",
            )
        if len(self.reserved) >= AT_ONCE:
            self.reserved.remove(next(each for each in self.reserved if each.counted))
        given_back = self.returned.pop() if self.returned else 0
        self.reserved.append(Reserved(claimant, now + RESERVED_FOR, given_back))
        return self.reserved[-1]

    def give_back(self, claimant: bytes, now: int) -> None:
        """Others may have it, also when it was handed out whole: of what hangs on the item nothing may have
        come. For the third time it counts."""
        reserved = self.of(claimant, now)
        if reserved is None:
            raise NotFound("this key has reserved no download, or its ten minutes are over")
        self.reserved.remove(reserved)
        self.taken -= reserved.counted
        if reserved.given_back >= GIVEN_BACK_MAX:
            self.taken += 1
        else:
            self.returned = sorted([*self.returned, reserved.given_back + 1])

    def count(self, reserved: Reserved) -> None:
        """It was handed out whole."""
        if reserved in self.reserved and not reserved.counted:
            reserved.counted = True
            self.taken += 1

    def _count_what_ran_out(self, now: int) -> None:
        over = [each for each in self.reserved if each.until <= now]
        if over:
            self.taken += sum(not each.counted for each in over)
            self.reserved = [each for each in self.reserved if each.until > now]
