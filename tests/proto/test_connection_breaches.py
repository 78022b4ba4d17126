"""An authenticated peer breaks the protocol: its session ends with a code, and others never notice."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repram.errors import SessionClosed
from repram.proto.connection import Cause, Core, EventKind, closing_error
from tests.proto.by_hand import (
    PADDING,
    PING,
    SESSION,
    STREAM,
    Frame,
    Talk,
    ack,
    close,
    frame,
    stream,
    varint,
)
from tests.proto.called import NOW, ending, node, talk

MIB = 1 << 20
MAX = (1 << 62) - 1
FRAME, FLOW, STREAM_LIMIT, STREAM_STATE, FINAL_SIZE, ACK, KEYS = range(1, 8)
CLOSE = 0x0E


def ratchet(answers: int, number: int, key: bytes = b"k" * 32) -> bytes:
    return b"\x0f" + bytes([answers]) + number.to_bytes(4, "big") + key


ten = stream(0, 0, b"0123456789")
BREACHES: dict[str, tuple[int, tuple[bytes, ...]]] = {
    "a frame of unknown type": (FRAME, (b"\x3f",)),
    "a frame of unknown type behind good ones": (FRAME, (PING + PADDING + ten + b"\x09",)),
    "a varint that is cut off": (FRAME, (b"\x06\x80\x00",)),
    "a stream frame without its length": (
        FRAME,
        (bytes([STREAM]) + varint(0) + varint(0) + b"\0",),
    ),
    "a stream frame longer than its packet": (FRAME, (ten[:-1],)),
    "an offset that ends beyond all numbers": (FRAME, (stream(0, MAX, b"x"),)),
    "a reset without its size": (FRAME, (frame(0x04, 0, 0),)),
    "a close with too long a text": (FRAME, (close(0, b"x" * 257),)),
    "a close that is cut off": (FRAME, (close(0, b"text")[:-1],)),
    "half a path challenge": (FRAME, (b"\x0a" + bytes(7),)),
    "an ACK with too many ranges": (
        FRAME,
        (b"\x02" + varint(5000) + b"\0" + varint(1025) + bytes(2051),),
    ),
    "an ACK with fewer ranges than it says": (FRAME, (frame(0x02, 9, 0, 2, 0, 0, 0),)),
    "an ACK whose first range goes below zero": (FRAME, (ack(0, 1),)),
    "an ACK whose gap goes below zero": (FRAME, (ack(5, 0, 4, 0),)),
    "an ACK whose second range goes below zero": (FRAME, (ack(5, 0, 1, 3),)),
    "two ACKs in one packet": (FRAME, (ack(0) + ack(0),)),
    "an ACK of what was never sent": (ACK, (ack(1_000_000),)),
    "an ACK of all numbers there are": (ACK, (ack(MAX, MAX),)),
    "more bytes than a stream was granted": (FLOW, (stream(0, MIB, b"x"),)),
    "a final size beyond what was granted": (FLOW, (frame(0x04, 0, 7, MIB + 1),)),
    "more bytes than the session was granted": (
        FLOW,
        tuple(stream(2 * number, MIB - 1, b"x") for number in range(3)),
    ),
    "more streams than were granted": (STREAM_LIMIT, (stream(2 * 1024, 0, b""),)),
    "the highest stream there is": (STREAM_LIMIT, (frame(0x05, MAX - 1, 0),)),
    "bytes for a stream that the node never opened": (STREAM_STATE, (stream(1, 0, b"x"),)),
    "a stop of a stream that the node never opened": (STREAM_STATE, (frame(0x05, 1, 0),)),
    "credit for a stream that the node never opened": (STREAM_STATE, (frame(0x07, 9, MIB),)),
    "a reset of a stream that the node never opened": (STREAM_STATE, (frame(0x04, 5, 0, 0),)),
    "bytes beyond the end": (FINAL_SIZE, (stream(0, 0, b"x", fin=True), stream(0, 1, b"y"))),
    "another end, later": (
        FINAL_SIZE,
        (stream(0, 0, b"x", fin=True), stream(0, 0, b"xy", fin=True)),
    ),
    "another end, before what came": (FINAL_SIZE, (ten, stream(0, 0, b"x", fin=True))),
    "a reset before what came": (FINAL_SIZE, (ten, frame(0x04, 0, 0, 9))),
    "a reset at another size than the end": (
        FINAL_SIZE,
        (stream(0, 0, b"x", fin=True), frame(0x04, 0, 0, 2)),
    ),
    "an answer where a caller asks": (KEYS, (ratchet(1, 1),)),
    "a ratchet neither asked nor answered": (KEYS, (ratchet(2, 1),)),
    "a ratchet without a number": (KEYS, (ratchet(0, 0),)),
    "a ratchet ahead of its turn": (KEYS, (ratchet(0, 2),)),
    "a ratchet key that gives an all-zero secret": (KEYS, (ratchet(0, 1, b"\1" + bytes(31)),)),
    "an all-zero ratchet key": (KEYS, (ratchet(0, 1, bytes(32)),)),
}


@pytest.mark.parametrize(("code", "texts"), BREACHES.values(), ids=BREACHES)
def test_a_breach_ends_its_session_alone(code: int, texts: tuple[bytes, ...]) -> None:
    begun = talk(node(session_window=2 * MIB, stream_window=MIB))
    other = talk(begun.node, SESSION + 1)
    said = begun.say(*texts)
    closed = ending(begun)
    assert (closed.cause, closed.code) == (Cause.PROTOCOL, code)
    assert "broke the protocol" in str(closing_error(closed))
    assert [each.values for each in said if each.kind == CLOSE] == [(code,)]
    assert begun.node.counters()["protocol_errors"] == 1
    other.say(stream(0, 0, b"alive"))
    assert other.connection.read(0) == (b"alive", False)


@pytest.mark.parametrize(("code", "texts"), BREACHES.values(), ids=BREACHES)
def test_after_a_breach_nothing_of_the_session_is_left(code: int, texts: tuple[bytes, ...]) -> None:
    begun = talk(node(session_window=2 * MIB, stream_window=MIB))
    begun.say(*texts)
    begun.node.events()
    begun.wait(60)
    counters = begun.node.counters()
    assert (counters["sessions"], counters["streams"], counters["arena_used"]) == (0, 0, 0)


HARMLESS: dict[str, tuple[bytes, ...]] = {
    "padding alone": (bytes(100),),
    "the same bytes again": (ten, ten),
    "overlapping bytes": (ten, stream(0, 5, b"56789"), stream(0, 3, b"3456")),
    "the end again": (
        stream(0, 0, b"x", fin=True),
        stream(0, 0, b"x", fin=True),
        stream(0, 1, b"", fin=True),
    ),
    "a reset after all was said": (stream(0, 0, b"x", fin=True), frame(0x04, 0, 0, 1)),
    "credit that shrinks": (frame(0x06, 1), frame(0x07, 0, 1), frame(0x08, 0)),
    "all the credit there is": (frame(0x06, MAX), frame(0x07, 0, MAX), frame(0x08, MAX)),
    "an ACK of what was acknowledged": (ack(0), ack(0)),
    "a ratchet asked twice": (ratchet(0, 1), ratchet(0, 1)),
    "a ratchet asked again when another is over": (ratchet(0, 1), ratchet(0, 2), ratchet(0, 1)),
    "a stop of a stream of ours": (frame(0x05, 0, 0), frame(0x05, 0, 1)),
    "an answer to no challenge": (b"\x0b" + bytes(8),),
    "an address that cannot be": (b"\x0c" + b"\xff" * 18,),
}


@pytest.mark.parametrize("texts", HARMLESS.values(), ids=HARMLESS)
def test_what_is_odd_but_allowed_ends_nothing(texts: tuple[bytes, ...]) -> None:
    begun = talk()
    begun.say(*texts)
    begun.say(stream(2, 0, b"alive"))
    assert begun.connection.read(2) == (b"alive", False)
    assert begun.node.counters()["protocol_errors"] == 0


def hear_much(begun: Talk, answer: Callable[[set[int]], bytes]) -> None:
    """The node says a lot, and is told what its hearer chooses to acknowledge of it."""
    number = begun.connection.open_stream()
    for _ in range(60):
        begun.connection.write(number, bytes(8_000))
        begun.wait(0.1)
        begun.say(answer(begun.caller.heard))


def test_who_acknowledges_all_that_may_have_been_sent_is_found_out() -> None:
    begun = talk()
    with pytest.raises(SessionClosed):
        hear_much(begun, lambda heard: ack(max(heard), max(heard)))
    assert ending(begun).code == ACK


def test_who_acknowledges_what_it_got_is_not() -> None:
    begun = talk()

    def newest(heard: set[int]) -> bytes:
        low = high = max(heard)
        while low - 1 in heard:
            low -= 1
        return ack(high, high - low)

    hear_much(begun, newest)
    assert begun.connection.stats().packets_sent > 300
    assert set(range(max(begun.caller.heard))) - begun.caller.heard  # some were left out
    assert not [event for event in begun.node.events() if event.kind is EventKind.CLOSED]


def runs(numbers: set[int]) -> bytes:
    """An ACK of these."""
    high = max(numbers)
    ends = [number for number in sorted(numbers, reverse=True) if number + 1 not in numbers]
    starts = [number for number in sorted(numbers, reverse=True) if number - 1 not in numbers]
    fields = [high - starts[0]]
    for before, end, start in zip(starts, ends[1:], starts[1:], strict=False):
        fields += [before - end - 2, end - start]
    return ack(high, *fields)


def test_a_number_left_out_below_what_is_acknowledged_again_is_no_breach() -> None:
    """It stands at the beginning of a block of records of which all is settled, and none before is."""
    seed, left_out, missing = 13, 320, 310
    core = Core(now=NOW, seed=seed.to_bytes(32, "big"), identity=b"i" * 32, listen=True)
    begun = talk(core)
    number = begun.connection.open_stream()
    while max(begun.caller.heard, default=0) < left_out + 80:
        begun.connection.write(number, bytes(40_000))
        begun.wait(0.01)
        begun.say(runs(begun.caller.heard - {missing}))
    assert left_out not in begun.caller.heard
    begun.say(ack(left_out + 40, 20))
    assert not [event for event in core.events() if event.kind is EventKind.CLOSED]


def test_a_closed_session_answers_ever_more_rarely() -> None:
    begun = talk()
    begun.connection.close(0x1000, "enough", now=begun.now)
    (said,) = [begun.caller.open(data) for data in begun.tell()]
    assert said == [Frame(CLOSE, (0x1000,), b"enough")]
    answers = [len(begun.say(PING)) for _ in range(64)]
    assert [number for number, count in enumerate(answers, 1) if count] == [1, 2, 4, 8, 16, 32, 64]


def test_whoever_was_closed_is_silent() -> None:
    begun = talk()
    assert begun.say(close(0x1234, b"goodbye")) == []
    closed = ending(begun)
    assert (closed.cause, closed.code, closed.reason) == (Cause.PEER, 0x1234, "goodbye")
    assert begun.say(PING, PING) == []
    assert begun.wait(60) == []
    assert begun.node.counters()["sessions"] == 0


def test_nothing_behind_a_close_is_heard() -> None:
    begun = talk()
    begun.say(close(0) + stream(0, 0, b"too late"))
    assert [event.kind for event in begun.node.events()] == [EventKind.CLOSED]
    with pytest.raises(SessionClosed):
        begun.connection.read(0)


def test_a_text_that_is_no_utf8_is_told_all_the_same() -> None:
    begun = talk()
    begun.say(close(1, b"caf\xe9"))
    assert ending(begun).reason == "caf\N{REPLACEMENT CHARACTER}"


numbers = st.one_of(st.integers(0, 12), st.integers(0, 1 << 21), st.integers(0, MAX))
any_frame = st.one_of(
    st.builds(frame, st.sampled_from([4, 5, 6, 7, 8]), numbers, numbers, numbers),
    st.builds(frame, st.sampled_from([5, 7]), numbers, numbers),
    st.builds(frame, st.sampled_from([6, 8]), numbers),
    st.builds(stream, numbers, st.integers(0, 1 << 21), st.binary(max_size=40), fin=st.booleans()),
    st.builds(ack, st.integers(0, 8), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)),
    st.builds(
        lambda kind, data: bytes([kind]) + data, st.integers(0x0A, 0x0F), st.binary(max_size=40)
    ),
    st.sampled_from([PING, PADDING, b"\x0d\x00\x03abc", ratchet(0, 1)]),
)


@settings(max_examples=400)
@given(st.lists(st.lists(any_frame, min_size=1, max_size=5), max_size=6), st.booleans())
def test_any_frames_in_any_order_end_their_own_session_at_worst(
    packets: list[list[bytes]], reads: bool
) -> None:
    begun = talk()
    other = talk(begun.node, SESSION + 1)
    for packet in packets:
        begun.tell(begun.caller.seal(b"".join(packet)))
        for event in begun.node.events():
            if reads and event.kind is EventKind.READABLE:
                begun.connection.read(event.stream)
    begun.tell()
    other.now = begun.now
    other.say(stream(0, 0, b"alive"))
    assert other.connection.read(0) == (b"alive", False)
    begun.wait(200)
    begun.node.events()
    begun.wait(1)
    counters = begun.node.counters()
    assert (counters["sessions"], counters["streams"], counters["arena_used"]) == (0, 0, 0)
