"""Calls over real sessions: what goes wrong in one concerns no other."""

from __future__ import annotations

import asyncio

import pytest

from repram.errors import (
    Busy,
    Full,
    LocalError,
    NotFound,
    RepramError,
    SessionClosed,
    StreamReset,
    Unreachable,
)
from repram.proto import messages, rpc
from repram.proto.endpoint import Endpoint, Session
from repram.proto.messages import Code, Failure, Found, Get, Malformed, Put, Request
from repram.proto.rpc import Answer, Incoming
from tests.conftest import Run
from tests.nodes import calling, serving

ID = bytes(32)


async def echo(request: Request, body: Incoming) -> Answer:
    """Gives a put's body back; a get's answer is empty."""
    content = await body.take(request.size) if isinstance(request, Put) else b""
    return Answer(Found(len(content), 1, 2, 3), content)


def put(size: int) -> Put:
    return Put(ID, size, 60_000, 60_000)


def frame(message: bytes, *, version: int = rpc.VERSION, length: int | None = None) -> bytes:
    return (
        bytes([version]) + (len(message) if length is None else length).to_bytes(3, "big") + message
    )


async def raw(session: Session, data: bytes) -> messages.Reply:
    """What comes back for bytes that are no proper call."""
    stream = await session.open_stream()
    stream.write(data)
    stream.send_eof()
    header = await stream.readexactly(4)
    return messages.decode_reply(await stream.readexactly(int.from_bytes(header[1:], "big")))


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 1 << 20, rpc.MAX_BODY])
def test_a_body_goes_there_and_back(run: Run[None], size: int) -> None:
    content = bytes(index % 253 for index in range(1_000)) * (size // 1_000 + 1)

    async def main() -> None:
        async with serving(echo) as address, calling(address) as session:
            answer = await rpc.call(session, put(size), body=content[:size], max_body=size)
            assert answer.reply == Found(size, 1, 2, 3)
            assert answer.body == content[:size]

    run(main())


def test_many_calls_at_once_each_get_their_own_answer(run: Run[None]) -> None:
    async def one(session: Session, number: int) -> None:
        body = bytes([number]) * (number * 1_000)
        assert (await rpc.call(session, put(len(body)), body=body, max_body=len(body))).body == body

    async def main() -> None:
        async with (
            serving(echo) as address,
            calling(address) as session,
            asyncio.TaskGroup() as calls,
        ):
            for number in range(200):
                calls.create_task(one(session, number))

    run(main())


def test_an_error_of_the_handler_is_raised_at_the_caller(run: Run[None]) -> None:
    async def refuse(request: Request, body: Incoming) -> Answer:
        raise Full("this node is full") if isinstance(request, Put) else NotFound("gone")

    async def main() -> None:
        async with serving(refuse) as address, calling(address) as session:
            with pytest.raises(Full, match="this node is full"):
                await rpc.call(session, put(1 << 20), body=bytes(1 << 20))
            with pytest.raises(NotFound, match="gone"):
                await rpc.call(session, Get(ID))

    run(main())


def test_a_bug_in_a_handler_is_logged_and_the_session_lives(
    run: Run[None], caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(request: Request, body: Incoming) -> Answer:
        if isinstance(request, Put):
            raise ZeroDivisionError
        return Answer(Found(0, 1, 2, 3))

    async def main() -> None:
        async with serving(broken) as address, calling(address) as session:
            with pytest.raises(RepramError, match="inside the node"):
                await rpc.call(session, put(0))
            assert (await rpc.call(session, Get(ID))).reply == Found(0, 1, 2, 3)

    run(main())
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(b"\xc1"), Code.MALFORMED),
        (frame(b""), Code.MALFORMED),
        (frame(b"\x91" * 60_000), Code.MALFORMED),
        (frame(messages.encode(Get(ID)), version=2), Code.VERSION),
        (frame(b"", length=rpc.MAX_MESSAGE + 1), Code.MALFORMED),
        (frame(messages.encode(Get(ID)), length=60_000), Code.MALFORMED),
        (b"\x01\x00", Code.MALFORMED),
        (b"", Code.MALFORMED),
        (frame(messages.encode(put(10))) + bytes(9), Code.MALFORMED),
        (frame(messages.encode(put(10))) + bytes(11), Code.MALFORMED),
    ],
    ids=[
        *("no message", "empty", "deep", "version", "long"),
        *("cut", "cut header", "nothing", "short body", "long body"),
    ],
)
def test_what_is_no_call_gets_its_code_and_others_never_notice(
    run: Run[None], data: bytes, code: Code
) -> None:
    async def main() -> None:
        async with serving(echo) as address, calling(address) as session:
            neighbour = asyncio.create_task(
                rpc.call(session, put(1 << 20), body=bytes(1 << 20), max_body=1 << 20)
            )
            reply = await raw(session, data)
            assert isinstance(reply, Failure)
            assert reply.code == code
            assert len((await neighbour).body) == 1 << 20
            assert (await rpc.call(session, Get(ID))).body == b""

    run(main())


def test_a_message_that_is_too_long_is_refused_before_it_comes(run: Run[None]) -> None:
    async def main() -> None:
        async with serving(echo, patience=0.5) as address, calling(address) as session:
            stream = await session.open_stream()
            stream.write(frame(b"", length=rpc.MAX_MESSAGE + 1))
            header = await stream.readexactly(4)
            reply = messages.decode_reply(
                await stream.readexactly(int.from_bytes(header[1:], "big"))
            )
            assert isinstance(reply, Failure)
            assert "longer than" in reply.message
            stream.send_eof()

    run(main())


def test_a_longer_body_than_was_asked_for_is_not_taken(run: Run[None]) -> None:
    async def main() -> None:
        async with serving(echo) as address, calling(address) as session:
            with pytest.raises(Malformed, match="more than the 99 bytes"):
                await rpc.call(session, put(100), body=bytes(100), max_body=99)
            assert (await rpc.call(session, Get(ID))).body == b""

    run(main())


def test_a_caller_that_stalls_loses_its_stream_alone(run: Run[None]) -> None:
    async def main() -> None:
        async with serving(echo, patience=0.2) as address, calling(address) as session:
            stream = await session.open_stream()
            stream.write(frame(messages.encode(put(10))) + b"half")
            with pytest.raises(StreamReset) as caught:
                await stream.read()
            assert caught.value.code == Code.STALLED
            assert (await rpc.call(session, Get(ID))).body == b""

    run(main())


def test_a_node_that_stalls_is_given_up(run: Run[None]) -> None:
    async def sleeper(request: Request, body: Incoming) -> Answer:
        await asyncio.Event().wait()
        raise AssertionError

    async def main() -> None:
        async with serving(sleeper) as address, calling(address) as session:
            with pytest.raises(Unreachable, match="stopped answering"):
                await rpc.call(session, Get(ID), patience=0.2)

    run(main())


def test_what_is_under_way_is_cancelled_when_the_session_ends(run: Run[None]) -> None:
    async def main() -> None:
        started, cancelled = asyncio.Event(), asyncio.Event()

        async def sleeper(request: Request, body: Incoming) -> Answer:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
            raise AssertionError

        async with serving(sleeper) as address, calling(address) as session:
            call = asyncio.create_task(rpc.call(session, Get(ID)))
            await started.wait()
            await session.close(0, "enough")
            await cancelled.wait()
            with pytest.raises(SessionClosed):
                await call

    run(main())


def test_cancelling_a_call_reaches_the_handler(run: Run[None]) -> None:
    async def main() -> None:
        told: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        reading = asyncio.Event()

        async def waiter(request: Request, body: Incoming) -> Answer:
            reading.set()
            try:
                await body.take(1 << 20)
            except StreamReset as error:
                told.set_result(error.code)
                raise
            raise AssertionError

        async with serving(waiter) as address, calling(address) as session:
            stream = await session.open_stream()
            stream.write(frame(messages.encode(put(1 << 20))))
            await reading.wait()
            stream.reset(Code.CANCELLED)
            assert await told == Code.CANCELLED

    run(main())


def test_calls_of_one_session_are_answered_a_bounded_number_at_a_time(run: Run[None]) -> None:
    async def main() -> None:
        running, most = 0, 0
        gate = asyncio.Event()

        async def counted(request: Request, body: Incoming) -> Answer:
            nonlocal running, most
            running += 1
            most = max(most, running)
            if running == rpc.CONCURRENCY:
                gate.set()
            await gate.wait()
            running -= 1
            return Answer(Found(0, 1, 2, 3))

        async with (
            serving(counted) as address,
            calling(address) as session,
            asyncio.TaskGroup() as calls,
        ):
            for _ in range(3 * rpc.CONCURRENCY):
                calls.create_task(rpc.call(session, Get(ID)))
        assert most == rpc.CONCURRENCY

    run(main())


def test_when_the_session_ends_a_call_says_so(run: Run[None]) -> None:
    async def main() -> None:
        arrived = asyncio.Event()

        async def sleeper(request: Request, body: Incoming) -> Answer:
            arrived.set()
            await body.take(1 << 20)
            raise AssertionError

        async with serving(sleeper) as address, calling(address) as session:
            stream = await session.open_stream()
            stream.write(frame(messages.encode(put(1 << 20))))
            await arrived.wait()
            await session.close(0, "enough")
            with pytest.raises(SessionClosed):
                await stream.read()

    run(main())


def test_more_than_a_call_carries_is_a_callers_mistake(run: Run[None]) -> None:
    async def main() -> None:
        async with serving(echo) as address, calling(address) as session:
            with pytest.raises(LocalError):
                await rpc.call(session, put(0), body=bytes(rpc.MAX_BODY + 1))

    run(main())


def test_draining_finishes_what_is_under_way_and_takes_no_more(run: Run[None]) -> None:
    async def main() -> None:
        server = rpc.Server(echo)
        seed = bytes(range(32))
        async with (
            await Endpoint.open(("127.0.0.1", 0), identity=seed, listen=True) as node,
            await Endpoint.open() as endpoint,
            asyncio.TaskGroup() as tasks,
        ):
            session = await endpoint.connect(node.address, node.key)
            tasks.create_task(server.attend(await node.accept()))
            half = await session.open_stream()
            half.write(frame(messages.encode(put(10))) + b"half")
            assert (await rpc.call(session, Get(ID))).body == b""
            draining = tasks.create_task(server.drain())
            await asyncio.sleep(0)
            with pytest.raises(Busy, match="shutting down"):
                await rpc.call(session, Get(ID))
            assert not draining.done()
            half.write(b"other.")
            half.send_eof()
            await draining
            header = await half.readexactly(4)
            assert messages.decode_reply(await half.readexactly(header[3])) == Found(10, 1, 2, 3)
            assert await half.read() == b"halfother."
            await session.close()

    run(main())
