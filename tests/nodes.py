"""A node inside the test's own process, over real sockets, that answers as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from repram.ids import HostPort, NodeAddress
from repram.proto import rpc
from repram.proto.connection import Settings
from repram.proto.endpoint import Endpoint, Session


@asynccontextmanager
async def serving(
    handle: rpc.Handler, *, patience: float = rpc.PATIENCE
) -> AsyncIterator[NodeAddress]:
    """The address at which `handle` answers."""
    seed = bytes(range(32))
    settings = Settings(max_streams=rpc.CONCURRENCY)
    opened = await Endpoint.open(("127.0.0.1", 0), identity=seed, listen=True, settings=settings)
    server = rpc.Server(handle, patience=patience)
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
