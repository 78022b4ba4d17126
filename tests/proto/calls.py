"""A small service and both ends of a session, for tests of calls: real sockets, one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from repram.proto.connection import DEFAULTS, Settings
from repram.proto.endpoint import ANY, Endpoint, Session
from repram.proto.rpc import PATIENCE, Caller, Codec, Server

Size = Annotated[int, Meta(ge=0, le=1 << 40)]


class Say(msgspec.Struct, frozen=True, array_like=True, tag="say"):
    """Say it back."""

    text: Annotated[str, Meta(max_length=60_000)]


class Take(msgspec.Struct, frozen=True, array_like=True, tag="take"):
    """Take the body, and tell how long it was."""


class Give(msgspec.Struct, frozen=True, array_like=True, tag="give"):
    """Give a body of so many bytes."""

    size: Size


class Work(msgspec.Struct, frozen=True, array_like=True, tag="work"):
    """Do what the test says."""


class Said(msgspec.Struct, frozen=True, array_like=True, tag="said"):
    text: Annotated[str, Meta(max_length=60_000)]


class Done(msgspec.Struct, frozen=True, array_like=True, tag="done"):
    size: Size


Request: TypeAlias = Say | Take | Give | Work
Reply: TypeAlias = Said | Done
TALK: Final = Codec[Request, Reply](Request, Reply)
TestServer: TypeAlias = Server[Request, Reply]


def say(request: Say, _session: Session) -> Said:
    return Said(request.text)


def server(*, at_once: int = 1024, patience: float = PATIENCE) -> TestServer:
    """One that answers Say; the test adds what it is about."""
    made = Server(TALK, at_once=at_once, patience=patience)
    made.on(Say, say)
    return made


@dataclass(frozen=True, slots=True)
class Ends:
    """The two ends of one session, and what asks at one of them."""

    here: Endpoint
    there: Endpoint
    session: Session
    other: Session
    caller: Caller[Request, Reply]

    def at_rest(self) -> bool:
        """Whether no stream is left and nothing is in flight at either end."""
        return not any(
            endpoint.core.counters()["streams"] or session.stats().in_flight
            for endpoint, session in ((self.here, self.session), (self.there, self.other))
        )


@asynccontextmanager
async def talking(
    answering: TestServer,
    *,
    settings: Settings = DEFAULTS,
    callers: Settings = DEFAULTS,
    patience: float = PATIENCE,
) -> AsyncIterator[Ends]:
    """A session whose far end the server answers."""
    local = ("127.0.0.1", 0)
    opened = await Endpoint.open(local, identity=bytes(32), listen=True, settings=settings)
    async with opened as there, await Endpoint.open(ANY, settings=callers) as here:
        session = await here.connect(("127.0.0.1", there.address[1]), there.key)
        other = await there.accept()
        serving = asyncio.create_task(answering.attend(other))
        try:
            caller = Caller(session, TALK, patience=patience)
            yield Ends(here, there, session, other, caller)
        finally:
            await session.close()
            await serving


async def until(condition: Callable[[], bool]) -> None:
    """Lets the loop run until it is so."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # what the core counts has no event
            await asyncio.sleep(0.001)


def pieces(size: int) -> bytes:
    """Bytes that differ from place to place."""
    return (bytes(range(251)) * (size // 251 + 1))[:size]
