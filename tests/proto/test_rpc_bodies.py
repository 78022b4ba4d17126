"""Bodies with calls: whole or in a stream, both ways, at the pace of the slower side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from repram.errors import Full, RepramError, StreamReset
from repram.proto.connection import Settings
from repram.proto.rpc import Answer, Body, Incoming, Malformed, Stalled
from tests.conftest import Run
from tests.proto.calls import (
    Done,
    Give,
    Said,
    Say,
    Take,
    TestServer,
    Work,
    pieces,
    server,
    talking,
    until,
)

SIZES = [0, 1, 4_000, 16_384, 65_536, 65_537, 1 << 20, 5_000_001]
BOUND = 12 << 20  # a first window of 4 MiB there, what may fly, and what waits here


async def whole_back(request: Give, body: Incoming) -> Answer[Done]:
    """Gives a body of exactly this size back."""
    return Answer(Done(request.size), await body.take(request.size))


async def piecewise_back(_request: Take, body: Incoming) -> Answer[Done]:
    """Gives back what comes as it comes."""

    async def pieces_of() -> AsyncIterator[bytes]:
        async for piece in body:
            yield piece

    return Answer(Done(0), pieces_of())


def echoing() -> TestServer:
    answering = server()
    answering.on_task(Give, whole_back)
    answering.on_task(Take, piecewise_back)
    return answering


async def in_pieces(data: bytes, size: int = 50_000) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


@pytest.mark.parametrize("size", SIZES)
def test_a_body_goes_there_and_back(run: Run[None], size: int) -> None:
    async def main() -> None:
        async with talking(echoing()) as ends:
            data = pieces(size)
            answer = await ends.caller.call(Give(size), body=data, max_body=size)
            assert answer == (Done(size), data)
            streamed = await ends.caller.call(Give(size), body=in_pieces(data), max_body=size)
            assert streamed == (Done(size), data)
            await until(ends.at_rest)

    run(main())


@pytest.mark.parametrize("size", SIZES)
def test_a_body_may_come_back_while_it_still_goes_out(run: Run[None], size: int) -> None:
    async def main() -> None:
        async with talking(echoing()) as ends:
            data, back = pieces(size), bytearray()
            async with ends.caller.stream(Take(), body=in_pieces(data)) as answer:
                assert answer.reply == Done(0)
                async for piece in answer.body:
                    back += piece
            assert back == data
            await until(ends.at_rest)

    run(main())


@pytest.mark.parametrize("size", SIZES)
def test_a_plain_handler_may_give_a_body_of_any_size(run: Run[None], size: int) -> None:
    async def main() -> None:
        answering = server()
        answering.on(Give, lambda give, _: Answer(Done(give.size), pieces(give.size)))
        async with talking(answering) as ends:
            answer = await ends.caller.call(Give(size), max_body=size)
            assert answer == (Done(size), pieces(size))

    run(main())


def test_an_answer_that_is_longer_than_was_asked_for_is_not_taken(run: Run[None]) -> None:
    async def main() -> None:
        async with talking(echoing()) as ends:
            for size in (100, 1 << 20):
                with pytest.raises(Malformed, match=f"more than the {size - 1} bytes"):
                    await ends.caller.call(Give(size), body=pieces(size), max_body=size - 1)
            await until(ends.at_rest)

    run(main())


@pytest.mark.parametrize(("announced", "sent"), [(10, 9), (10, 11), (1 << 20, 1), (1, 1 << 20)])
def test_a_body_of_another_size_than_announced_is_malformed(
    run: Run[None], announced: int, sent: int
) -> None:
    async def main() -> None:
        async with talking(echoing()) as ends:
            with pytest.raises(Malformed):
                await ends.caller.call(Give(announced), body=pieces(sent), max_body=announced)
            await until(ends.at_rest)

    run(main())


async def endless(made: list[int]) -> AsyncIterator[bytes]:
    """Tells how much it has been asked for so far."""
    while True:
        made[0] += 65_536
        assert made[0] < BOUND, "nobody reads it, and still it goes on"
        yield bytes(65_536)


def test_a_caller_that_does_not_read_bounds_what_the_server_makes(run: Run[None]) -> None:
    async def main() -> None:
        made = [0]

        async def give(_request: Give, _body: Incoming) -> Answer[Done]:
            return Answer(Done(0), endless(made))

        answering = server()
        answering.on_task(Give, give)
        async with talking(answering) as ends:
            async with ends.caller.stream(Give(0)):
                for number in range(500):  # one slow stream holds up no other
                    assert await ends.caller.ask(Say(str(number)), within=10) == Said(str(number))
                assert 65_536 <= made[0] < BOUND
                for end in (ends.here, ends.there):
                    assert end.core.counters()["arena_used"] < BOUND
            await until(ends.at_rest)

    run(main())


def test_a_handler_that_does_not_read_bounds_what_the_caller_makes(run: Run[None]) -> None:
    async def main() -> None:
        made, begun, enough = [0], asyncio.Event(), asyncio.Event()

        async def take(_request: Take, _body: Incoming) -> Done:
            begun.set()
            await enough.wait()
            raise Full("that is enough")

        answering = server()
        answering.on_task(Take, take)
        async with talking(answering) as ends:
            call = asyncio.create_task(ends.caller.call(Take(), body=endless(made)))
            await begun.wait()
            for number in range(500):
                assert await ends.caller.ask(Say(str(number)), within=10) == Said(str(number))
            assert 65_536 <= made[0] < BOUND
            enough.set()
            with pytest.raises(Full, match="that is enough"):
                await call
            await until(ends.at_rest)

    run(main())


def test_what_was_slow_comes_complete_in_the_end(run: Run[None]) -> None:
    async def main() -> None:
        data = pieces(20 << 20)
        answering = server()
        answering.on(Give, lambda _give, _session: Answer(Done(len(data)), data))
        async with talking(answering) as ends, ends.caller.stream(Give(0)) as answer:
            for _ in range(300):
                await ends.caller.ask(Say("meanwhile"), within=10)
            assert await answer.body.take(len(data)) == data

    run(main())


@pytest.mark.parametrize("streamed", [False, True])
def test_a_caller_stops_sending_when_the_answer_is_there(run: Run[None], streamed: bool) -> None:
    async def refuse(_request: Take, _body: Incoming) -> Done:
        raise Full("this node is full")

    async def main() -> None:
        answering = server()
        answering.on_task(Take, refuse)
        async with talking(answering) as ends:
            sent = 0

            async def much() -> AsyncIterator[bytes]:
                nonlocal sent
                for _ in range(10_000):
                    sent += 65_536
                    yield bytes(65_536)

            body: Body = much() if streamed else bytes(64 << 20)
            with pytest.raises(Full):
                await ends.caller.call(Take(), body=body)
            assert ends.session.stats().bytes_sent < 32 << 20
            assert sent < 32 << 20
            await until(ends.at_rest)

    run(main())


def test_an_error_in_making_the_body_reaches_the_caller_and_ends_the_call(run: Run[None]) -> None:
    async def main() -> None:
        begun, cancelled = asyncio.Event(), asyncio.Event()

        async def take(_request: Take, body: Incoming) -> Done:
            begun.set()
            try:
                await body.take_rest(1 << 30)
            except BaseException:
                cancelled.set()
                raise
            raise AssertionError

        async def broken() -> AsyncIterator[bytes]:
            yield bytes(1000)
            await begun.wait()
            raise ZeroDivisionError

        answering = server()
        answering.on_task(Take, take)
        async with talking(answering) as ends:
            with pytest.raises(ZeroDivisionError):
                await ends.caller.call(Take(), body=broken())
            await cancelled.wait()
            await until(ends.at_rest)

    run(main())


def test_an_error_in_making_the_answers_body_breaks_it_off(
    run: Run[None], caplog: pytest.LogCaptureFixture
) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield bytes(1000)
        raise ZeroDivisionError

    async def give(_request: Give, _body: Incoming) -> Answer[Done]:
        return Answer(Done(0), broken())

    async def main() -> None:
        answering = server()
        answering.on_task(Give, give)
        async with talking(answering) as ends:
            with pytest.raises(StreamReset):
                await ends.caller.call(Give(0), max_body=1 << 20)
            assert await ends.caller.ask(Say("still there")) == Said("still there")
            await until(ends.at_rest)

    run(main())
    assert "ZeroDivisionError" in caplog.text


def test_a_caller_that_stops_in_the_middle_is_given_up(run: Run[None]) -> None:
    async def main() -> None:
        never = asyncio.Event()

        async def half() -> AsyncIterator[bytes]:
            yield bytes(1000)
            await never.wait()

        answering = server(patience=0.2)
        answering.on_task(Give, whole_back)
        async with talking(answering) as ends:
            with pytest.raises(Stalled, match="bytes a second moved"):
                await ends.caller.call(Give(2000), body=half())
            assert await ends.caller.ask(Say("still there")) == Said("still there")
            await until(ends.at_rest)

    run(main())


def test_a_server_that_stops_in_the_middle_is_given_up(run: Run[None]) -> None:
    async def main() -> None:
        gone, never = asyncio.Event(), asyncio.Event()

        async def half() -> AsyncIterator[bytes]:
            yield bytes(1000)
            try:
                await never.wait()
            finally:
                gone.set()

        async def give(_request: Give, _body: Incoming) -> Answer[Done]:
            return Answer(Done(0), half())

        async def silent(_request: Work, _body: Incoming) -> Done:
            await never.wait()
            raise AssertionError

        answering = server()
        answering.on_task(Give, give)
        answering.on_task(Work, silent)
        async with talking(answering, patience=0.2) as ends:
            for request in (Give(0), Work()):
                with pytest.raises(Stalled):
                    await ends.caller.call(request, max_body=1 << 20)
            await gone.wait()
            await until(ends.at_rest)

    run(main())


def test_a_slow_transfer_that_moves_is_not_given_up(run: Run[None]) -> None:
    async def main() -> None:
        async def drip() -> AsyncIterator[bytes]:
            for _ in range(12):
                await asyncio.sleep(0.1)
                yield bytes(100)

        async def give(_request: Give, _body: Incoming) -> Answer[Done]:
            return Answer(Done(0), drip())

        answering = server(patience=1)
        answering.on_task(Give, give)
        answering.on_task(Take, piecewise_back)
        async with talking(answering, patience=1) as ends:
            assert len((await ends.caller.call(Give(0), max_body=1200)).body) == 1200
            answer = await ends.caller.call(Take(), body=drip(), max_body=1200)
            assert len(answer.body) == 1200

    run(main())


def test_a_body_that_is_taken_slowly_is_not_given_up(run: Run[None]) -> None:
    """Its answer comes when all of it has gone: to wait for that takes longer than the patience."""

    async def main() -> None:
        async def sip(_request: Take, incoming: Incoming) -> Done:
            size = 0
            while piece := await incoming.read(65_536):
                size += len(piece)
                await asyncio.sleep(0.1)
            return Done(size)

        answering = server(patience=1)
        answering.on_task(Take, sip)
        small = Settings(stream_window=65_536, session_window=131_072, memory=1 << 20)
        async with talking(answering, patience=1, settings=small) as ends:
            body = bytes(20 * 65_536)
            assert (await ends.caller.call(Take(), body=body)).reply == Done(len(body))

    run(main())


def test_small_windows_only_slow_a_body_down(run: Run[None]) -> None:
    async def main() -> None:
        small = Settings(stream_window=65_536, session_window=131_072, memory=1 << 20)
        async with talking(echoing(), settings=small) as ends:
            data = pieces(3 << 20)
            sizes = await asyncio.gather(
                *(
                    ends.caller.call(Give(len(data)), body=data, max_body=len(data))
                    for _ in range(3)
                )
            )
            assert all(answer.body == data for answer in sizes)

    run(main())


def test_an_answer_of_a_kind_that_cannot_be_is_not_taken_for_a_body(run: Run[None]) -> None:
    async def main() -> None:
        async with talking(echoing()) as ends:
            with pytest.raises(RepramError):
                await ends.caller.ask(Give(1))

    run(main())
