"""Over real interfaces: packets grow to what the path carries, and go on when it carries less."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from repram.proto.connection import Settings
from repram.proto.endpoint import Endpoint, Session
from tests.conftest import Run
from tests.namespaces import Host, Network, needs_namespaces, network
from tests.proto.live import MIB, ipv6

pytestmark = needs_namespaces

STEP = 16  # what is found is less than this below the truth
ETHERNET = {4: 1472, 6: 1452}
HEADERS = {4: 28, 6: 48}
NARROW = 1340  # an interface's MTU: more than the base, less than Ethernet's
BUFFERED = 32 * MIB  # more than sockets and streams hold: what comes behind was sent later
RECOVERED = 3.0  # seconds


@pytest.fixture
def net() -> Iterator[Network]:
    with network() as it:
        yield it


@asynccontextmanager
async def pair(
    net: Network, family: int, controller: str
) -> AsyncIterator[tuple[Session, Session]]:
    """A session between the client and the server."""
    settings = Settings(controller=controller)
    with net.server.entered():
        address = (net.address("server", family), 0)
        opened = await Endpoint.open(address, identity=b"i" * 32, listen=True, settings=settings)
    async with opened as server:
        with net.client.entered():
            address = (net.address("client", family), 0)
            calling = await Endpoint.open(address, settings=settings)
        async with calling as client:
            mine = await client.connect(server.address, server.key)
            yield mine, await server.accept()


class Flow:
    """One side writes as much as the other reads."""

    def __init__(self, sender: Session, receiver: Session) -> None:
        self.sender = sender
        self.receiver = receiver

    async def _write(self) -> None:
        stream = await self.sender.open_stream()
        while True:
            stream.write(bytes(MIB))
            await stream.drain()

    async def __aenter__(self) -> Flow:
        self._writing = asyncio.create_task(self._write())
        self._stream = await self.receiver.accept_stream()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writing.cancel()
        await asyncio.wait([self._writing])

    async def read(self, amount: int) -> None:
        """So many bytes more."""
        while amount > 0:
            amount -= len(await self._stream.read())


def narrow(net: Network, sender: Host, where: str) -> None:
    """Something that the sender's packets pass carries less from now on."""
    if where == "its own interface":
        sender.ip("link", "set", "router", "mtu", str(NARROW))
    else:
        behind = "server" if sender is net.client else "client"
        net.router.ip("link", "set", behind, "mtu", str(NARROW))


@pytest.mark.parametrize(
    ("family", "controller"), [(4, "bbr"), pytest.param(6, "cubic", marks=ipv6)]
)
@pytest.mark.parametrize("where", ["its own interface", "the way"])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_transfer_goes_on_when_less_passes(
    run: Run[None], net: Network, family: int, controller: str, where: str, direction: str
) -> None:
    async def main() -> None:
        async with pair(net, family, controller) as (mine, theirs):
            sender, receiver = (mine, theirs) if direction == "up" else (theirs, mine)
            async with Flow(sender, receiver) as flow:
                await flow.read(BUFFERED)
                assert sender.stats().mtu == ETHERNET[family]
                narrow(net, net.client if direction == "up" else net.server, where)
                async with asyncio.timeout(RECOVERED):
                    await flow.read(2 * BUFFERED)
                assert not sender.closed
                assert 0 <= NARROW - HEADERS[family] - sender.stats().mtu < STEP
                holes = sender.endpoint.core.counters()["black_holes"]
                assert bool(holes) == (where == "the way")

    run(main())
