"""Addresses: everything goes to one that has proved itself; to others only the question whether they are."""

from __future__ import annotations

import socket
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from tests.sim.frames import ObservedAddress, PathChallenge, PathResponse
from tests.sim.session import Rule

if TYPE_CHECKING:
    from repram.proto.connection import Address
    from tests.sim.packets import Packet

AMPLIFICATION: Final = 3
PATH_FRAMES: Final = (PathChallenge, PathResponse)


def is_about_paths(packet: Packet) -> bool:
    """Whether a packet holds nothing else: only such a one may go to an unproved address."""
    return all(isinstance(frame, PATH_FRAMES) for frame in packet.frames)


class GoesOnlyWhereProved(Rule):
    """A new address is asked, at most threefold, and gets the rest only once it has answered right."""

    def begin(self) -> None:
        side = self.side
        # Where the session may be now; the initiator knows whom it called.
        self._homes: set[Address] = {side.peer.host.address} if side.initiator else set()
        self._asked: defaultdict[Address, set[bytes]] = defaultdict(set)
        self._owed: defaultdict[Address, int] = defaultdict(int)
        self._last_asked: Address | None = None
        self._last_question = b""

    def heard(self, packet: Packet) -> None:
        source, side = packet.heard_from, self.side
        assert source is not None
        if packet.number == side.largest_heard and source != self._last_asked:
            self._last_question = (
                b""  # the newest packet comes from elsewhere: that is asked instead
            )
        self._homes = self._homes or {source}
        self._owed[source] += AMPLIFICATION * packet.size
        for frame in packet.frames:
            if isinstance(frame, PathResponse):
                self._homes |= {at for at, asked in self._asked.items() if frame.data in asked}
                side.may_be_mute &= frame.data != self._last_question

    def heard_again(self, packet: Packet, source: Address) -> None:
        self._owed[source] += (
            AMPLIFICATION * packet.size
        )  # it may be the true one, and is asked too

    def said(self, packet: Packet) -> None:
        to, side = packet.to, self.side
        if not self._homes and to in side.called_from:
            self._homes = {to}  # the handshake's third message has proved it
        if to not in self._homes:
            self._owed[to] -= packet.size
            if self._owed[to] + AMPLIFICATION * side.called_from[to] < 0:
                raise side.wrong(f"it amplifies towards {to}")
            if not is_about_paths(packet):
                raise side.wrong(f"it goes to {to}, which has proved nothing")
        elif not is_about_paths(packet):
            self._homes = {to}
        for frame in packet.frames:
            if isinstance(frame, PathChallenge):
                self._asked[to].add(frame.data)
                self._last_asked, self._last_question = to, frame.data


class AnswersChallenges(Rule):
    """A challenge is answered to where it came from, and only what was asked is answered."""

    def begin(self) -> None:
        self._open: set[tuple[bytes, Address]] = set()

    def heard(self, packet: Packet) -> None:
        assert packet.heard_from is not None
        self.heard_again(packet, packet.heard_from)

    def heard_again(self, packet: Packet, source: Address) -> None:
        for frame in packet.frames:
            if isinstance(frame, PathChallenge):
                self._open.add((frame.data, source))

    def said(self, packet: Packet) -> None:
        for frame in packet.frames:
            if isinstance(frame, PathResponse) and (frame.data, packet.to) not in self._open:
                raise self.side.wrong(f"it answers {packet.to} what that has not asked")


class TellsWhereItSees(Rule):
    """OBSERVED_ADDRESS holds the address that the packet goes to."""

    def said(self, packet: Packet) -> None:
        for frame in packet.frames:
            if isinstance(frame, ObservedAddress):
                host, port = packet.to
                ip = bytes(10) + b"\xff\xff" + socket.inet_aton(host)
                if (frame.ip, frame.port) != (ip, port):
                    raise self.side.wrong(f"it sees {frame.ip.hex()} at {packet.to}")
