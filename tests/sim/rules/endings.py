"""The end of a session: said, repeated ever more rarely, and then silence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.sim.frames import Close
from tests.sim.session import Rule

if TYPE_CHECKING:
    from tests.sim.packets import Packet


def closes(packet: Packet) -> bool:
    """Whether it says CLOSE."""
    return any(isinstance(frame, Close) for frame in packet.frames)


class FallsSilent(Rule):
    """Whoever was told CLOSE says nothing more; whoever said it says nothing else."""

    def begin(self) -> None:
        self._told = False
        self._said: list[Close] = []

    def heard(self, packet: Packet) -> None:
        self._told |= closes(packet) and packet.is_sure

    def said(self, packet: Packet) -> None:
        if self._told:
            raise self.side.wrong("it speaks although it was told CLOSE")
        if self._said and packet.frames != self._said:
            raise self.side.wrong(f"it says {packet.frames} after {self._said}")
        if closes(packet):
            self._said = [frame for frame in packet.frames if isinstance(frame, Close)]


class RepeatsGoodbyeRarely(Rule):
    """CLOSE is said again at the 1st, 2nd, 4th, 8th … packet that still comes."""

    def begin(self) -> None:
        self._said = 0
        self._heard = 0

    def heard(self, packet: Packet) -> None:
        self._heard += self._said > 0

    def said(self, packet: Packet) -> None:
        self._said += closes(packet)
        if self._said > 1 + self._heard.bit_length():
            raise self.side.wrong(f"it says CLOSE {self._said} times to {self._heard} packets")
