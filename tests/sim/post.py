"""Datagrams beside the streams: each is known, so whoever gets one can tell whence it came, and how often."""

from __future__ import annotations

from contextlib import suppress
from struct import Struct
from typing import TYPE_CHECKING

from repram.errors import SessionClosed
from tests.sim.exchange import TransferError

if TYPE_CHECKING:
    from repram.proto.connection import Connection
    from tests.sim.world import Host, World

LABEL = Struct(">QII")  # which of all, who sent it, whether it wants an answer


class Post:
    """What one host sends by datagram, and what comes to it."""

    def __init__(self, world: World, host: Host) -> None:
        self.world = world
        self.host = host
        self._random = world.random(f"datagrams of {host.index}")

    def send(self, connection: Connection, size: int, *, asks: bool) -> None:
        """Send one of at least so many bytes; with `asks` the other side sends one back."""
        sent = self.world.datagrams
        label = LABEL.pack(len(sent), self.host.index, asks)
        data = label + self._random.randbytes(max(0, size - LABEL.size))
        sent[data] = False
        connection.send_datagram(data)

    def receive(self, connection: Connection) -> None:
        """Read all that has come."""
        with suppress(SessionClosed):  # it may have ended with the last of them
            while (data := connection.read_datagram()) is not None:
                self._check(data)
                _, _, asks = LABEL.unpack_from(data)
                if asks:
                    self.send(connection, len(data), asks=False)

    def _check(self, data: bytes) -> None:
        heard = self.world.datagrams.get(data)
        if heard is None:
            raise TransferError(f"a datagram of {len(data)} bytes that nobody sent")
        if heard:
            raise TransferError(f"datagram {LABEL.unpack_from(data)[0]} comes a second time")
        if LABEL.unpack_from(data)[1] == self.host.index:
            raise TransferError("a datagram comes back to who sent it")
        self.world.datagrams[data] = True
        self.world.counts["app_datagrams"] += 1
