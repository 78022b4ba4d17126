"""Who is waited for may be slow, not next to motionless."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from math import inf

import pytest

from repram.errors import SessionClosed, StreamReset
from repram.proto.connection import SLOWEST, Settings
from repram.proto.endpoint import Session
from repram.proto.rpc import Answer, Caller, Incoming, Stalled
from repram.proto.rpc.codec import message_size
from repram.proto.rpc.patience import PATIENCE, Patience
from repram.proto.stream import Stream
from tests.conftest import Run
from tests.proto.calls import TALK, Done, Give, Say, Take, server, talking, until


def lasts(rate: float, seconds: int = 100_000) -> int:
    """For how many seconds one waits for who moves so many bytes in each."""
    patience = Patience(PATIENCE)
    for second in range(1, seconds + 1):
        patience.spend(1, int(rate * second))
        try:
            patience.refuse()
        except Stalled:
            return second
    return seconds


@pytest.mark.parametrize(
    ("rate", "seconds"),
    [(0, 60), (1, 61), (SLOWEST / 2, 120), (SLOWEST, 100_000), (1_000, 100_000)],
)
def test_it_lasts_for_ever_from_the_slowest_rate_on(rate: float, seconds: int) -> None:
    assert lasts(rate) == pytest.approx(seconds, abs=2)


def test_what_moved_fast_buys_no_more_than_one_patience() -> None:
    patience = Patience(PATIENCE)
    patience.spend(1, 1 << 30)
    patience.spend(59, 1 << 30)
    patience.refuse()
    patience.spend(1, 1 << 30)
    with pytest.raises(Stalled, match="less than 64 bytes a second moved, for 60 s"):
        patience.refuse()


def test_what_had_moved_before_counts_for_nothing() -> None:
    patience = Patience(PATIENCE, moved=1 << 30)
    patience.spend(60, 1 << 30)
    with pytest.raises(Stalled):
        patience.refuse()


def test_an_endless_patience_is_never_used_up() -> None:
    patience = Patience(inf)
    patience.spend(1e9, 0)
    patience.refuse()


async def drip() -> AsyncIterator[bytes]:
    """Much slower than it may be, but never silent for long."""
    for _ in range(200):
        await asyncio.sleep(0.1)
        yield b"."


def test_a_body_that_comes_byte_by_byte_is_given_up_although_it_always_moves(
    run: Run[None],
) -> None:
    async def main() -> None:
        taken = 0

        async def take(_request: Take, body: Incoming) -> Done:
            nonlocal taken
            async for piece in body:
                taken += len(piece)
            return Done(taken)

        answering = server(patience=0.5)
        answering.on_task(Take, take)
        async with talking(answering) as ends:
            with pytest.raises(Stalled):
                await ends.caller.call(Take(), body=drip())
            assert 0 < taken < 100
            await until(ends.at_rest)

    run(main())


async def says_slowly(stream: Stream, data: bytes) -> None:
    for byte in data:
        stream.write(bytes([byte]))
        await asyncio.sleep(0.1)


def test_a_request_that_comes_byte_by_byte_is_given_up_too(run: Run[None]) -> None:
    async def main() -> None:
        async with talking(server(patience=0.5)) as ends:
            stream = await ends.session.open_stream()
            with pytest.raises(StreamReset):
                await says_slowly(stream, TALK.request(Say("x" * 1_000)))
            head = await stream.readexactly(4)
            said = await stream.readexactly(message_size(int.from_bytes(head, "big")))
            with pytest.raises(Stalled):
                TALK.read_reply(said)
            stream.reset()
            await until(ends.at_rest)

    run(main())


def test_an_answer_that_comes_byte_by_byte_is_given_up_by_who_asked(run: Run[None]) -> None:
    async def main() -> None:
        async def give(_request: Give, _body: Incoming) -> Answer[Done]:
            return Answer(Done(0), drip())

        answering = server()
        answering.on_task(Give, give)
        async with talking(answering) as ends:
            caller = Caller(ends.session, TALK, patience=0.5)
            with pytest.raises(Stalled):
                await caller.call(Give(0), max_body=1_000)
            await until(ends.at_rest)

    run(main())


SIZE = 1 << 20  # more than windows, and what waits to be sent


async def reads(session: Session, *, pause: float) -> int:
    """A long answer, piece by piece; how much came."""
    came = 0
    async with Caller(session, TALK).stream(Give(SIZE)) as answer:
        while piece := await answer.body.read(1 << 14):
            came += len(piece)
            await asyncio.sleep(pause)
    return came


def test_an_answer_that_nobody_reads_ends_its_session_and_one_read_slowly_does_not(
    run: Run[None],
) -> None:
    async def main() -> None:
        async def give(request: Give, _body: Incoming) -> Answer[Done]:
            return Answer(Done(0), bytes(request.size))

        answering = server()
        answering.on_task(Give, give)
        little = Settings(stream_window=1 << 16, session_window=1 << 17, keep_alive=0.1)
        async with talking(answering, settings=Settings(patience=0.5), callers=little) as ends:
            assert await reads(ends.session, pause=0.02) == SIZE
            async with Caller(ends.session, TALK).stream(Give(SIZE)):
                await until(lambda: ends.session.closed)
            with pytest.raises(SessionClosed, match="code 11"):
                await ends.session.open_stream()
            await until(ends.at_rest)

    run(main())
