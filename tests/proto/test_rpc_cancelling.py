"""Calls that are given up: by who asked, by time, by the end of the session. Nothing stays behind."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest

from repram.errors import SessionClosed
from repram.proto import turns
from repram.proto.connection import Settings
from repram.proto.endpoint import Session
from repram.proto.rpc import Answer, Caller, DeadlinePassed, Incoming
from repram.proto.stream import Exchange, Stream
from tests.conftest import Run
from tests.proto.calls import (
    Done,
    Ends,
    Give,
    Reply,
    Request,
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


class Worker:
    """A handler that never ends by itself, and tells when it began and was cancelled."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def __call__(self, _request: object, _body: Incoming) -> Done:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        raise AssertionError


def working(worker: Worker) -> TestServer:
    answering = server()
    answering.on_task(Work, worker)
    answering.on_task(Take, worker)
    return answering


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield bytes(65_536)


def streams_of(session: Session) -> dict[int, Stream | Exchange]:
    return session._streams


async def nothing_left(ends: Ends, arena: tuple[int, int]) -> None:
    """No stream and no byte, at either end."""
    await until(ends.at_rest)
    assert not streams_of(ends.session)
    assert not streams_of(ends.other)
    assert arena == arenas(ends)


def arenas(ends: Ends) -> tuple[int, int]:
    return (
        ends.here.core.counters()["arena_used"],
        ends.there.core.counters()["arena_used"],
    )


@pytest.mark.parametrize("way", ["ask", "call", "body", "endless body"])
def test_cancelling_a_call_cancels_its_handler(run: Run[None], way: str) -> None:
    async def main() -> None:
        worker = Worker()
        async with talking(working(worker)) as ends:
            await until(ends.at_rest)
            before = arenas(ends)
            asked: dict[str, Coroutine[Any, Any, object]] = {
                "ask": ends.caller.ask(Work()),
                "call": ends.caller.call(Work()),
                "body": ends.caller.call(Take(), body=pieces(3 << 20)),
                "endless body": ends.caller.call(Take(), body=endless()),
            }
            call = asyncio.create_task(asked.pop(way))
            for other in asked.values():
                other.close()
            await worker.begun.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await worker.cancelled.wait()
            await nothing_left(ends, before)

    run(main())


def test_leaving_a_streamed_answer_early_cancels_who_makes_it(run: Run[None]) -> None:
    async def main() -> None:
        closed = asyncio.Event()

        async def much() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield bytes(65_536)
            finally:
                closed.set()

        async def give(_request: Give, _body: Incoming) -> Answer[Done]:
            return Answer(Done(0), much())

        answering = server()
        answering.on_task(Give, give)
        async with talking(answering) as ends:
            await until(ends.at_rest)
            before = arenas(ends)
            async with ends.caller.stream(Give(0)) as answer:
                assert await answer.body.read()
            await closed.wait()
            await nothing_left(ends, before)

    run(main())


@pytest.mark.parametrize("streamed", [False, True], ids=["short", "endless"])
def test_a_deadline_ends_a_call_on_both_sides(run: Run[None], streamed: bool) -> None:
    async def main() -> None:
        worker = Worker()
        async with talking(working(worker)) as ends:
            await until(ends.at_rest)
            before = arenas(ends)
            begun = time.monotonic()
            body = endless() if streamed else b""
            with pytest.raises(DeadlinePassed):
                await ends.caller.call(Take(), body=body, within=0.2)
            assert 0.19 < time.monotonic() - begun < 5
            await worker.cancelled.wait()
            await nothing_left(ends, before)
            assert await ends.caller.ask(Say("still there")) == Said("still there")

    run(main())


def test_the_deadline_travels_and_the_server_keeps_it(run: Run[None]) -> None:
    """The caller is made deaf to its own clock: it is the server that stops in time."""

    async def main() -> None:
        worker = Worker()
        async with talking(working(worker)) as ends:
            ends.caller._deadlines.add = lambda *_: None  # type: ignore[method-assign]
            begun = time.monotonic()
            with pytest.raises(DeadlinePassed):
                await ends.caller.ask(Work(), within=0.2)
            assert worker.cancelled.is_set()
            assert 0.19 < time.monotonic() - begun < 5

    run(main())


def test_a_deadline_in_the_middle_of_an_answer_says_so(run: Run[None]) -> None:
    async def main() -> None:
        async def slow() -> AsyncIterator[bytes]:
            yield bytes(100)
            await asyncio.Event().wait()

        async def give(_request: Give, _body: Incoming) -> Answer[Done]:
            return Answer(Done(0), slow())

        answering = server()
        answering.on_task(Give, give)
        async with talking(answering) as ends:
            async with ends.caller.stream(Give(0), within=0.2) as answer:
                assert answer.reply == Done(0)
                with pytest.raises(DeadlinePassed):
                    await answer.body.take_rest(1 << 20)
            await until(ends.at_rest)

    run(main())


@pytest.mark.parametrize("late", [False, True])
def test_deadlines_pass_in_their_own_order(run: Run[None], late: bool) -> None:
    async def main() -> None:
        order: list[float] = []

        async def ask(ends: Ends, seconds: float) -> None:
            with pytest.raises(DeadlinePassed):
                await ends.caller.ask(Work(), within=seconds)
            order.append(seconds)

        worker = Worker()
        async with talking(working(worker)) as ends, asyncio.TaskGroup() as group:
            for seconds in (0.3, 0.1, 0.2):
                group.create_task(ask(ends, seconds))
            if late:
                await worker.begun.wait()
                time.sleep(0.4)  # noqa: ASYNC251  # a machine that was busy with something else
        assert order == [0.1, 0.2, 0.3]

    run(main())


def test_an_error_of_time_inside_a_handler_is_not_the_calls_deadline(
    run: Run[None], caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async def impatient(_request: Work, _body: Incoming) -> Done:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
            raise AssertionError

        answering = server()
        answering.on_task(Work, impatient)
        async with talking(answering) as ends:
            with pytest.raises(Exception, match="inside the node"):
                await ends.caller.ask(Work(), within=10)

    run(main())
    assert "TimeoutError" in caplog.text


def test_what_is_under_way_is_cancelled_when_the_session_ends(run: Run[None]) -> None:
    async def main() -> None:
        worker = Worker()
        async with talking(working(worker)) as ends:
            call = asyncio.create_task(ends.caller.ask(Work()))
            await worker.begun.wait()
            await ends.other.close(7, "enough")
            await worker.cancelled.wait()
            with pytest.raises(SessionClosed, match="enough"):
                await call

    run(main())


def test_a_dead_peer_is_noticed_within_the_idle_limit(run: Run[None]) -> None:
    async def main() -> None:
        worker = Worker()
        async with talking(working(worker), settings=Settings(idle_timeout=2)) as ends:
            call = asyncio.create_task(ends.caller.ask(Work()))
            await worker.begun.wait()
            for descriptor in (ends.there._watch, ends.there._timer):  # neither hears nor speaks
                ends.there.loop.remove_reader(descriptor)
            begun = time.monotonic()
            with pytest.raises(SessionClosed, match="nothing was heard"):
                await call
            assert time.monotonic() - begun < 4
            ends.there.loop.add_reader(ends.there._timer, ends.there.turn, 2)

    run(main())


class Mix:
    """Calls of every kind, drawn at random, and the handlers that answer them."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.answering = server(at_once=100)
        self.answering.on_task(Work, self.work)
        self.answering.on_task(Take, self.take)
        self.answering.on_task(Give, self.give)
        self.outcomes: set[str] = set()

    async def work(self, _request: Work, _body: Incoming) -> Done:
        await asyncio.sleep(self.chance.random() * 0.05)
        return Done(1)

    async def take(self, _request: Take, body: Incoming) -> Done:
        size = 0
        async for piece in body:
            size += len(piece)
        return Done(size)

    async def give(self, request: Give, _body: Incoming) -> Answer[Done]:
        return Answer(Done(request.size), self.made(request.size // 5_000))

    async def made(self, count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            await asyncio.sleep(0)
            yield bytes(self.chance.randrange(20_000))

    def some_call(self, caller: Caller[Request, Reply]) -> Coroutine[Any, Any, object]:
        size = self.chance.randrange(100_000)
        within = self.chance.choice([None, 0.01, 10])
        match self.chance.randrange(5):
            case 0:
                return caller.ask(Say("x" * self.chance.randrange(20_000)))
            case 1:
                return caller.call(Work(), within=within)
            case 2:
                return caller.call(Take(), body=bytes(size), within=within)
            case 3:
                return caller.call(Take(), body=self.made(size // 5_000), within=within)
            case _:
                return caller.call(Give(size), max_body=size * 4, within=within)

    async def one(self, caller: Caller[Request, Reply]) -> None:
        """One call, cancelled after so many turns of the loop if it is not done by then."""
        task = asyncio.create_task(self.some_call(caller))
        for _ in range(self.chance.choice([0, 1, 2, 5, 20, 100, 1_000_000])):
            if task.done():
                break
            await asyncio.sleep(0)
        task.cancel()
        result, *_ = await asyncio.gather(task, return_exceptions=True)
        self.outcomes.add(type(result).__name__)


@pytest.mark.parametrize("at_once", [turns.ALONE, 1], ids=["", "handed out one by one"])
@pytest.mark.parametrize("seed", range(3))
def test_a_thousand_calls_cancelled_at_random_leave_nothing_behind(
    run: Run[None], monkeypatch: pytest.MonkeyPatch, seed: int, at_once: int
) -> None:
    monkeypatch.setattr(turns, "ALONE", at_once)

    async def main() -> None:
        mix = Mix(seed)
        async with talking(mix.answering) as ends:
            assert await ends.caller.ask(Say("warm")) == Said("warm")
            await until(ends.at_rest)
            before, tasks = arenas(ends), asyncio.all_tasks()
            await asyncio.gather(*(mix.one(ends.caller) for _ in range(1_000)))
            assert {"CancelledError", "Answered"} <= mix.outcomes
            possible = {"CancelledError", "Said", "Answered", "DeadlinePassed", "Malformed"}
            assert mix.outcomes <= possible
            await nothing_left(ends, before)
            await until(lambda: asyncio.all_tasks() == tasks)
            await mix.answering.drain()
            assert mix.answering.slots._free == 100
            assert not ends.caller._deadlines._due

    run(main())
