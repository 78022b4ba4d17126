"""A node inside the test's own process, over real sockets, that answers as the test says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from repram.ids import HostPort, NodeAddress
from repram.proto.connection import DEFAULTS, Settings
from repram.proto.endpoint import Endpoint, Session
from repram.proto.rpc import Server


def wall_time() -> int:
    """What an endpoint tells those who call it, in milliseconds."""
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def serving(
    server: Server[Any, Any], *, settings: Settings = DEFAULTS
) -> AsyncIterator[NodeAddress]:
    """The address at which the server answers."""
    seed = bytes(range(32))
    opened = await Endpoint.open(("127.0.0.1", 0), identity=seed, listen=True, settings=settings)
    async with opened as endpoint:

        async def accept(tasks: asyncio.TaskGroup) -> None:
            while True:
                session = await endpoint.accept()
                tasks.create_task(server.attend(session))

        async with asyncio.TaskGroup() as tasks:
            accepting = tasks.create_task(accept(tasks))
            try:
                yield NodeAddress(endpoint.key, HostPort(*endpoint.address))
            finally:
                accepting.cancel()
                await endpoint.close()


@asynccontextmanager
async def calling(address: NodeAddress) -> AsyncIterator[Session]:
    """A session with it."""
    async with await Endpoint.open() as endpoint:
        yield await endpoint.connect((address.at.host, address.at.port), address.key)
