"""Acknowledgements: of what came and of nothing else, soon, with the marks that were seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.sim.frames import Ack
from tests.sim.marked import CE, ECT0, ECT1
from tests.sim.session import Rule

if TYPE_CHECKING:
    from tests.sim.packets import Packet

LONGEST_WAIT: Final = 5000
EVERY: Final = 2
EVERY_MOST: Final = 32
LARGE: Final = 1000
MANY: Final = 24  # large packets in a round trip, from which on more than two may wait


class TellsTheLargest(Rule):
    """The header's ack is the largest number received."""

    def said(self, packet: Packet) -> None:
        side, field = self.side, int.from_bytes(packet.datagram[12:16], "big")
        if field == 0 and side.largest_sure < 0:
            return
        told = side.largest_heard - ((side.largest_heard - field) & 0xFFFFFFFF)
        if told < side.largest_sure or not side.heard_numbers.holds(told, told):
            raise side.wrong(f"its header tells {field}, it has heard up to {side.largest_heard}")


class AcksOnlyWhatCame(Rule):
    """Each number in an ACK's ranges has been received, and the delay is that of the largest."""

    def said(self, packet: Packet) -> None:
        side = self.side
        for frame in packet.frames:
            if not isinstance(frame, Ack):
                continue
            for low, high in frame.ranges:
                if not side.heard_numbers.holds(low, high):
                    raise side.wrong(f"it acknowledges {low} to {high}, which have not all come")
            waited = packet.sent_at - side.peer.packets[frame.largest].heard_at
            if frame.delay != waited:
                raise side.wrong(f"it says that its ACK waited {frame.delay} us, not {waited}")


class AcksInTime(Rule):
    """An ACK waits at most 5 ms, and for two packets that ask for one, or for some more where many
    large ones come; a gap hurries it."""

    _waiting = 0
    _large = 0
    _since = 0  # by the world's clock: a host's may leap
    _latest = 0
    _hurry = False

    def said(self, packet: Packet) -> None:
        if any(isinstance(frame, Ack) for frame in packet.frames):
            self._waiting, self._hurry = 0, False
        else:
            self._check()

    def heard(self, packet: Packet) -> None:
        side = self.side
        self._check()
        self._large += packet.size >= LARGE
        if not packet.asks or not packet.is_sure:
            return
        if not self._waiting:
            self._since = side.world.now
        self._latest = side.world.now
        self._waiting += 1
        self._hurry |= self._waiting >= (EVERY if self._large < MANY else EVERY_MOST)

    def over(self) -> None:
        self._check()

    def _check(self) -> None:
        side = self.side
        if side.may_be_mute:
            self._since = self._latest = side.world.now
        if not self._waiting or side.closed or side.is_short_of_memory:
            return
        if self._hurry and side.world.now > self._latest:
            raise side.wrong(f"{self._waiting} packets asked for an ACK, and none went at once")
        if side.world.now > self._since + LONGEST_WAIT:
            raise side.wrong(f"no ACK within {side.world.now - self._since} us")


class CountsMarks(Rule):
    """The counts in an ACK are of the packets that came with those marks, each counted once."""

    _sure = (0, 0, 0)
    _unsure = (0, 0, 0)

    def heard(self, packet: Packet) -> None:
        now = tuple(packet.heard_ecn == mark for mark in (ECT0, ECT1, CE))
        if packet.is_sure:
            self._sure = _sum(self._sure, now)
        else:
            self._unsure = _sum(self._unsure, now)

    def said(self, packet: Packet) -> None:
        for frame in packet.frames:
            if not isinstance(frame, Ack):
                continue
            told = frame.marks or (0, 0, 0)
            most = _sum(self._sure, self._unsure)
            if any(
                not low <= count <= high
                for low, count, high in zip(self._sure, told, most, strict=True)
            ):
                raise self.side.wrong(f"it counts the marks {told}, but {self._sure} came")


def _sum(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, int, int]:
    first, second, third = (a + b for a, b in zip(one, other, strict=True))
    return first, second, third
