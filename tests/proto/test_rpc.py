"""Calls over real sessions: asked, answered, refused."""

from __future__ import annotations

import asyncio

import pytest

from repram.errors import Busy, Full, LocalError, RepramError, SessionClosed
from repram.proto import rpc, turns
from repram.proto.endpoint import Endpoint
from repram.proto.rpc import Answer, Incoming, Malformed, UnknownRequest
from tests.conftest import Run
from tests.proto.calls import (
    TALK,
    Done,
    Give,
    Said,
    Say,
    Work,
    pieces,
    server,
    talking,
    until,
)


def test_a_reply_comes_to_a_request(run: Run[None]) -> None:
    async def main() -> None:
        async with talking(server()) as ends:
            assert await ends.caller.ask(Say("hello")) == Said("hello")

    run(main())


@pytest.mark.parametrize("length", [0, 1, 4_000, 4_096, 16_384, 40_000, 60_000])
def test_a_message_of_any_length_goes_there_and_back(run: Run[None], length: int) -> None:
    async def main() -> None:
        async with talking(server()) as ends:
            assert await ends.caller.ask(Say("x" * length)) == Said("x" * length)

    run(main())


@pytest.mark.parametrize("at_once", [turns.ALONE, 1], ids=["", "handed out one by one"])
def test_many_calls_at_once_each_get_their_own_answer(
    run: Run[None], monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(turns, "ALONE", at_once)

    async def main() -> None:
        async with talking(server()) as ends, asyncio.TaskGroup() as group:
            asked = [(str(number) * (number % 300), number) for number in range(3_000)]
            calls = [group.create_task(ends.caller.ask(Say(text))) for text, _ in asked]
        assert [call.result() for call in calls] == [Said(text) for text, _ in asked]

    run(main())


def test_both_sides_of_a_session_may_ask(run: Run[None]) -> None:
    async def main() -> None:
        async with talking(server()) as ends:
            back = asyncio.create_task(server().attend(ends.session))
            other_way = rpc.Caller(ends.other, TALK)
            there, back_here = await asyncio.gather(
                ends.caller.ask(Say("a")), other_way.ask(Say("b"))
            )
            assert there == Said("a")
            assert back_here == Said("b")
            await ends.session.close()
            await back

    run(main())


def test_a_handler_knows_whom_it_answers(run: Run[None]) -> None:
    async def main() -> None:
        seen: list[bytes | None] = []

        async def work(_request: Work, body: Incoming) -> Done:
            seen.append(body.session.peer_key)
            return Done(0)

        answering = server()
        answering.on_task(Work, work)
        async with talking(answering) as ends:
            await ends.caller.ask(Work())
            assert seen == [None]
            assert ends.session.peer_key is None or len(ends.session.peer_key) == 32

    run(main())


@pytest.mark.parametrize("in_a_task", [False, True], ids=["plain", "task"])
def test_an_error_of_a_handler_is_raised_at_the_caller(run: Run[None], in_a_task: bool) -> None:
    def refuse(_request: object, _session: object) -> Done:
        raise Full("this node is full")

    async def refuse_slowly(request: object, body: object) -> Done:
        return refuse(request, body)

    async def main() -> None:
        answering = server()
        if in_a_task:
            answering.on_task(Work, refuse_slowly)
        else:
            answering.on(Work, refuse)
        async with talking(answering) as ends:
            with pytest.raises(Full, match="this node is full"):
                await ends.caller.ask(Work())
            assert await ends.caller.ask(Say("still there")) == Said("still there")

    run(main())


@pytest.mark.parametrize("in_a_task", [False, True], ids=["plain", "task"])
def test_a_bug_in_a_handler_is_logged_and_the_session_lives(
    run: Run[None], caplog: pytest.LogCaptureFixture, in_a_task: bool
) -> None:
    def broken(_request: object, _session: object) -> Done:
        raise ZeroDivisionError

    async def broken_slowly(request: object, body: object) -> Done:
        return broken(request, body)

    async def main() -> None:
        answering = server()
        if in_a_task:
            answering.on_task(Work, broken_slowly)
        else:
            answering.on(Work, broken)
        async with talking(answering) as ends:
            with pytest.raises(RepramError, match="inside the node") as caught:
                await ends.caller.ask(Work())
            assert type(caught.value) is RepramError
            assert await ends.caller.ask(Say("still there")) == Said("still there")

    run(main())
    assert "ZeroDivisionError" in caplog.text


def test_what_a_node_does_not_answer_is_told_apart(run: Run[None]) -> None:
    async def main() -> None:
        async with talking(server()) as ends:
            with pytest.raises(UnknownRequest):
                await ends.caller.ask(Work())

    run(main())


def test_a_body_where_none_was_asked_for_is_not_taken(run: Run[None]) -> None:
    async def main() -> None:
        answering = server()
        answering.on(Give, lambda give, _: Answer(Done(give.size), pieces(give.size)))
        async with talking(answering) as ends:
            for size in (1, 10_000):
                with pytest.raises(Malformed, match="more than the 0 bytes"):
                    await ends.caller.ask(Give(size))
            await until(ends.at_rest)

    run(main())


def test_when_the_session_ends_a_call_says_so(run: Run[None]) -> None:
    async def main() -> None:
        async def close(_request: Work, body: Incoming) -> Done:
            await body.session.close(0, "enough")
            raise AssertionError

        answering = server()
        answering.on_task(Work, close)
        async with talking(answering) as ends:
            with pytest.raises(SessionClosed, match="enough"):
                await ends.caller.ask(Work())
            with pytest.raises(SessionClosed):
                await ends.caller.ask(Say("too late"))

    run(main())


def test_a_session_that_ends_elsewhere_is_an_error_like_any_other(run: Run[None]) -> None:
    """A handler that asks a node of its own: what happens there is not what happens here."""

    async def main() -> None:
        async def relay(_request: Work, _body: Incoming) -> Done:
            raise SessionClosed(7, "elsewhere")

        answering = server()
        answering.on_task(Work, relay)
        async with talking(answering) as ends:
            with pytest.raises(RepramError, match="elsewhere"):
                await ends.caller.ask(Work())

    run(main())


def test_a_longer_message_than_any_is_a_callers_mistake(run: Run[None]) -> None:
    async def main() -> None:
        async with talking(server()) as ends:
            with pytest.raises(LocalError):
                await ends.caller.ask(Say("x" * (rpc.MAX_MESSAGE + 1)))

    run(main())


def test_what_is_asked_before_anybody_attends_is_answered(run: Run[None]) -> None:
    async def main() -> None:
        opened = await Endpoint.open(("127.0.0.1", 0), identity=bytes(32), listen=True)
        async with opened as there, await Endpoint.open() as here:
            session = await here.connect(there.address, there.key)
            call = asyncio.create_task(rpc.Caller(session, TALK).ask(Say("early")))
            other = await there.accept()
            await until(lambda: there.core.counters()["streams"] == 1)
            serving = asyncio.create_task(server().attend(other))
            assert await call == Said("early")
            await session.close()
            await serving

    run(main())


def test_a_drained_server_finishes_what_is_under_way_and_takes_no_more(run: Run[None]) -> None:
    async def main() -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def work(_request: Work, _body: Incoming) -> Done:
            begun.set()
            await go_on.wait()
            return Done(1)

        answering = server()
        answering.on_task(Work, work)
        async with talking(answering) as ends:
            call = asyncio.create_task(ends.caller.ask(Work()))
            await begun.wait()
            draining = asyncio.create_task(answering.drain())
            await asyncio.sleep(0)
            for request in (Say("plain"), Work()):
                with pytest.raises(Busy, match="shutting down"):
                    await ends.caller.ask(request)
            assert not draining.done()
            go_on.set()
            assert await call == Done(1)
            await draining

    run(main())


def test_each_answer_is_told_with_its_kind_and_code(run: Run[None]) -> None:
    async def full(_request: Work, _incoming: Incoming) -> Said:
        raise Full

    async def main() -> None:
        told: list[tuple[type | None, int]] = []
        answering = server()
        answering.witness = lambda kind, code, took: told.append((kind, code if took > 0 else -1))
        answering.on_task(Work, full)
        async with talking(answering) as ends:
            await ends.caller.ask(Say("in one piece"))
            await ends.caller.ask(Say("piece by piece" * 4_000))
            with pytest.raises(Full):
                await ends.caller.ask(Work())
            with pytest.raises(UnknownRequest):
                await ends.caller.ask(Give(1))
            stream = await ends.session.open_stream()
            stream.write(b"no request")
            stream.send_eof()
            await until(lambda: len(told) == 5)
        assert told == [
            (Say, 0),
            (Say, 0),
            (Work, rpc.Code.FULL),
            (Give, rpc.Code.UNKNOWN),
            (None, rpc.Code.VERSION),
        ]

    run(main())
