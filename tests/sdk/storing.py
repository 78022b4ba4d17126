"""A node in the test's own process, which counts, and can be told to break off, or to lie."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec

from repram.ids import NodeAddress
from repram.proto.endpoint import Session
from repram.proto.messages import STORAGE, About, End, Found, Get, Has, Held, Put, Renew
from repram.proto.rpc import Answer, Incoming, Server
from repram.storaged import clock
from repram.storaged.access.open_gate import OpenGate
from repram.storaged.holdings.book import Book
from repram.storaged.memory import MemoryTier
from repram.storaged.service import Service
from tests.nodes import serving

Tamper = Callable[[bytes, bytes], bytes | None]
"""What is sent for an id in place of what is held; None: the truth."""


class Storing:
    """It holds in memory, honestly; what it sends may be something else."""

    def __init__(self) -> None:
        self.book = Book(MemoryTier(), 1 << 30)
        self.service = Service(
            self.book, OpenGate(), clock.Clock(clock.boottime, clock.read(), None).now
        )
        self.server = Server(STORAGE)
        self.server.on_task(Put, self._put)
        self.server.on_task(Get, self._get)
        self.server.on(Has, self.service.has)
        self.server.on(About, self.service.about)
        self.server.on_task(Renew, self.service.renew)
        self.server.on_task(End, self.service.end)
        self.service._reservations.answer_on(self.server)
        self.puts: list[Put] = []
        self.gets: list[bytes] = []
        self.tamper: Tamper | None = None
        self.announced_more = 0  # bytes than come, when it lies
        self.before_put: Callable[[Put, Session], Awaitable[None]] | None = None
        self.before_get: Callable[[Get, Session], Awaitable[None]] | None = None

    async def _put(self, request: Put, body: Incoming) -> Held:
        if self.before_put is not None:
            await self.before_put(request, body.session)
        held = await self.service.put(request, body)
        self.puts.append(request)
        return held

    async def _get(self, request: Get, body: Incoming) -> Answer[Found]:
        if self.before_get is not None:
            await self.before_get(request, body.session)
        self.gets.append(request.id)
        answer = self.service.get(request, body.session)
        lie = None if self.tamper is None else self.tamper(request.id, self.held(request.id))
        if lie is None:
            return answer
        said = msgspec.structs.replace(answer.reply, size=max(0, len(lie) + self.announced_more))
        return Answer(said, lie)

    def held(self, item: bytes) -> bytes:
        """What it has under this id, as it came."""
        return bytes(self.book.body(self.service.chunks.get(item, 0)))

    def forget_all(self) -> None:
        """As if it had lost its memory."""
        for entry in tuple(self.book.entries()):
            self.book.drop(entry)


@asynccontextmanager
async def storing() -> AsyncIterator[tuple[Storing, NodeAddress]]:
    """One that is up, and where."""
    node = Storing()
    async with serving(node.server) as address:
        yield node, address


def breaking(node: Storing, after: int) -> Callable[[object, Session], Awaitable[None]]:
    """Break the session off, once, when so many puts were done and another begins."""
    broke = False

    async def before(_request: object, session: Session) -> None:
        nonlocal broke
        if not broke and len(node.puts) >= after:
            broke = True
            await session.close()

    return before
