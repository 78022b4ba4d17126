"""A peer with the right keys does what is allowed, only too much: it is bounded, or closed with its code.

What is measured is work and memory, never time: packets said for those heard, keys derived, bytes borrowed
from the arena. Each abuse has its control: the same in measure is borne.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from repram.proto.connection import Cause, EventKind
from tests.proto.by_hand import (
    PADDING,
    PING,
    STREAM,
    STREAM_FIN,
    Frame,
    Talk,
    ack,
    frame,
    stream,
)
from tests.proto.called import ending, node, talk

MIB, PAGE, BLOCK = 1 << 20, 1 << 15, 1 << 12
RESET_STREAM, STOP, MAX_DATA, MAX_STREAM_DATA, MAX_STREAMS = range(4, 9)
CLOSE = 0x0E
FRAME, KEYS, EXCESS, SLOW = 1, 7, 10, 11
PATIENCE = 60


def challenge(number: int) -> bytes:
    return b"\x0a" + number.to_bytes(8, "big")


def ratchet(number: int) -> bytes:
    return b"\x0f\0" + number.to_bytes(4, "big") + b"k" * 32


def is_served(begun: Talk, number: int) -> bool:
    """Whether the node still hears this caller, and answers."""
    begun.say(stream(number, 0, b"alive"))
    heard = begun.connection.read(number) == (b"alive", False)
    begun.connection.write(number, b"and well")
    return heard and any(each.data == b"and well" for each in begun.say(PING) + begun.wait(5))


def acknowledges(begun: Talk) -> bytes:
    """An ACK of the newest that was heard, and no other."""
    return ack(max(begun.caller.heard))


# ---- floods: whatever comes, few packets go, and little is kept


FLOODS: dict[str, Callable[[int], bytes]] = {
    "PADDING": lambda _: 1000 * PADDING,
    "PING": lambda _: PING,
    "PINGs": lambda _: 1000 * PING,
    "ACK": lambda _: ack(0),
    "MAX_DATA": lambda n: b"".join(frame(MAX_DATA, MIB + 100 * n + i) for i in range(100)),
    "MAX_STREAM_DATA": lambda n: frame(MAX_STREAM_DATA, 0, MIB + n),
    "MAX_STREAMS": lambda n: frame(MAX_STREAMS, 200 + n),
    "PATH_CHALLENGE": lambda n: b"".join(challenge(100 * n + i) for i in range(100)),
    "PATH_RESPONSE": lambda n: b"\x0b" + n.to_bytes(8, "big"),
    "OBSERVED_ADDRESS": lambda n: b"\x0c" + bytes(16) + n.to_bytes(2, "big"),
    "DATAGRAM": lambda _: 10 * (b"\x0d\x00\x64" + bytes(100)),
    "empty STREAM": lambda _: 100 * stream(0, 0, b""),
    "empty STREAMs of all there may be": lambda n: b"".join(
        stream(2 * (100 * n + i) % 2048, 0, b"") for i in range(100)
    ),
    "the same bytes": lambda _: stream(0, 0, bytes(1000)),
    "RESET_STREAM of one stream": lambda _: 100 * frame(RESET_STREAM, 0, 0, 1),
    "STOP of one stream": lambda _: 100 * frame(STOP, 0, 0),
}


@pytest.mark.parametrize("what", FLOODS)
def test_a_flood_draws_no_more_than_it_brings_and_leaves_nothing(what: str) -> None:
    begun, packets = talk(), 500
    other = talk(begun.node, begun.caller.session + 1)
    begun.say(stream(0, 0, b"x"))
    before = begun.node.counters()
    for number in range(packets):
        begun.tell(begun.caller.seal(FLOODS[what](number)))
        begun.node.events()
    after = begun.node.counters()
    lone = 64 if what == "PATH_CHALLENGE" else 0  # each of these is answered in a packet of its own
    assert after["datagrams_out"] - before["datagrams_out"] <= packets // 2 + lone + 1
    assert after["bytes_out"] - before["bytes_out"] < after["bytes_in"] - before["bytes_in"]
    kept = after["arena_used"] - before["arena_used"]
    streams = after["streams"] - before["streams"]
    assert kept < 2 * PAGE + 8 * BLOCK + 512 * streams
    assert is_served(begun, 2 * 1000)
    assert is_served(other, 0)


def test_an_acknowledgement_alone_is_not_answered() -> None:
    begun = talk()
    said = [begun.tell(begun.caller.seal(ack(0))) for _ in range(1000)]
    assert not any(said)
    assert is_served(begun, 0)


def test_challenges_are_answered_as_long_as_answers_are_acknowledged() -> None:
    for acknowledging in (False, True):
        begun, answers = talk(), 0
        for number in range(1000):
            said = begun.say(challenge(number) + (acknowledges(begun) if acknowledging else b""))
            answers += Frame(0x0B, (), number.to_bytes(8, "big")) in said
        assert answers == (1000 if acknowledging else 64)


# ---- gaps and far offsets


def gaps(begun: Talk, count: int, at_once: int = 120) -> None:
    """Every second byte of stream 0, each in a frame of its own."""
    texts: list[bytes] = []
    for first in range(0, count, at_once):
        numbers = range(first, min(first + at_once, count))
        offsets = ((0x8000_0000 + 2 * n + 1).to_bytes(4, "big") for n in numbers)
        texts.append(b"".join([b"\x20\x00" + offset + b"\x00\x01x" for offset in offsets]))
        if len(texts) == 50 or numbers.stop == count:
            begun.tell(*map(begun.caller.seal, texts))
            texts.clear()


def test_a_million_gaps_cost_a_page_of_ranges_and_the_pages_they_lie_in() -> None:
    begun = talk()
    other = talk(begun.node, begun.caller.session + 1)
    gaps(begun, 1_000_000)
    counters = begun.node.counters()
    assert counters["dropped_memory"] > 8_000  # as if lost: who means it would say them again
    assert (
        counters["arena_peak"] < 2 * MIB + 2 * PAGE + 16 * BLOCK
    )  # the bytes themselves, and a page
    assert is_served(other, 0)
    begun.say(stream(0, 0, bytes(5_000)))
    assert len(begun.connection.read(0)[0]) > 2 * 2_000


def test_some_gaps_are_filled() -> None:
    begun = talk()
    gaps(begun, 1_000)
    begun.say(stream(0, 0, bytes(1_000)), stream(0, 1_000, bytes(1_000)))
    assert len(begun.connection.read(0)[0]) == 2_000
    assert begun.node.counters()["dropped_memory"] == 0


def crowd(count: int, text: bytes) -> Talk:
    """The node of 32 pages that so many callers have said this to; it reads nothing."""
    begun = talk(node(memory=32 * PAGE, max_sessions=2 * count + 2, handshake_rate=0))
    for number in range(count):
        talk(begun.node, begun.caller.session + 1 + number).say(text)
    begun.node.events()
    return begun


LEFT_LYING = {
    "bytes behind a gap": b"".join(stream(2 * n, 5, b"x") for n in range(8)),
    "bytes at the far end of each window": b"".join(stream(2 * n, MIB - 1, b"x") for n in range(4)),
    "datagrams that nobody reads": b"\x0d\x00\x01x",
}


@pytest.mark.parametrize("what", LEFT_LYING)
def test_what_many_peers_leave_lying_keeps_nobody_from_an_answer(what: str) -> None:
    begun = crowd(40, LEFT_LYING[what])
    assert begun.node.counters()["arena_used"] > 6 * PAGE
    for number in range(4):
        assert is_served(begun, 2 * number)


def test_what_few_peers_leave_lying_is_kept() -> None:
    begun = crowd(0, b"")
    begun.say(stream(0, 5, b"world"), b"\x0d\x00\x01x", stream(0, 0, b"hello"))
    assert begun.connection.read(0) == (b"helloworld", False)
    assert begun.connection.read_datagram() == b"x"


# ---- windows


def test_who_grants_a_byte_at_a_time_gets_a_packet_for_each_that_it_sends() -> None:
    begun = talk(stream_window=0)
    begun.say(stream(0, 0, b"?"))
    begun.connection.write(0, bytes(10_000))
    assert begun.tell() == []
    before = begun.node.counters()["datagrams_out"]
    for granted in range(1, 300):
        said = begun.say(frame(MAX_STREAM_DATA, 0, granted) + acknowledges(begun))
        said += begun.wait(0.01)
        assert {len(each.data) for each in said if each.kind == STREAM} == {1}
    assert begun.node.counters()["datagrams_out"] - before <= 2 * 300
    grants = b"".join(frame(MAX_STREAM_DATA, 0, granted) for granted in range(300, 500))
    said = begun.say(grants) + begun.wait(0.01)
    (chunk,) = (each for each in said if each.kind == STREAM)  # given at once, it is one frame
    assert len(chunk.data) == 200
    whole = begun.say(frame(MAX_STREAM_DATA, 0, 10_000) + acknowledges(begun)) + begun.wait(1)
    assert sum(len(each.data) for each in whole) >= 10_000 - 499


def test_credit_that_is_taken_back_and_given_again_draws_nothing() -> None:
    begun = talk(stream_window=1000, session_window=1000)
    begun.say(stream(0, 0, b"?"))
    begun.connection.write(0, bytes(10_000))
    begun.tell()
    before = begun.node.counters()["bytes_out"]
    for _ in range(200):
        begun.say(
            frame(MAX_STREAM_DATA, 0, 1) + frame(MAX_DATA, 1), frame(MAX_STREAM_DATA, 0, 1000)
        )
    assert begun.node.counters()["bytes_out"] - before < 200 * 80  # an ACK for two packets
    said = begun.say(frame(MAX_STREAM_DATA, 0, 1100) + frame(MAX_DATA, 1100))
    said += begun.wait(0.1)
    ends = [each.values[1] + len(each.data) for each in said if each.kind == STREAM]
    assert max(ends) == 1100


# ---- priorities: they are the sender's own, so a peer cannot raise its streams above another's


def test_who_opens_all_the_streams_it_may_holds_up_no_other_session() -> None:
    begun = talk(session_window=100 * MIB, max_streams=2000)
    other = talk(begun.node, begun.caller.session + 1)
    for number in range(0, 2000, 2):
        begun.say(stream(number, 0, b"?", fin=True))
        begun.connection.read(number)
        begun.connection.write(number, bytes(2_000), fin=True)
    other.say(stream(0, 0, b"?"))
    other.connection.write(0, bytes(8_000), fin=True)
    said = other.say(PING) + other.wait(0.2)
    assert sum(len(each.data) for each in said) >= 8_000


def acknowledges_all(begun: Talk) -> bytes:
    """An ACK of everything that was heard: the node leaves numbers out now and then."""
    heard, ranges = sorted(begun.caller.heard, reverse=True), [0]
    for after, number in pairwise(heard):
        if number == after - 1:
            ranges[-1] += 1
        else:
            ranges += [after - number - 2, 0]
    return ack(heard[0], *ranges)


def test_each_stream_has_its_turn_of_a_millisecond_before_one_has_two() -> None:
    begun, count, size = talk(rtt=0.1, session_window=100 * MIB), 20, 200_000
    for number in range(0, 2 * count, 2):
        begun.say(stream(number, 0, b"?", fin=True))
    for number in range(0, 2 * count, 2):
        begun.connection.write(number, bytes(size), fin=True)
    turns: list[tuple[int, int]] = []  # whose, and how much
    fastest = 0
    while sum(much for _, much in turns) < count * size:
        said = begun.say(acknowledges_all(begun))
        fastest = max(fastest, begun.connection.stats().rate)
        for each in said + begun.wait(0.1):
            if each.kind in (STREAM, STREAM_FIN):
                before = turns.pop()[1] if turns and turns[-1][0] == each.values[0] else 0
                turns.append((each.values[0], before + len(each.data)))
    assert [number for number, _ in turns[:count]] == list(range(0, 2 * count, 2))
    longest = max(much for _, much in turns)
    assert 2 * 1200 < longest <= fastest / 1000 + 1200, (longest, fastest)


# ---- streams opened and given up


def given_up(number: int) -> bytes:
    return frame(RESET_STREAM, number, 0, 0) + frame(STOP, number, 0)


def gives_up(begun: Talk, count: int, pause: float = 0) -> bool:
    """Opens streams and gives them up at once; whether it is borne."""
    for number in range(count):
        begun.say(given_up(2 * number) + (acknowledges(begun) if number % 10 == 0 else b""))
        begun.wait(pause)
        for event in begun.node.events():
            if event.kind is EventKind.CLOSED:
                assert (event.cause, event.code) == (Cause.PROTOCOL, EXCESS)
                return False
            if event.kind is EventKind.RESET:
                begun.connection.read_datagram()
    return True


def test_streams_given_up_faster_than_anyone_changes_his_mind_close_the_session() -> None:
    assert not gives_up(talk(node(max_streams=1 << 15)), 1_001)


def test_a_thousand_streams_given_up_at_once_are_borne_and_a_hundred_a_second_for_ever() -> None:
    assert gives_up(talk(node(max_streams=1 << 15)), 1_000)
    assert gives_up(talk(node(max_streams=1 << 15)), 1_500, pause=0.011)


# ---- keys


def flips(begun: Talk, count: int, *, in_turn: bool) -> int:
    """Begins epochs, whether or not what it said in the last was acknowledged; how many were followed."""
    for _ in range(count):
        begun.say(PING)
        if in_turn:
            begun.say(PING)
            begun.wait(0.01)
        begun.caller.begin_epoch()
    begun.say(PING)
    return begun.node.counters()["key_updates"]


def test_who_changes_keys_faster_than_it_is_acknowledged_is_found_out() -> None:
    begun = talk()
    assert flips(begun, 50, in_turn=False) <= 2
    closed = ending(begun)
    assert (closed.cause, closed.code) == (Cause.PROTOCOL, KEYS)


def test_who_changes_keys_in_its_turn_is_followed() -> None:
    begun = talk()
    assert flips(begun, 50, in_turn=True) == 50
    assert is_served(begun, 0)


def test_ratchets_as_fast_as_packets_come_close_the_session() -> None:
    begun = talk()
    begun.say(*(ratchet(number) for number in range(1, 100)))
    assert begun.node.counters()["ratchets"] == 64
    assert ending(begun).code == KEYS


def test_ratchets_one_after_the_other_are_answered() -> None:
    begun = talk()
    begun.say(*(ratchet(number) for number in range(1, 65)))
    for number in range(65, 200):
        begun.wait(0.041)
        begun.say(ratchet(number) + acknowledges(begun))
    assert begun.node.counters()["ratchets"] == 199
    assert is_served(begun, 0)


# ---- peers that hold up what is ours


def each_second(begun: Talk, seconds: int, say: Callable[[int], bytes]) -> int:
    """Says something once a second; after how many it was cut, 0 when it was not."""
    for second in range(1, seconds + 1):
        begun.say(say(second))
        begun.wait(1)
        for event in begun.node.events():
            if event.kind is EventKind.READABLE:
                begun.connection.read(event.stream)
            if event.kind is EventKind.CLOSED:
                assert (event.cause, event.code) == (Cause.SLOW, SLOW)
                assert begun.node.counters()["slow_closes"] == 1
                return second
    return 0


def all_heard(begun: Talk) -> bytes:
    """Acknowledges everything since the first."""
    high = max(begun.caller.heard)
    low = high
    while low - 1 in begun.caller.heard:
        low -= 1
    return ack(high, high - low)


def asking(window: int, size: int) -> Talk:
    """A caller that grants so much, and has asked for more."""
    begun = talk(stream_window=window)
    begun.say(stream(0, 0, b"?", fin=True))
    begun.connection.write(0, bytes(size), fin=True)
    begun.tell()
    return begun


def takes(begun: Talk, rate: int) -> Callable[[int], bytes]:
    return lambda second: frame(MAX_STREAM_DATA, 0, rate * second) + all_heard(begun)


def test_who_takes_a_byte_a_second_of_what_it_asked_for_is_cut_within_two_minutes() -> None:
    begun = asking(0, 100_000)
    assert PATIENCE <= each_second(begun, 200, takes(begun, 1)) <= 2 * PATIENCE
    begun.wait(10)
    begun.node.events()
    begun.wait(10)
    assert begun.node.counters()["arena_used"] == 0


def test_who_takes_a_kilobyte_a_second_is_served_to_the_end() -> None:
    begun = asking(0, 260_000)  # no more than the node takes to send at once
    assert not each_second(begun, 250, takes(begun, 1_000))
    assert begun.connection.moved(0) >= 240_000


def test_who_leaves_a_gap_open_is_cut_and_who_fills_it_is_not() -> None:
    for fills in (False, True):
        begun = talk()
        begun.say(stream(0, 5_000, bytes(1_000)))

        def say(second: int, begun: Talk = begun, fills: bool = fills) -> bytes:
            more = stream(0, 100 * (second - 1), bytes(100)) if fills else PING
            return more + all_heard(begun)

        assert bool(each_second(begun, 150, say)) is not fills


def test_who_acknowledges_nothing_is_cut_and_costs_little_until_then() -> None:
    begun = talk()
    begun.say(stream(0, 0, b"?", fin=True))
    begun.connection.write(0, b"an answer", fin=True)
    assert PATIENCE <= each_second(begun, 200, lambda _: PING) <= 2 * PATIENCE
    assert begun.node.counters()["arena_peak"] < PAGE + 16 * BLOCK + 64 * 1024


def test_who_only_lets_a_session_stand_is_not_slow_and_costs_a_block() -> None:
    begun = talk()
    for _ in range(30):
        begun.say(PING)
        begun.wait(20)
        begun.say(all_heard(begun))
        begun.wait(0.1)
    assert not begun.node.events()
    assert begun.node.counters()["arena_used"] <= BLOCK
    assert is_served(begun, 0)


def test_an_open_stream_on_which_nobody_says_anything_is_not_slow() -> None:
    begun = talk()
    begun.say(stream(0, 0, b"?"))
    begun.connection.read(0)
    begun.connection.write(0, b"wait for it")
    begun.tell()
    assert not each_second(begun, 300, lambda _: PING + all_heard(begun))
    assert is_served(begun, 2)


def test_the_patience_can_be_made_endless() -> None:
    begun = talk(node(patience=0), stream_window=0)
    begun.say(stream(0, 0, b"?", fin=True))
    begun.connection.write(0, bytes(100_000), fin=True)
    assert not each_second(begun, 300, takes(begun, 1))
