"""A path over real sockets: a link of the simulator each way, and a NAT that may forget."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from functools import partial
from ipaddress import IPv4Address
from types import TracebackType
from typing import Final, Self

from repram.proto.connection import Address
from tests.sim.link import Link, LinkSettings
from tests.sim.plan import SECOND

_A_TURN: Final = 64  # datagrams that are read before others have theirs
_BUFFER: Final = 1 << 22

Entered = Callable[[], AbstractContextManager[None]]


class Relay:
    """Stands between one caller, who knows only `address`, and a node, which sees it call from elsewhere."""

    def __init__(
        self,
        path: LinkSettings,
        seed: str,
        *,
        front: str,
        back: IPv4Address,
        node: Address,
        entered: Entered,
    ) -> None:
        """Its sockets are opened where one has `entered`."""
        self.there, self.back = Link(path, f"{seed}/there"), Link(path, f"{seed}/back")
        self.node = node
        self.caller: Address | None = None
        self.moves = 0
        self._entered = entered
        self._loop = asyncio.get_running_loop()
        self._begun = self._loop.time()
        self._outside = back
        self._front = self._open(front, self._from_caller)
        self._back = self._open(str(back), self._from_node)
        self.address: Address = self._front.getsockname()

    def move(self, *, address: bool) -> None:
        """The node sees the caller at another port, or another address; the one before leads nowhere."""
        self._outside += address
        self.moves += 1
        before = self._back
        self._back = self._open(str(self._outside), self._from_node)
        self._close(before)

    def move_every(self, first: int, every: int, *, address: bool) -> None:
        """Move again and again, microseconds apart, from now on."""

        def again() -> None:
            if self._front.fileno() >= 0:
                self.move(address=address)
                self._loop.call_later(every / SECOND, again)

        self._loop.call_later(first / SECOND, again)

    def counts(self) -> Counter[str]:
        """What befell the datagrams."""
        return self.there.counts + self.back.counts

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close(self._front)
        self._close(self._back)

    def _open(self, host: str, heard: Callable[[bytes, Address], None]) -> socket.socket:
        with self._entered():
            opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        opened.setblocking(False)
        opened.bind((host, 0))
        self._loop.add_reader(opened, self._read, opened, heard)
        return opened

    def _close(self, opened: socket.socket) -> None:
        self._loop.remove_reader(opened)
        opened.close()

    def _read(self, opened: socket.socket, heard: Callable[[bytes, Address], None]) -> None:
        with suppress(OSError):  # nothing more, or word of a port that is closed
            for _ in range(_A_TURN):
                heard(*opened.recvfrom(1 << 16))

    def _from_caller(self, datagram: bytes, source: Address) -> None:
        self.caller = source
        self._carry(self.there, datagram, self._to_node)

    def _from_node(self, datagram: bytes, source: Address) -> None:
        if source == self.node:
            self._carry(self.back, datagram, partial(self._to_caller, self.moves))

    def _carry(self, link: Link, datagram: bytes, arrives: Callable[[bytes], None]) -> None:
        now = int((self._loop.time() - self._begun) * SECOND)
        for arrival, copy in link.carry(now, datagram)[1]:
            self._loop.call_at(self._begun + arrival / SECOND, arrives, copy)

    def _to_node(self, datagram: bytes) -> None:
        with suppress(OSError):
            self._back.sendto(datagram, self.node)

    def _to_caller(self, moves: int, datagram: bytes) -> None:
        if self.caller and moves == self.moves:  # else it was on its way to where nobody is now
            with suppress(OSError):
                self._front.sendto(datagram, self.caller)
