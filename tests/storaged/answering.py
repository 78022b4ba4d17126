"""A node's service over real sessions, on a clock that the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from repram.proto.messages import STORAGE, Reply, Request
from repram.proto.rpc import Caller, Server
from repram.storaged.access.gate import Gate
from repram.storaged.access.open_gate import OpenGate
from repram.storaged.holdings.book import Book
from repram.storaged.memory import MemoryTier
from repram.storaged.service import Service
from repram.storaged.tier import Tier
from tests.nodes import calling, serving


class Clock:
    """Stands still until the test moves it."""

    def __init__(self) -> None:
        self.time = 1_700_000_000_000

    def __call__(self) -> int:
        return self.time


class Answering:
    """A service, and sessions with it."""

    def __init__(
        self,
        clock: Clock,
        *,
        capacity: int = 1 << 30,
        gate: Gate | None = None,
        tier: Tier | None = None,
    ) -> None:
        self.book = Book(tier or MemoryTier(), capacity)
        self.service = Service(self.book, gate or OpenGate(), clock)
        self.server = Server(STORAGE)
        self.service.answer_on(self.server)
        self.book.restore(clock())


@asynccontextmanager
async def node(
    clock: Clock, capacity: int = 1 << 30, gate: Gate | None = None, tier: Tier | None = None
) -> AsyncIterator[Caller[Request, Reply]]:
    """Who asks a service."""
    answering = Answering(clock, capacity=capacity, gate=gate, tier=tier)
    async with serving(answering.server) as address, calling(address) as session:
        yield Caller(session, STORAGE)
