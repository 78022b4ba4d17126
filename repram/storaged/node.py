"""A running node: the endpoint, its sessions, and the sweep that frees what has expired."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import suppress
from typing import Final, Self

from repram.errors import SessionClosed
from repram.ids import HostPort, NodeAddress
from repram.proto import rpc
from repram.proto.connection import Settings
from repram.proto.endpoint import Endpoint, Session
from repram.proto.messages import STORAGE
from repram.storaged import clock
from repram.storaged.access.open_gate import OpenGate
from repram.storaged.access.owners import Owners
from repram.storaged.holdings.book import Book
from repram.storaged.memory import MemoryTier
from repram.storaged.service import Service
from repram.storaged.values import Values

CALLS_AT_ONCE: Final = 64  # of one session; further ones wait at the caller
_SWEEP_INTERVAL: Final = 0.5
_FLUSH_INTERVAL: Final = 0.01
_DRAIN_TIME: Final = 10.0

_log = logging.getLogger(__name__)


class Node:
    """`open`, then `serve` until told to stop."""

    def __init__(self, endpoint: Endpoint, memory: int) -> None:
        self._endpoint = endpoint
        self._book = Book(MemoryTier(), memory)
        self._now = clock.anchored()
        self._server = rpc.Server(STORAGE)
        gate = OpenGate()
        Service(self._book, gate, self._now).answer_on(self._server)
        Values(self._book, gate, Owners(), self._now).answer_on(self._server)
        self._sessions: set[Session] = set()

    @classmethod
    async def open(cls, listen: tuple[str, int], *, memory: int, identity: bytes) -> Self:
        """Bind the socket; the node answers from `serve` on."""
        settings = Settings(max_streams=CALLS_AT_ONCE)
        endpoint = await Endpoint.open(listen, identity=identity, listen=True, settings=settings)
        return cls(endpoint, memory)

    @property
    def address(self) -> NodeAddress:
        """How others reach this node, as far as it can know."""
        host, port = self._endpoint.address[:2]
        return NodeAddress(self._endpoint.key, HostPort(_reachable(host), port))

    async def serve(self, stop: asyncio.Event) -> None:
        """Answer until `stop` is set, then finish what is under way, say goodbye and leave."""
        async with asyncio.TaskGroup() as tasks:
            accepting = tasks.create_task(self._accept(tasks))
            sweeping = tasks.create_task(self._sweep())
            await stop.wait()
            accepting.cancel()
            await self._drain()
            sweeping.cancel()
        await self._endpoint.close()

    async def _accept(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            session = await self._endpoint.accept()
            tasks.create_task(self._attend(session))

    async def _attend(self, session: Session) -> None:
        self._sessions.add(session)
        try:
            await self._server.attend(session)
        finally:
            self._sessions.discard(session)

    async def _sweep(self) -> None:
        """Free in slices, so that a million items that expire at once hold up nobody."""
        while True:
            freed = self._book.expire(self._now())
            await asyncio.sleep(0 if freed else _SWEEP_INTERVAL)

    async def _drain(self) -> None:
        _log.info("draining sessions=%d items=%d", len(self._sessions), len(self._book))
        try:
            async with asyncio.timeout(_DRAIN_TIME):
                await self._server.drain()
                for session in list(self._sessions):
                    await _flushed(session)
        except TimeoutError:
            _log.warning("calls cut off after %.0f s", _DRAIN_TIME)
        for session in list(self._sessions):
            await session.close(0, "the node is shutting down")


async def _flushed(session: Session) -> None:
    """Wait until the other side has acknowledged all: closing a session drops what is still on its way."""
    with suppress(SessionClosed):
        while session.stats().in_flight:  # noqa: ASYNC110  # the transport has no event for this
            await asyncio.sleep(_FLUSH_INTERVAL)


def _reachable(host: str) -> str:
    """For a socket on every interface: the address from which this machine would go out."""
    if host not in {"0.0.0.0", "::"}:  # noqa: S104  # compared, not bound
        return host
    family, probe = (
        (socket.AF_INET6, "2001:db8::1") if host == "::" else (socket.AF_INET, "192.0.2.1")
    )
    with socket.socket(family, socket.SOCK_DGRAM) as out:
        try:
            out.connect((probe, 9))  # sends nothing: it only picks a route
        except OSError:
            return "::1" if host == "::" else "127.0.0.1"
        return str(out.getsockname()[0])
