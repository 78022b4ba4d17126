"""What is no call, in either direction: a stable code on its stream, and nobody else notices."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repram import errors
from repram.errors import IncompatibleVersion, RepramError, StreamReset
from repram.proto import rpc
from repram.proto.endpoint import Session
from repram.proto.rpc import Answer, Code, Failure, Incoming, Malformed, UnknownRequest
from repram.proto.rpc.codec import message_size
from repram.proto.rpc.failures import broken_off, error_of, failure_of
from repram.proto.stream import Stream
from tests.conftest import Run
from tests.proto.calls import (
    TALK,
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


def framed(message: bytes, *, version: int = 1, length: int | None = None, left: int = 0) -> bytes:
    size = len(message) if length is None else length
    return bytes([version]) + size.to_bytes(3, "big") + left.to_bytes(4, "big") + message


def packed(*fields: object) -> bytes:
    return msgspec.msgpack.encode(fields)


def answering(*, patience: float = rpc.PATIENCE) -> TestServer:
    async def take(_request: Take, body: Incoming) -> Done:
        return Done(len(await body.take_rest(1 << 20)))

    made = server(patience=patience)
    made.on_task(Take, take)
    return made


async def raw(session: Session, *parts: bytes) -> Failure:
    """What comes back for bytes that are no proper call."""
    stream = await session.open_stream()
    with suppress(StreamReset):  # the answer may come before the end of the question
        for part in parts:
            stream.write(part)
            await asyncio.sleep(0)
    stream.send_eof()
    head = await stream.readexactly(4)
    reply = await stream.readexactly(message_size(int.from_bytes(head, "big")))
    assert await stream.read() == b""
    return msgspec.msgpack.decode(reply, type=Failure)


NO_CALLS = {
    "nothing": (b"", Code.MALFORMED),
    "half a header": (b"\x01\x00\x00", Code.MALFORMED),
    "a header": (framed(b"", length=9), Code.MALFORMED),
    "an empty message": (framed(b""), Code.MALFORMED),
    "no message": (framed(b"\xc1"), Code.MALFORMED),
    "another version": (framed(packed("say", "x"), version=2), Code.VERSION),
    "version nought": (framed(packed("say", "x"), version=0), Code.VERSION),
    "too long": (framed(b"", length=rpc.MAX_MESSAGE + 1), Code.MALFORMED),
    "as long as can be": (framed(b"", length=(1 << 24) - 1), Code.MALFORMED),
    "longer than any": (framed(packed("say", "x", "y" * rpc.MAX_MESSAGE)), Code.MALFORMED),
    "cut off": (framed(packed("say", "x"), length=60_000), Code.MALFORMED),
    "more than it announces": (framed(packed("say", "hello"), length=4), Code.MALFORMED),
    "deep": (framed(b"\x91" * 60_000), Code.MALFORMED),
    "deep inside": (framed(b"\x93\xa3say\xa1x" + b"\x91" * 60_000), Code.MALFORMED),
    "a map": (framed(msgspec.msgpack.encode({"say": "x"})), Code.MALFORMED),
    "no name": (framed(packed()), Code.MALFORMED),
    "a number for a name": (framed(packed(7, "x")), Code.MALFORMED),
    "an unknown verb": (framed(packed("shout", "x")), Code.UNKNOWN),
    "a reply": (framed(packed("said", "x")), Code.UNKNOWN),
    "a verb that nobody handles": (framed(packed("work")), Code.UNKNOWN),
    "a field too few": (framed(packed("say")), Code.MALFORMED),
    "a field out of bounds": (framed(packed("give", 1 << 50)), Code.MALFORMED),
    "a field of another kind": (framed(packed("say", 7)), Code.MALFORMED),
    "no text": (framed(b"\x92\xa3say\xa2\xff\xfe"), Code.MALFORMED),
    "a length beyond the message": (framed(b"\x92\xa3say\xdb\xff\xff\xff\xff"), Code.MALFORMED),
    "a body where there is none": (framed(packed("say", "x")) + b"body", Code.MALFORMED),
    "a long body where there is none": (framed(packed("say", "x")) + bytes(90_000), Code.MALFORMED),
}


@pytest.mark.parametrize("in_parts", [False, True], ids=["at once", "byte by byte"])
@pytest.mark.parametrize("what", NO_CALLS)
def test_what_is_no_call_gets_its_code_and_others_never_notice(
    run: Run[None], what: str, in_parts: bool
) -> None:
    data, code = NO_CALLS[what]
    parts = [data[at : at + 1] for at in range(20)] + [data[20:]] if in_parts else [data]

    async def main() -> None:
        async with talking(answering()) as ends:
            neighbour = asyncio.create_task(ends.caller.call(Take(), body=pieces(1 << 20)))
            assert (await raw(ends.session, *parts)).code == code
            assert (await neighbour).reply == Done(1 << 20)
            assert await ends.caller.ask(Say("still there")) == Said("still there")
            await until(ends.at_rest)

    run(main())


def test_a_field_that_a_newer_side_adds_is_passed_over(run: Run[None]) -> None:
    async def main() -> None:
        async with talking(answering()) as ends:
            stream = await ends.session.open_stream()
            stream.write(framed(packed("say", "x", "added later")))
            stream.send_eof()
            assert b"said" in await stream.read()

    run(main())


@pytest.mark.parametrize("sent", [b"", b"\x01\x00", framed(b"", length=9), framed(packed("take"))])
def test_who_stops_in_the_middle_of_asking_loses_that_stream_alone(
    run: Run[None], sent: bytes
) -> None:
    async def main() -> None:
        async with talking(answering(patience=0.2)) as ends:
            stream = await ends.session.open_stream()
            stream.write(sent or b"\x01")
            head = await stream.readexactly(4)
            reply = await stream.readexactly(message_size(int.from_bytes(head, "big")))
            assert msgspec.msgpack.decode(reply, type=Failure).code == Code.STALLED
            await until(lambda: stream.given_up)
            with pytest.raises(StreamReset):
                stream.write(b"more")
            stream.reset()
            assert await ends.caller.ask(Say("still there")) == Said("still there")
            await until(ends.at_rest)

    run(main())


@pytest.mark.parametrize("seed", range(5))
def test_noise_on_streams_harms_nobody(run: Run[None], seed: int) -> None:
    async def main() -> None:
        chance = random.Random(seed)
        valid = [framed(TALK.request(request)[8:]) for request in (Say("hello"), Take(), Give(5))]
        async with talking(answering()) as ends:
            for _ in range(200):
                noise = bytearray(chance.choice(valid) + chance.randbytes(chance.randrange(20)))
                for _ in range(chance.randrange(4)):
                    noise[chance.randrange(len(noise))] = chance.randrange(256)
                stream = await ends.session.open_stream()
                stream.write(bytes(noise[: chance.randrange(1, len(noise) + 1)]))
                if chance.random() < 0.8:
                    stream.send_eof()
                else:
                    stream.reset(chance.randrange(100))
                if chance.random() < 0.5:
                    stream.reset(chance.randrange(100))
            assert await ends.caller.ask(Say("still there")) == Said("still there")
            for left in list(ends.session._streams.values()):
                assert isinstance(left, Stream)
                left.reset()
            await until(ends.at_rest)

    run(main())


# ---- what a hostile node may answer


REPLIES = {
    "nothing": b"",
    "half a header": b"\x01\x00",
    "another version": b"\x02\x00\x00\x01\x90",
    "too long": b"\x01\xff\xff\xff",
    "cut off": b"\x01\x00\x00\x09\x92",
    "no message": b"\x01\x00\x00\x01\xc1",
    "a request": b"\x01\x00\x00\x07" + packed("say", "x"),
    "a body that was not asked for": b"\x01\x00\x00\x07" + packed("done", 1) + b"body",
    "deep": b"\x01\x00\xea\x60" + b"\x91" * 60_000,
}


@pytest.mark.parametrize("in_parts", [False, True], ids=["at once", "byte by byte"])
@pytest.mark.parametrize("what", REPLIES)
def test_what_is_no_reply_is_an_error_of_the_node(
    run: Run[None], what: str, in_parts: bool
) -> None:
    data = REPLIES[what]

    async def serve(session: Session) -> None:
        stream = await session.accept_stream()
        await stream.read()
        with suppress(StreamReset):  # the caller may have heard enough
            for at in range(0, min(len(data), 30), 1 if in_parts else 30):
                stream.write(data[at : at + (1 if in_parts else 30)])
                await asyncio.sleep(0.001)
            stream.write(data[30:])
        stream.send_eof()

    async def main() -> None:
        async with talking(answering()) as ends:
            node = asyncio.create_task(serve(ends.session))
            asking = rpc.Caller(ends.other, TALK)
            with pytest.raises((Malformed, IncompatibleVersion)):
                await asking.ask(Say("hello"))
            await node
            await until(ends.at_rest)

    run(main())


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_malformed_and_nothing_worse(data: bytes) -> None:
    for read in (TALK.read_request, TALK.read_reply):
        try:
            read(data)
        except (Malformed, UnknownRequest):
            continue
        except RepramError:
            msgspec.msgpack.decode(data, type=Failure)


# ---- errors and their codes


@pytest.mark.parametrize(
    "kind",
    [
        errors.UsageError,
        errors.NotFound,
        errors.Busy,
        errors.NotAllowed,
        errors.IntegrityFailure,
        errors.Full,
        errors.Conflict,
        errors.QuorumNotReached,
        errors.RateLimited,
        errors.ClockRefused,
        errors.IncompatibleVersion,
        rpc.Malformed,
        rpc.UnknownRequest,
        rpc.DeadlinePassed,
        rpc.Stalled,
    ],
)
def test_an_error_arrives_as_what_it_was(kind: type[RepramError]) -> None:
    arrived = error_of(failure_of(kind("what happened")))
    assert type(arrived) is kind
    assert "what happened" in str(arrived)
    assert arrived.hint == kind.hint


def test_an_error_without_a_code_of_its_own_arrives_as_the_one_it_is_a_kind_of() -> None:
    assert failure_of(errors.WrongKey()).code == Code.FAILED
    assert failure_of(type("Fuller", (errors.Full,), {})()).code == Code.FULL


def test_codes_below_20_are_the_exit_codes_of_their_errors() -> None:
    for code in Code:
        if code < 20:
            assert error_of(Failure(code, "")).exit_code == code


def test_codes_never_change() -> None:
    assert {code.name: code.value for code in Code} == {
        "FAILED": 1,
        "OUT_OF_BOUNDS": 2,
        "NOT_FOUND": 10,
        "BUSY": 11,
        "NOT_ALLOWED": 12,
        "INTEGRITY": 13,
        "FULL": 14,
        "CONFLICT": 15,
        "QUORUM": 16,
        "MALFORMED": 20,
        "VERSION": 21,
        "RATE_LIMITED": 22,
        "CLOCK": 23,
        "STALLED": 24,
        "CANCELLED": 25,
        "DEADLINE": 26,
        "UNKNOWN": 27,
        "UNREAD": 28,
    }


def test_an_unknown_code_means_failure() -> None:
    error = error_of(Failure(987_654, "from a newer node"))
    assert (type(error), error.exit_code) == (RepramError, 1)


def test_a_broken_off_stream_may_say_why() -> None:
    assert type(broken_off(StreamReset(Code.DEADLINE))) is rpc.DeadlinePassed
    assert type(broken_off(StreamReset(Code.STALLED))) is rpc.Stalled
    assert type(broken_off(StreamReset(4_711))) is StreamReset


def test_a_peers_text_moves_no_cursor_and_has_a_bound() -> None:
    assert "\x1b" not in str(error_of(Failure(1, "\x1b[2Jgone\n")))
    long = failure_of(RepramError("x" * 10_000))
    with pytest.raises(RepramError, match="x" * 500):
        TALK.read_reply(TALK.reply(long)[4:])


def test_every_failure_a_server_makes_can_be_read_by_a_caller(run: Run[None]) -> None:
    async def main() -> None:
        def work(_request: Work, _session: Session) -> Answer[Done]:
            raise errors.Full("\x00\ud800 odd" * 400)

        made = answering()
        made.on(Work, work)
        async with talking(made) as ends:
            with pytest.raises(errors.Full):
                await ends.caller.ask(Work())

    run(main())
