"""Endpoints over real sockets, on both event loops and both IP versions."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import closing
from hashlib import sha256
from random import Random

import pytest

from repram._core import lib
from repram.errors import (
    DeadAddress,
    IncompatibleVersion,
    RepramError,
    SessionClosed,
    WrongKey,
)
from repram.proto.connection import Address, Secret, Settings
from repram.proto.endpoint import Endpoint, Session
from repram.proto.stream import Stream
from tests.conftest import Run
from tests.proto.by_hand import INIT, VERSION, datagram
from tests.proto.live import (
    KIB,
    MIB,
    SMALL,
    STRANGER,
    begun,
    ipv6,
    node,
    pair,
    read_all,
    transfer,
    until,
)

QUICK = Settings(handshake_timeout=0.5)

pytestmark = pytest.mark.usefixtures("nothing_is_left")


# ---- sessions and streams ----


def test_a_question_and_its_answer(run: Run[None], host: str) -> None:
    async def main() -> None:
        async with pair(host) as (mine, theirs):
            assert (mine.peer_key, theirs.peer_key) == (theirs.endpoint.key, None)
            assert theirs.address == mine.endpoint.address
            stream = await mine.open_stream()
            stream.write(b"question")
            stream.send_eof()
            heard = await theirs.accept_stream()
            assert (heard.id, await read_all(heard)) == (stream.id, b"question")
            heard.write(b"answer")
            heard.send_eof()
            assert await read_all(stream) == b"answer"

    run(main())


def test_streams_go_both_ways(run: Run[None], host: str) -> None:
    async def main() -> None:
        async with pair(host) as (mine, theirs):
            assert await transfer(mine, theirs, b"there") == b"there"
            assert await transfer(theirs, mine, b"and back") == b"and back"
            assert await transfer(mine, theirs, b"") == b""

    run(main())


def test_64_mebibytes_arrive_as_they_were_sent(run: Run[None], host: str) -> None:
    async def main() -> None:
        block, times = Random(64).randbytes(MIB), 64
        async with pair(host) as (mine, theirs):
            sent, heard = sha256(), sha256()

            async def send() -> None:
                stream = await mine.open_stream()
                for number in range(times):
                    piece = number.to_bytes(8, "big") + block[8:]
                    sent.update(piece)
                    stream.write(piece)
                    await stream.drain()
                stream.send_eof()

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(send())
                stream = await theirs.accept_stream()
                size = 0
                while data := await stream.read(256 * KIB):
                    heard.update(data)
                    size += len(data)
            assert size == times * MIB
            assert heard.digest() == sent.digest()

    run(main())


def test_many_streams_at_once(run: Run[None]) -> None:
    async def main() -> None:
        async with pair() as (mine, theirs):

            async def ask(number: int) -> None:
                stream = await mine.open_stream(priority=number % 8)
                stream.write(number.to_bytes(4, "big") * (1 + number * 50))
                stream.send_eof()
                assert await read_all(stream) == number.to_bytes(4, "big")

            async def answer(stream: Stream) -> None:
                question = await read_all(stream)
                assert len(question) == 4 * (1 + int.from_bytes(question[:4], "big") * 50)
                stream.write(question[:4])
                stream.send_eof()

            async with asyncio.TaskGroup() as tasks:
                for number in range(500):
                    tasks.create_task(ask(number))
                for _ in range(500):
                    tasks.create_task(answer(await theirs.accept_stream()))

    run(main())


def test_more_streams_than_are_allowed_wait_their_turn(run: Run[None]) -> None:
    async def main() -> None:
        async with pair(settings=Settings(max_streams=4)) as (mine, theirs):
            open_at_once = 0

            async def ask() -> None:
                stream = await mine.open_stream()
                stream.send_eof()
                assert await read_all(stream) == b"!"

            async with asyncio.TaskGroup() as tasks:
                for _ in range(50):
                    tasks.create_task(ask())
                for _ in range(50):
                    stream = await theirs.accept_stream()
                    open_at_once = max(open_at_once, theirs.stats().streams)
                    assert await read_all(stream) == b""
                    stream.write(b"!")
                    stream.send_eof()
            assert 1 <= open_at_once <= 4

    run(main())


def test_many_sessions_at_once(run: Run[None]) -> None:
    async def main() -> None:
        async with node() as server, asyncio.TaskGroup() as tasks:

            async def call(number: int) -> None:
                async with await Endpoint.open(("127.0.0.1", 0)) as client:
                    session = await client.connect(server.address, server.key)
                    stream = await session.open_stream()
                    stream.write(bytes([number]))
                    stream.send_eof()
                    assert await read_all(stream) == bytes([number])

            async def echo(session: Session) -> None:
                stream = await session.accept_stream()
                stream.write(await read_all(stream))
                stream.send_eof()
                with pytest.raises(SessionClosed):
                    await session.accept_stream()

            for number in range(50):
                tasks.create_task(call(number))
            for _ in range(50):
                tasks.create_task(echo(await server.accept()))

    run(main())


def test_readexactly_takes_what_it_was_told_or_says_what_is_missing(run: Run[None]) -> None:
    async def main() -> None:
        async with pair() as (mine, theirs):
            stream = await mine.open_stream()
            stream.write(bytes(range(100)) * 2_000)
            stream.send_eof()
            heard = await theirs.accept_stream()
            assert await heard.readexactly(0) == b""
            assert await heard.readexactly(150_000) == bytes(range(100)) * 1_500
            with pytest.raises(asyncio.IncompleteReadError) as caught:
                await heard.readexactly(50_001)
            assert (len(caught.value.partial), caught.value.expected) == (50_000, 50_001)

    run(main())


def test_a_host_may_be_a_name(run: Run[None]) -> None:
    async def main() -> None:
        async with node() as server, await Endpoint.open(("127.0.0.1", 0)) as client:
            await client.connect(("localhost", server.address[1]), server.key)

    run(main())


@ipv6
def test_a_socket_for_both_ip_versions_takes_callers_of_both(run: Run[None]) -> None:
    async def main() -> None:
        async with node("::") as server:
            for caller in ("127.0.0.1", "::1"):
                async with await Endpoint.open((caller, 0)) as client:
                    mine = await client.connect((caller, server.address[1]), server.key)
                    theirs = await server.accept()
                    assert theirs.address == client.address
                    assert await transfer(mine, theirs, b"hello") == b"hello"

    run(main())


def test_a_secret_is_known_by_its_id(run: Run[None]) -> None:
    async def main() -> None:
        secret = Secret(b"invite-1", b"s" * 32)
        async with node() as server, await Endpoint.open(("127.0.0.1", 0)) as client:
            server.add_secret(secret)
            await client.connect(server.address, server.key, secret=secret)
            assert (await server.accept()).secret_id == secret.id

    run(main())


# ---- backpressure ----


def test_drain_waits_while_the_reader_stalls(run: Run[None]) -> None:
    async def main() -> None:
        async with pair(settings=SMALL) as (mine, theirs):
            stream = await mine.open_stream()
            data = Random(1).randbytes(4 * MIB)
            stream.write(data)
            draining = asyncio.create_task(stream.drain())
            heard = await theirs.accept_stream()
            got = [await heard.readexactly(1)]
            await until(lambda: theirs.stats().bytes_received > SMALL.stream_window)
            await until(lambda: not mine.stats().in_flight)
            assert not draining.done()
            assert theirs.stats().bytes_received < MIB
            stream.send_eof()
            got.append(await read_all(heard))
            await draining
            assert b"".join(got) == data

    run(main())


def test_a_writer_that_is_cancelled_while_it_drains_leaves_a_working_stream(run: Run[None]) -> None:
    async def main() -> None:
        async with pair(settings=SMALL) as (mine, theirs):
            stream = await mine.open_stream()
            data = Random(2).randbytes(2 * MIB)
            stream.write(data)
            draining = asyncio.create_task(stream.drain())
            await begun(draining)
            draining.cancel()
            with pytest.raises(asyncio.CancelledError):
                await draining
            stream.send_eof()
            heard = await theirs.accept_stream()
            assert await read_all(heard) == data

    run(main())


def test_what_is_written_may_be_any_buffer(run: Run[None]) -> None:
    async def main() -> None:
        async with pair() as (mine, theirs):
            stream = await mine.open_stream()
            for piece in (b"one ", bytearray(b"two "), memoryview(b"-three")[1:]):
                stream.write(piece)
            stream.send_eof()
            assert await read_all(await theirs.accept_stream()) == b"one two three"

    run(main())


# ---- failures ----


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_port_where_nothing_answers_is_named(run: Run[None]) -> None:
    async def main() -> None:
        port = free_port()
        async with await Endpoint.open(("127.0.0.1", 0), settings=QUICK) as client:
            with pytest.raises(DeadAddress, match=f"nothing answers at 127.0.0.1 port {port}"):
                await client.connect(("127.0.0.1", port), STRANGER)

    run(main())


def test_a_host_that_nobody_knows_is_named(run: Run[None]) -> None:
    async def main() -> None:
        async with await Endpoint.open(("127.0.0.1", 0)) as client:
            with pytest.raises(DeadAddress, match=r"no-such-host\.invalid"):
                await client.connect(("no-such-host.invalid", 7433), STRANGER)

    run(main())


def test_a_wrong_key_is_named(run: Run[None], host: str) -> None:
    async def main() -> None:
        async with node(host) as server, await Endpoint.open((host, 0), settings=QUICK) as client:
            with pytest.raises(WrongKey):
                await client.connect(server.address, STRANGER)
            await client.connect(server.address, server.key)

    run(main())


def test_another_version_is_named(run: Run[None]) -> None:
    """A node of the future answers INIT with the versions that it speaks."""

    def answer(node: socket.socket) -> None:
        data, source = node.recvfrom(2_000)
        session = int.from_bytes(data[20:24], "big")
        if data[0] == INIT:
            node.sendto(datagram(VERSION, data[28:36] + b"\2", session=session), source)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.1", 0))
            loop.add_reader(other, answer, other)
            async with await Endpoint.open(("127.0.0.1", 0), settings=QUICK) as client:
                with pytest.raises(IncompatibleVersion):
                    await client.connect(other.getsockname(), STRANGER)
            loop.remove_reader(other)

    run(main())


def test_a_flood_of_callers_takes_no_room_from_sessions(run: Run[None], host: str) -> None:
    async def main() -> None:
        async with node(host) as server, await Endpoint.open((host, 0)) as client:
            mine = await client.connect(server.address, server.key)
            theirs = await server.accept()
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with closing(socket.socket(family, socket.SOCK_DGRAM)) as flood:
                call = datagram(INIT, bytes(1180))
                for _ in range(15_000):  # more than any buffer holds, while nobody reads
                    flood.sendto(call, server.address)
            mine.send_datagram(b"still there")
            assert await theirs.receive_datagram() == b"still there"
            assert server.kernel_drops == 0

    run(main())


def test_a_port_that_is_taken_is_named(run: Run[None]) -> None:
    async def main() -> None:
        async with node() as server:
            with pytest.raises(RepramError, match=f"port {server.address[1]}") as caught:
                await Endpoint.open(server.address, listen=True)
            assert "Another program" in caught.value.hint

    run(main())


@pytest.mark.parametrize("sent", [0, 1])
def test_a_cancelled_call_leaves_nothing(run: Run[None], sent: int) -> None:
    async def main() -> None:
        async with await Endpoint.open(("127.0.0.1", 0)) as client:
            calling = asyncio.create_task(client.connect(("127.0.0.1", free_port()), STRANGER))
            await until(lambda: client.core.counters()["datagrams_out"] >= sent)
            calling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await calling
            assert client.core.counters()["sessions"] == 0

    run(main())


def test_cancelled_waiters_do_not_take_what_comes_for_others(run: Run[None]) -> None:
    async def main() -> None:
        async with node() as server, await Endpoint.open(("127.0.0.1", 0)) as client:
            for _ in range(3):
                waiting = asyncio.create_task(server.accept())
                await begun(waiting)
                waiting.cancel()
            mine = await client.connect(server.address, server.key)
            theirs = await server.accept()
            for _ in range(3):
                waiter = asyncio.create_task(theirs.accept_stream())
                await begun(waiter)
                waiter.cancel()
            stream = await mine.open_stream()
            stream.write(b"first")
            heard = await theirs.accept_stream()
            reading = asyncio.create_task(heard.read())
            assert await reading == b"first"
            reading = asyncio.create_task(heard.read())
            await begun(reading)
            reading.cancel()
            stream.write(b"second")
            assert await heard.read() == b"second"

    run(main())


class LongWay(asyncio.DatagramProtocol):
    """A relay on which every datagram is 10 ms under way, and no two arrive at the same moment."""

    def __init__(self, to: Address) -> None:
        self.to = to
        self.caller: Address | None = None
        self.under_way: asyncio.Queue[tuple[float, bytes, Address]] = asyncio.Queue()

    def datagram_received(self, data: bytes, origin: Address) -> None:
        if origin != self.to:
            self.caller = origin
        target = self.caller if origin == self.to else self.to
        assert target
        due = asyncio.get_running_loop().time() + 0.01
        self.under_way.put_nowait((due, data, target))

    async def carry(self, out: asyncio.DatagramTransport) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data, target = await self.under_way.get()
            await asyncio.sleep(max(0, due - loop.time()))
            out.sendto(data, target)


def test_something_long_that_trickles_in_is_fetched_by_the_clock(run: Run[None]) -> None:
    async def main() -> None:
        loop, settings = asyncio.get_running_loop(), Settings(mtu=1472)
        async with (
            node(settings=settings) as server,
            await Endpoint.open(("127.0.0.1", 0), settings=settings) as client,
            asyncio.TaskGroup() as tasks,
        ):
            out, way = await loop.create_datagram_endpoint(
                lambda: LongWay(server.address), local_addr=("127.0.0.1", 0)
            )
            with closing(out):
                carrying = tasks.create_task(way.carry(out))
                mine = await client.connect(out.get_extra_info("sockname"), server.key)
                theirs = await server.accept()
                fetched = 0

                def timed(why: int) -> None:  # which receives only while the socket rests
                    nonlocal fetched
                    before = theirs.stats().packets_received
                    server.turn(why)
                    fetched += theirs.stats().packets_received - before

                loop.add_reader(server._timer, timed, lib.RP_TURN_TIMER)
                while not fetched:  # it trickles where the machine has time for each packet
                    stream = await mine.open_stream()
                    stream.write(bytes(4 * MIB))
                    stream.send_eof()
                    assert len(await read_all(await theirs.accept_stream())) == 4 * MIB
                for _ in range(3):  # and when it is over, who asks is heard at once again
                    assert await echoed(mine, theirs, b"still there?") == b"still there?"
                loop.add_reader(server._timer, server.turn, lib.RP_TURN_TIMER)
                carrying.cancel()

    run(main())


async def echoed(mine: Session, theirs: Session, words: bytes) -> bytes:
    stream = await mine.open_stream()
    stream.write(words)
    stream.send_eof()
    heard = await theirs.accept_stream()
    heard.write(await heard.readexactly(len(words)))
    heard.send_eof()
    return await stream.readexactly(len(words))


def test_who_asks_much_at_once_does_not_hold_up_who_asks_one_thing(run: Run[None]) -> None:
    async def main() -> None:
        async with (
            node() as server,
            await Endpoint.open(("127.0.0.1", 0)) as crowd,
            await Endpoint.open(("127.0.0.1", 0)) as other,
        ):
            handled: list[Session] = []
            busy = await crowd.connect(server.address, server.key)
            theirs = [await server.accept()]
            quiet = await other.connect(server.address, server.key)
            theirs.append(await server.accept())
            answered = asyncio.Event()

            def answer(session: Session, stream: int) -> None:
                handled.append(session)
                time.sleep(0.001)  # work, not a wait
                session.answer(stream, b"here it is")
                if len(handled) == 201:
                    answered.set()

            for session in theirs:
                session.on_whole = lambda stream, _, session=session: answer(session, stream)
            for _ in range(200):
                busy.exchange(b"and this?")
            quiet.exchange(b"may I?")
            await answered.wait()
            assert handled.index(theirs[1]) < 100

    run(main())
