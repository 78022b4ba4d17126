"""Keys: renewed when it is time, by the initiator, and never before the change before is settled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.sim.frames import Ack, Ratchet, Stream
from tests.sim.session import Rule

if TYPE_CHECKING:
    from tests.sim.packets import Packet

SECOND: Final = 1_000_000


class Epoch:
    """The epoch of a side: from which of its packets on, and whether both have settled into it."""

    def __init__(self, number: int, first_sent: int, started: int) -> None:
        self.number = number
        self.first_sent = first_sent
        self.first_heard = -1
        self.started = started
        self.acked = False

    def hears(self, packet: Packet) -> None:
        """A packet of the peer's; is it the first of the epoch, does it acknowledge one of ours?"""
        if packet.epoch == self.number and self.first_heard < 0:
            self.first_heard = packet.number
        for frame in packet.frames:
            if isinstance(frame, Ack) and frame.largest >= self.first_sent:
                self.acked = True

    @property
    def is_settled(self) -> bool:
        return self.acked and self.first_heard >= 0


class ChangesKeysInTurn(Rule):
    """The initiator begins an epoch when the one before is settled; the responder only follows."""

    def begin(self) -> None:
        self._epoch = Epoch(0, self.side.first, self.side.now())

    def heard(self, packet: Packet) -> None:
        self._epoch.hears(packet)

    def said(self, packet: Packet) -> None:
        side, epoch = self.side, self._epoch
        if packet.epoch == epoch.number:
            return
        if side.initiator and not epoch.is_settled:
            raise side.wrong(f"it begins epoch {packet.epoch} before {epoch.number} is settled")
        if not side.initiator and packet.epoch > side.heard_epoch:
            raise side.wrong(f"it begins epoch {packet.epoch}, which is the initiator's to do")
        self._epoch = Epoch(packet.epoch, packet.number, packet.sent_at)
        if not side.initiator:
            self._epoch.first_heard = side.largest_heard


class RenewsKeys(Rule):
    """The initiator changes keys when they are old or much used, and may be changed."""

    def begin(self) -> None:
        side = self.side
        self._epoch = Epoch(0, side.first, side.now())
        self._asked = 0
        self._answered = 0

    def heard(self, packet: Packet) -> None:
        self._epoch.hears(packet)
        for frame in packet.frames:
            if isinstance(frame, Ratchet):
                self._answered = frame.number

    def said(self, packet: Packet) -> None:
        side, epoch = self.side, self._epoch
        if len(side.packets) == 1:
            epoch.started = packet.sent_at
        for frame in packet.frames:
            if isinstance(frame, Ratchet):
                self._asked = frame.number
        if packet.epoch != epoch.number:
            self._epoch = Epoch(packet.epoch, packet.number, packet.sent_at)
        elif side.initiator and epoch.is_settled and self._asked == self._answered:
            self._check(packet)

    def _check(self, packet: Packet) -> None:
        side, epoch = self.side, self._epoch
        if not any(isinstance(frame, Stream) for frame in packet.frames):
            return  # nothing much: it may be that the window is closed to the question
        used = max(packet.number - epoch.first_sent, side.largest_sure + 1 - epoch.first_heard)
        age = packet.sent_at - epoch.started
        settings = side.settings
        if used >= settings.rekey_packets or age >= settings.rekey_seconds * SECOND:
            raise side.wrong(f"epoch {epoch.number} goes on after {used} packets, {age} us")


class RatchetsInTurn(Rule):
    """Ratchets count up from 1; each question and each answer is always said with the same key."""

    def begin(self) -> None:
        self._keys: dict[int, bytes] = {}
        self._since = self.side.now()
        self._epoch = 0

    def heard(self, packet: Packet) -> None:
        for frame in packet.frames:
            if isinstance(frame, Ratchet) and self.side.initiator:
                self._since = packet.heard_at
                self._mixed_for = self._epoch + 1

    _mixed_for = -1

    def said(self, packet: Packet) -> None:
        side = self.side
        for frame in packet.frames:
            if isinstance(frame, Ratchet):
                self._check(frame)
        if packet.epoch == self._epoch:
            return
        self._epoch = packet.epoch
        age = packet.sent_at - self._since
        stale = age >= side.settings.ratchet_seconds * SECOND
        if side.initiator and self._mixed_for != packet.epoch and stale:
            raise side.wrong(f"epoch {packet.epoch} takes in no fresh key, {age} us after the last")

    def _check(self, frame: Ratchet) -> None:
        known = self._keys.setdefault(frame.number, frame.key)
        if known != frame.key or frame.number < 1 or frame.number > len(self._keys):
            raise self.side.wrong(f"ratchet {frame.number} comes out of turn")
        if frame.answers == self.side.initiator:
            raise self.side.wrong("it says the other side's part of a ratchet")
