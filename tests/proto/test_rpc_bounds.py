"""How many calls run at a time, who waits where, and what is answered without waiting."""

from __future__ import annotations

import asyncio

import pytest

from repram.proto.connection import SHORT_MAX, Settings
from repram.proto.endpoint import Endpoint, Session
from repram.proto.rpc import Caller, DeadlinePassed, Incoming
from repram.proto.rpc.slots import Slots, Waiting
from tests.conftest import Run
from tests.proto.calls import (
    TALK,
    Done,
    Ends,
    Said,
    Say,
    Take,
    Work,
    pieces,
    server,
    talking,
    until,
)


class Crowd:
    """A handler that counts how many are inside, and lets them go on together."""

    def __init__(self) -> None:
        self.inside = self.most = self.done = 0
        self.gate = asyncio.Event()

    async def __call__(self, _request: Work, _body: Incoming) -> Done:
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await self.gate.wait()
        finally:
            self.inside -= 1
        self.done += 1
        return Done(self.done)


def test_a_session_has_as_many_calls_under_way_as_its_streams_allow(run: Run[None]) -> None:
    async def main() -> None:
        crowd, answering = Crowd(), server()
        answering.on_task(Work, crowd)
        async with talking(answering, settings=Settings(max_streams=8)) as ends:
            calls = [asyncio.create_task(ends.caller.call(Work())) for _ in range(100)]
            await until(lambda: crowd.inside == 8)
            crowd.gate.set()
            answers = await asyncio.gather(*calls)
            assert crowd.most == 8
            assert sorted(answer.reply.size for answer in answers if isinstance(answer.reply, Done))
            await until(ends.at_rest)

    run(main())


def test_a_call_that_waits_for_a_stream_keeps_its_deadline_and_may_be_cancelled(
    run: Run[None],
) -> None:
    async def main() -> None:
        crowd, answering = Crowd(), server()
        answering.on_task(Work, crowd)
        async with talking(answering, settings=Settings(max_streams=1)) as ends:
            first = asyncio.create_task(ends.caller.ask(Work()))
            await until(lambda: crowd.inside == 1)
            with pytest.raises(DeadlinePassed):
                await ends.caller.ask(Say("too many"), within=0.05)
            waiting = asyncio.create_task(ends.caller.ask(Say("too many")))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            crowd.gate.set()
            assert await first == Done(1)
            assert await ends.caller.ask(Say("now")) == Said("now")

    run(main())


async def another(ends: Ends, answering: asyncio.TaskGroup, crowd_server: object) -> Session:
    session = await ends.here.connect(ends.there.address, ends.there.key)
    other = await ends.there.accept()
    answering.create_task(crowd_server.attend(other))  # type: ignore[attr-defined]
    return session


def test_a_server_runs_so_many_at_a_time_whoever_asks(run: Run[None]) -> None:
    async def main() -> None:
        crowd, answering = Crowd(), server(at_once=5)
        answering.on_task(Work, crowd)
        async with talking(answering) as ends, asyncio.TaskGroup() as group:
            sessions = [ends.session, *[await another(ends, group, answering) for _ in range(3)]]
            callers = [Caller(session, TALK) for session in sessions]
            calls = [
                asyncio.create_task(caller.ask(Work())) for caller in callers for _ in range(10)
            ]
            await until(lambda: crowd.inside == 5)
            await asyncio.gather(*(caller.ask(Say("plain")) for caller in callers))
            crowd.gate.set()
            await asyncio.gather(*calls)
            assert (crowd.most, crowd.done) == (5, 40)
            for session in sessions:
                await session.close()

    run(main())


def test_a_call_that_waits_its_turn_keeps_its_deadline_and_may_be_cancelled(
    run: Run[None],
) -> None:
    async def main() -> None:
        crowd, answering = Crowd(), server(at_once=1)
        answering.on_task(Work, crowd)
        async with talking(answering) as ends:
            first = asyncio.create_task(ends.caller.ask(Work()))
            await until(lambda: crowd.inside == 1)
            with pytest.raises(DeadlinePassed):
                await ends.caller.ask(Work(), within=0.05)
            waiting = asyncio.create_task(ends.caller.ask(Work()))
            await until(lambda: len(answering.slots._line) == 1)
            waiting.cancel()
            await until(lambda: not answering.slots._line)
            crowd.gate.set()
            assert await first == Done(1)
            assert await ends.caller.ask(Work()) == Done(2)
            await until(ends.at_rest)

    run(main())


def test_bodies_that_wait_do_not_starve_the_one_that_is_read(run: Run[None]) -> None:
    """More of them than fit into the session's window: its credit is all theirs, until they are let in."""

    async def take(_request: Take, body: Incoming) -> Done:
        return Done(len(await body.take_rest(1 << 23)))

    async def main() -> None:
        answering = server(at_once=1)
        answering.on_task(Take, take)
        async with talking(answering) as ends:
            data = pieces(4 << 20)
            calls = (ends.caller.call(Take(), body=data) for _ in range(12))
            answers = await asyncio.gather(*calls)
            assert {answer.reply for answer in answers} == {Done(len(data))}
            assert answering.slots._free == 1

    run(main())


def test_a_plain_handler_runs_at_once_and_in_no_task(run: Run[None]) -> None:
    async def main() -> None:
        tasks: list[object] = []

        def plain(_request: Take, _session: Session) -> Done:
            tasks.append(asyncio.current_task())
            return Done(0)

        crowd, answering = Crowd(), server(at_once=1)
        answering.on_task(Work, crowd)
        answering.on(Take, plain)
        async with talking(answering) as ends:
            first = asyncio.create_task(ends.caller.ask(Work()))
            await until(lambda: crowd.inside == 1)
            assert await ends.caller.ask(Take()) == Done(0)
            assert tasks == [None]
            crowd.gate.set()
            await first

    run(main())


def test_plain_handlers_answer_in_the_order_of_asking(run: Run[None]) -> None:
    async def main() -> None:
        heard: list[str] = []

        def listen(request: Say, _session: Session) -> Said:
            heard.append(request.text)
            return Said(request.text)

        answering = server()
        answering.on(Say, listen)
        async with talking(answering) as ends:
            texts = [str(number) for number in range(500)]
            answers = await asyncio.gather(*(ends.caller.ask(Say(text)) for text in texts))
            assert answers == [Said(text) for text in texts]
            assert heard == texts

    run(main())


def test_questions_and_answers_share_packets(run: Run[None]) -> None:
    async def main() -> None:
        async with talking(server()) as ends:
            await until(ends.at_rest)
            before = [end.core.counters()["datagrams_out"] for end in (ends.here, ends.there)]
            await asyncio.gather(*(ends.caller.ask(Say("x" * 64)) for _ in range(100)))
            await until(ends.at_rest)
            after = [end.core.counters()["datagrams_out"] for end in (ends.here, ends.there)]
            assert all(now - then < 40 for then, now in zip(before, after, strict=True))

    run(main())


@pytest.mark.parametrize("size", [10, SHORT_MAX // 2, 50_000])
def test_what_is_begun_is_on_its_way_at_once_if_it_is_short(run: Run[None], size: int) -> None:
    async def main() -> None:
        async with talking(server()) as ends:
            await until(ends.at_rest)
            before = ends.here.core.counters()["datagrams_out"]
            asking = ends.caller.begin(Say("x" * size))
            sent = ends.here.core.counters()["datagrams_out"] - before
            assert (sent > 0) == (size < SHORT_MAX)
            assert await asking == Said("x" * size)

    run(main())


def test_what_is_begun_where_no_stream_may_be_opened_waits_for_one(run: Run[None]) -> None:
    async def main() -> None:
        async with talking(server(), settings=Settings(max_streams=1)) as ends:
            asking = [ends.caller.begin(Say(str(n))) for n in range(3)]
            assert await asyncio.gather(*asking) == [Said(str(n)) for n in range(3)]

    run(main())


def test_a_session_that_nobody_attends_any_more_keeps_no_server(run: Run[None]) -> None:
    async def main() -> None:
        opened = await Endpoint.open(("127.0.0.1", 0), identity=bytes(32), listen=True)
        async with opened as there, await Endpoint.open() as here:
            session = await here.connect(there.address, there.key)
            other = await there.accept()
            serving = asyncio.create_task(server().attend(other))
            assert await Caller(session, TALK).ask(Say("hello")) == Said("hello")
            serving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await serving
            assert other.on_whole is None

    run(main())


# ---- slots by themselves


def test_slots_are_given_in_order_and_taken_back() -> None:
    async def main() -> None:
        slots, group, order = Slots(2), Waiting(), []

        async def one(number: int) -> None:
            await slots.take(group)
            order.append(number)
            await asyncio.sleep(0)
            slots.give()

        await asyncio.gather(*(one(number) for number in range(10)))
        assert order == list(range(10))
        assert (slots._free, slots._line, group) == (2, {}, set())

    asyncio.run(main())


def test_one_that_is_cancelled_as_it_is_let_in_hands_its_slot_on() -> None:
    async def main() -> None:
        slots, group = Slots(1), Waiting()
        await slots.take(group)
        second, third = (asyncio.create_task(slots.take(group)) for _ in range(2))
        await asyncio.sleep(0)
        slots.give()  # to the second, which is cancelled before it can run
        second.cancel()
        await asyncio.wait([second, third], timeout=1)
        assert second.cancelled()
        assert third.done()
        slots.give()
        assert slots._free == 1

    asyncio.run(main())


def test_all_of_a_group_can_be_let_in_above_the_bound() -> None:
    async def main() -> None:
        slots, ours, others = Slots(1), Waiting(), Waiting()
        await slots.take(ours)
        waiting = [asyncio.create_task(slots.take(ours)) for _ in range(3)]
        other = asyncio.create_task(slots.take(others))
        await asyncio.sleep(0)
        slots.admit_all(ours)
        await asyncio.gather(*waiting)
        for _ in range(3):
            slots.give()
        await asyncio.sleep(0)
        assert not other.done()
        slots.give()
        await other

    asyncio.run(main())
