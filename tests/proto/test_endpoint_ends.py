"""How sessions and streams end over real sockets, and that nothing is left of them."""

from __future__ import annotations

import asyncio
import gc
import warnings
from random import Random

import pytest

from repram.errors import (
    LocalError,
    SessionClosed,
    StreamReset,
)
from repram.proto.connection import Settings
from repram.proto.endpoint import Endpoint
from tests.conftest import Run
from tests.proto.by_hand import datagram
from tests.proto.live import (
    CODE,
    KIB,
    MIB,
    SMALL,
    begun,
    node,
    pair,
    transfer,
)

pytestmark = pytest.mark.usefixtures("nothing_is_left")


# ---- ends ----


def test_closing_tells_the_other_side_code_and_reason(run: Run[None], host: str) -> None:
    async def main() -> None:
        async with pair(host) as (mine, theirs):
            waiting = asyncio.create_task(theirs.accept_stream())
            await mine.close(CODE, "that was all")
            with pytest.raises(SessionClosed) as caught:
                await waiting
            assert (caught.value.code, caught.value.reason) == (CODE, "that was all")
            assert mine.closed
            assert theirs.closed
            for session in (mine, theirs):
                with pytest.raises(SessionClosed):
                    await session.open_stream()
                await session.close()  # again does nothing

    run(main())


def test_whoever_waits_when_the_session_ends_is_told(run: Run[None]) -> None:
    async def main() -> None:
        async with pair(settings=Settings(max_streams=1, stream_window=64 * KIB)) as (mine, theirs):
            stream = await mine.open_stream()
            stream.write(bytes(4 * MIB))
            waiters = [
                asyncio.create_task(waiter)
                for waiter in (
                    stream.drain(),
                    stream.read(),
                    mine.open_stream(),
                    mine.accept_stream(),
                    mine.receive_datagram(),
                )
            ]
            await theirs.accept_stream()
            await theirs.close(CODE, "enough")
            for waiter in waiters:
                with pytest.raises(SessionClosed) as caught:
                    await waiter
                assert caught.value.code == CODE
            with pytest.raises(SessionClosed):
                stream.write(b"more")
            with pytest.raises(SessionClosed):
                mine.send_datagram(b"more")

    run(main())


def test_closing_while_one_reads_ends_the_reading(run: Run[None]) -> None:
    async def main() -> None:
        async with pair() as (mine, _):
            stream = await mine.open_stream()
            reading = asyncio.create_task(stream.read())
            await begun(reading)
            await mine.close()
            with pytest.raises(SessionClosed):
                await reading

    run(main())


def test_closing_an_endpoint_ends_everything_on_it(run: Run[None]) -> None:
    async def main() -> None:
        async with node() as server:
            client = await Endpoint.open(("127.0.0.1", 0))
            mine = await client.connect(server.address, server.key)
            theirs = await server.accept()
            stream = await mine.open_stream()
            waiters = [asyncio.create_task(w) for w in (stream.read(), client.accept())]
            await begun(*waiters)
            await client.close()
            await client.close()
            for waiter in waiters:
                with pytest.raises(SessionClosed):
                    await waiter
            with pytest.raises(SessionClosed):
                await theirs.accept_stream()
            with pytest.raises(SessionClosed):
                await client.connect(server.address, server.key)

    run(main())


def test_a_reset_is_told_with_its_code(run: Run[None]) -> None:
    async def main() -> None:
        async with pair() as (mine, theirs):
            stream = await mine.open_stream()
            stream.write(b"half of it")
            heard = await theirs.accept_stream()
            assert await heard.read() == b"half of it"
            stream.reset(CODE)
            with pytest.raises(StreamReset) as caught:
                await heard.read()
            assert caught.value.code == CODE
            with pytest.raises(StreamReset):
                await stream.read()
            with pytest.raises(StreamReset):
                stream.write(b"more")
            assert await transfer(mine, theirs, b"others go on") == b"others go on"

    run(main())


def test_a_writer_learns_that_nobody_reads_any_more(run: Run[None]) -> None:
    async def main() -> None:
        async with pair(settings=SMALL) as (mine, theirs):
            stream = await mine.open_stream()
            stream.write(bytes(MIB))
            draining = asyncio.create_task(stream.drain())
            heard = await theirs.accept_stream()
            assert await heard.read()
            heard.reset(CODE)
            with pytest.raises(StreamReset) as caught:
                await draining
            assert caught.value.code == CODE

    run(main())


def test_errors_of_streams_can_be_collected(run: Run[None]) -> None:
    """What is left of a broken stream is garbage with a traceback in it, and a buffer in that."""

    async def main() -> None:
        async with pair(settings=SMALL) as (mine, theirs):

            async def break_one() -> None:
                stream = await mine.open_stream()
                for _ in range(2):
                    stream.write(memoryview(bytes(2 * MIB)))
                heard = await theirs.accept_stream()
                await heard.read()
                heard.reset(CODE)
                with pytest.raises(StreamReset):
                    await stream.drain()
                stream.reset()

            for _ in range(20):
                await break_one()
            gc.collect()

    run(main())


def test_writing_behind_the_end_is_a_callers_mistake(run: Run[None]) -> None:
    async def main() -> None:
        async with pair() as (mine, _):
            stream = await mine.open_stream()
            stream.send_eof()
            stream.send_eof()
            with pytest.raises(LocalError):
                stream.write(b"more")

    run(main())


def test_an_end_that_comes_long_after_the_last_bytes_is_an_end(run: Run[None]) -> None:
    async def main() -> None:
        async with pair() as (mine, theirs):
            stream = await mine.open_stream()
            stream.send_eof()
            heard = await theirs.accept_stream()
            assert await heard.read() == b""
            heard.write(b"answer")
            assert await stream.read() == b"answer"
            reading = asyncio.create_task(stream.read())
            await begun(reading)
            heard.send_eof()
            assert await reading == b""
            assert await stream.read() == b""

    run(main())


# ---- nothing is left ----


def test_no_task_and_no_warning_is_left(run: Run[None]) -> None:
    async def main() -> None:
        before = asyncio.all_tasks()
        async with pair() as (mine, theirs):
            assert await transfer(mine, theirs, bytes(MIB)) == bytes(MIB)
            assert asyncio.all_tasks() <= before
        assert asyncio.all_tasks() <= before

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(main())
        gc.collect()


def test_streams_that_are_over_are_forgotten(run: Run[None]) -> None:
    async def main() -> None:
        async with pair() as (mine, theirs):
            for _ in range(100):
                assert await transfer(mine, theirs, b"x") == b"x"
            assert not mine._streams
            assert not theirs._streams
            await transfer(mine, theirs, b"x")
            assert theirs.stats().streams <= 2

    run(main())


def test_sessions_that_are_over_are_forgotten(run: Run[None]) -> None:
    async def main() -> None:
        async with node() as server, await Endpoint.open(("127.0.0.1", 0)) as client:
            for _ in range(20):
                mine = await client.connect(server.address, server.key)
                theirs = await server.accept()
                await mine.close()
                with pytest.raises(SessionClosed):
                    await theirs.accept_stream()
            assert not client._sessions
            assert not server._sessions

    run(main())


def test_garbage_from_strangers_disturbs_nobody(run: Run[None]) -> None:
    async def main() -> None:
        random = Random(7)
        async with pair() as (mine, theirs):
            loop = asyncio.get_running_loop()
            noise, _ = await loop.create_datagram_endpoint(
                asyncio.DatagramProtocol, remote_addr=theirs.endpoint.address
            )
            for _ in range(200):
                noise.sendto(random.randbytes(random.randrange(1, 1_400)))
                noise.sendto(
                    datagram(random.randrange(9), random.randbytes(random.randrange(1_300)))
                )
            assert await transfer(mine, theirs, bytes(MIB)) == bytes(MIB)
            noise.close()

    run(main())


def test_time_goes_on_without_datagrams(run: Run[None]) -> None:
    """The timer's descriptor alone wakes an endpoint: a session that hears nothing ends in time."""

    async def main() -> None:
        async with pair(settings=Settings(idle_timeout=0.3)) as (mine, theirs):
            for session in (mine, theirs):
                with pytest.raises(SessionClosed, match="nothing was heard"):
                    await asyncio.wait_for(session.accept_stream(), 5)

    run(main())
