"""Endpoints over real sockets, in pairs, for tests of what they do there."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from nacl.bindings import crypto_sign_seed_keypair

from repram.proto.connection import Settings
from repram.proto.endpoint import Endpoint, Session
from repram.proto.stream import Stream

KIB, MIB = 1 << 10, 1 << 20
STRANGER = crypto_sign_seed_keypair(b"another seed, another key......!")[0]
SMALL = Settings(stream_window=64 * KIB, session_window=128 * KIB)
CODE = 0x1234


def has_ipv6() -> bool:
    """Whether ::1 can be bound here."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@asynccontextmanager
async def node(host: str = "127.0.0.1", settings: Settings = Settings()) -> AsyncIterator[Endpoint]:
    """An endpoint that listens."""
    async with await Endpoint.open(
        (host, 0), identity=b"i" * 32, listen=True, settings=settings
    ) as it:
        yield it


@asynccontextmanager
async def pair(
    host: str = "127.0.0.1",
    settings: Settings = Settings(),
) -> AsyncIterator[tuple[Session, Session]]:
    """Both ends of a session between two endpoints."""
    async with (
        node(host, settings) as server,
        await Endpoint.open((host, 0), settings=settings) as client,
    ):
        accepting = asyncio.create_task(server.accept())
        mine = await client.connect(server.address, server.key)
        yield mine, await accepting


async def read_all(stream: Stream) -> bytes:
    """Everything up to the end."""
    parts = []
    while data := await stream.read():
        parts.append(data)
    return b"".join(parts)


async def transfer(sender: Session, receiver: Session, data: bytes) -> bytes:
    """What arrives at the other end of a new stream that carries `data`."""

    async def send() -> None:
        stream = await sender.open_stream()
        stream.write(data)
        stream.send_eof()
        await stream.drain()
        assert await read_all(stream) == b""

    sending = asyncio.create_task(send())
    stream = await receiver.accept_stream()
    arrived = await read_all(stream)
    stream.send_eof()
    await sending
    return arrived


async def until(condition: Callable[[], bool]) -> None:
    """Lets the loop turn until something has happened."""
    while not condition():  # noqa: ASYNC110  # it may be anybody's, and has no event
        await asyncio.sleep(0)


async def begun(*tasks: asyncio.Task[Any]) -> None:
    """Lets these tasks run until each waits."""
    await asyncio.wait(tasks, timeout=0)
