"""Streams: bytes arrive once and in order, ends are ends, and whoever stalls costs bounded memory."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from repram.errors import LocalError, SessionClosed
from repram.proto.connection import Address, Connection, Core, Event, EventKind, Settings
from tests.proto.by_hand import DATA
from tests.proto.duo import SERVER, Duo

KIB, MIB = 1 << 10, 1 << 20
TEXT = Random(4).randbytes(300_000)
SMALL = Settings(stream_window=64 * KIB, session_window=128 * KIB)
IDLE_SESSION = 4096  # bytes that a session may cost while nothing happens
FIRST_WINDOW = MIB

Path = list[tuple[bytes, Address, Address]]


def joined(settings: Settings = Settings()) -> tuple[Duo, Connection, Connection]:
    """A session that has settled."""
    duo = Duo(settings=settings)
    mine, theirs = duo.connect()
    duo.run(1)
    return duo, mine, theirs


def told(duo: Duo, core: Core, stream: int, *kinds: EventKind) -> list[Event]:
    """The events of these kinds that a side was told of a stream."""
    return [e for e in duo.events[core] if e.stream == stream and e.kind in kinds]


def read_all(connection: Connection, stream: int) -> tuple[bytes, bool]:
    """What stands there now, and whether the end does."""
    parts, ended = [], False
    while not ended:
        data, ended = connection.read(stream)
        parts.append(data)
        if not data:
            break
    return b"".join(parts), ended


def roundtrip(duo: Duo, mine: Connection, theirs: Connection, there: bytes, back: bytes) -> int:
    """A question and its answer over one stream, each to its end; the stream's number."""
    stream = mine.open_stream()
    assert mine.write(stream, there, fin=True) == len(there)
    duo.run(1)
    assert read_all(theirs, stream) == (there, True)
    assert theirs.write(stream, back, fin=True) == len(back)
    duo.run(1)
    assert read_all(mine, stream) == (back, True)
    return stream


# ---- bytes and ends ----


@pytest.mark.parametrize("size", [0, 1, 1_339, 1_340, 1_341, 32_767, 32_768, 32_769, 200_000])
@pytest.mark.parametrize("down", [False, True])
def test_a_transfer_of_any_size_arrives(size: int, down: bool) -> None:
    duo, *ends = joined()
    sender, receiver = reversed(ends) if down else ends
    assert duo.transfer(sender, receiver, TEXT[:size]) == TEXT[:size]


def test_a_question_and_its_answer_share_a_stream() -> None:
    duo, mine, theirs = joined()
    assert roundtrip(duo, mine, theirs, b"?" * 5_000, b"!" * 7_000) == 0
    assert roundtrip(duo, theirs, mine, b"?", b"!") == 1
    assert roundtrip(duo, mine, theirs, b"", b"") == 2


def test_both_directions_flow_at_once() -> None:
    duo, mine, theirs = joined()
    stream = mine.open_stream()
    mine.write(stream, TEXT[:200_000], fin=True)
    duo.run(0.02)
    theirs.write(stream, TEXT[100_000:], fin=True)
    duo.run(2)
    assert read_all(theirs, stream) == (TEXT[:200_000], True)
    assert read_all(mine, stream) == (TEXT[100_000:], True)


def test_it_is_read_in_pieces_of_any_size() -> None:
    duo, mine, theirs = joined()
    stream = mine.open_stream()
    mine.write(stream, TEXT[:1_000], fin=True)
    duo.run(1)
    pieces = [theirs.read(stream, size) for size in (0, 1, 998, 1)]
    assert [len(data) for data, _ in pieces] == [0, 1, 998, 1]
    assert [ended for _, ended in pieces] == [False, False, False, True]
    assert b"".join(data for data, _ in pieces) == TEXT[:1_000]


def test_an_end_that_comes_after_everything_was_read_is_an_end() -> None:
    """Even when our side of the stream has long been over."""
    duo, mine, theirs = joined()
    stream = mine.open_stream()
    mine.write(stream, b"question", fin=True)
    duo.run(1)
    assert read_all(theirs, stream) == (b"question", True)
    theirs.write(stream, b"answer")
    duo.run(1)
    assert read_all(mine, stream) == (b"answer", False)
    theirs.write(stream, b"", fin=True)
    duo.run(1)
    assert mine.read(stream) == (b"", True)


def test_an_empty_answer_is_an_end() -> None:
    duo, mine, theirs = joined()
    stream = mine.open_stream()
    mine.write(stream, b"question", fin=True)
    duo.run(1)
    assert read_all(theirs, stream)[1]
    theirs.write(stream, b"", fin=True)
    duo.run(1)
    assert [e.kind for e in told(duo, duo.client, stream, EventKind.READABLE)]
    assert mine.read(stream) == (b"", True)


def test_a_stream_is_gone_once_both_ends_were_read_and_acknowledged() -> None:
    duo, mine, theirs = joined()
    stream = roundtrip(duo, mine, theirs, b"?", b"!")
    duo.run(1)
    for end in (mine, theirs):
        with pytest.raises(SessionClosed):
            end.read(stream)
    assert duo.client.counters()["streams"] == duo.server.counters()["streams"] == 0


def test_writing_behind_the_end_is_a_callers_mistake() -> None:
    _, mine, _ = joined()
    stream = mine.open_stream()
    mine.write(stream, b"all", fin=True)
    with pytest.raises(LocalError):
        mine.write(stream, b"more")
    with pytest.raises(LocalError):
        mine.write(stream, b"", fin=True)
    assert mine.write(stream, b"") == 0


def test_streams_are_numbered_by_who_opens_them() -> None:
    _, mine, theirs = joined()
    assert [mine.open_stream() for _ in range(3)] == [0, 2, 4]
    assert [theirs.open_stream() for _ in range(3)] == [1, 3, 5]


def test_a_stream_opens_those_below_it() -> None:
    duo, mine, _ = joined()
    first, second, third = (mine.open_stream() for _ in range(3))
    mine.write(third, b"!")
    duo.run(1)
    opened = [e.stream for e in duo.events[duo.server] if e.kind is EventKind.OPENED]
    assert opened == [first, second, third]


def test_many_streams_at_once_keep_their_bytes_apart() -> None:
    duo, mine, theirs = joined()
    streams = {mine.open_stream(): TEXT[n * 100 : n * 1_000] for n in range(1, 200)}
    for stream, data in streams.items():
        assert mine.write(stream, data, fin=True) == len(data)
    arrived: dict[int, bytes] = dict.fromkeys(streams, b"")

    def read() -> bool:
        for event in duo.events[duo.server]:
            if event.kind is EventKind.READABLE and event.stream in streams:
                arrived[event.stream] += read_all(theirs, event.stream)[0]
        duo.events[duo.server].clear()
        duo.flush()
        return arrived == streams

    duo.run_until(read)


def test_an_urgent_stream_overtakes_what_waits() -> None:
    duo, mine, theirs = joined(replace(SMALL, stream_window=MIB, session_window=4 * MIB))
    bulk = mine.open_stream(priority=7)
    assert mine.write(bulk, TEXT) > 100_000
    duo.flush()
    urgent = mine.open_stream(priority=0)
    mine.write(urgent, b"now", fin=True)
    duo.run_until(lambda: bool(told(duo, duo.server, urgent, EventKind.READABLE)))
    assert read_all(theirs, urgent) == (b"now", True)
    assert len(read_all(theirs, bulk)[0]) < len(TEXT) // 2


# ---- giving up ----


def test_a_reset_is_told_with_its_code_and_discards_what_was_not_read() -> None:
    duo, mine, theirs = joined()
    stream = mine.open_stream()
    mine.write(stream, b"half of it")
    duo.run(1)
    mine.reset(stream, 0x1234)
    duo.run(1)
    (event,) = told(duo, duo.server, stream, EventKind.RESET)
    assert event.code == 0x1234
    for call in (lambda: theirs.read(stream), lambda: mine.write(stream, b"more")):
        with pytest.raises(SessionClosed):
            call()


def test_the_other_direction_of_a_reset_stream_goes_on() -> None:
    duo, mine, theirs = joined()
    stream = mine.open_stream()
    mine.write(stream, b"x")
    duo.run(1)
    mine.reset(stream, 1)
    theirs.write(stream, TEXT[:5_000], fin=True)
    duo.run(1)
    assert read_all(mine, stream) == (TEXT[:5_000], True)


def test_a_stop_is_told_with_its_code_and_ends_the_writing() -> None:
    duo, mine, theirs = joined()
    stream = mine.open_stream()
    mine.write(stream, b"x")
    duo.run(1)
    theirs.stop(stream, 0x4321)
    duo.run(1)
    (event,) = told(duo, duo.client, stream, EventKind.STOPPED)
    assert event.code == 0x4321
    for call in (lambda: mine.write(stream, b"more"), lambda: theirs.read(stream)):
        with pytest.raises(SessionClosed):
            call()
    assert not told(duo, duo.server, stream, EventKind.RESET)  # who said stop need not be told


def test_both_directions_given_up_leave_nothing() -> None:
    duo, mine, theirs = joined()
    stream = mine.open_stream()
    mine.write(stream, TEXT)
    duo.run(0.03)
    theirs.write(stream, TEXT)
    duo.run(0.03)
    mine.reset(stream, 1)
    mine.stop(stream, 1)
    duo.run(5)
    for core in (duo.client, duo.server):
        assert core.counters()["streams"] == 0
        assert core.counters()["arena_used"] <= IDLE_SESSION
    roundtrip(duo, mine, theirs, b"?", b"!")


def test_credit_of_what_is_given_up_comes_back() -> None:
    """A session's credit is spent by streams that nobody read to their end, ten times over."""
    duo, mine, theirs = joined(SMALL)
    for number in range(20):
        stream = mine.open_stream()
        assert mine.write(stream, TEXT[: 64 * KIB]) == 64 * KIB
        duo.run(1)
        (mine.reset if number % 2 else theirs.stop)(stream, 1)
        duo.run(1)
    assert duo.transfer(mine, theirs, TEXT) == TEXT


# ---- flow control ----


@pytest.mark.parametrize("settings", [SMALL, replace(SMALL, session_window=64 * KIB)])
def test_a_reader_that_stalls_holds_the_writer_back(settings: Settings) -> None:
    duo, mine, theirs = joined(settings)
    stream = mine.open_stream()
    written = 0
    while taken := mine.write(stream, TEXT):
        written += taken
        duo.run(1)
    assert written <= settings.stream_window + 256 * KIB + 64 * KIB
    assert (
        duo.server.counters()["arena_used"] <= settings.stream_window + 2 * 32 * KIB + IDLE_SESSION
    )
    sent = mine.stats().bytes_sent
    duo.run(20)
    assert mine.stats().bytes_sent - sent < 10_000  # nothing is sent in vain
    assert not told(duo, duo.client, stream, EventKind.WRITABLE)[1:]
    before = len(told(duo, duo.client, stream, EventKind.WRITABLE))
    got = 0
    while got < written:
        got += len(read_all(theirs, stream)[0])
        duo.run(0.1)
    assert len(told(duo, duo.client, stream, EventKind.WRITABLE)) > before


def test_streams_together_stay_within_the_sessions_credit() -> None:
    duo, mine, theirs = joined(SMALL)
    streams = [mine.open_stream() for _ in range(10)]
    for stream in streams:
        assert mine.write(stream, TEXT[: 60 * KIB], fin=True) == 60 * KIB
    duo.run(5)
    got = dict.fromkeys(streams, b"")
    opened = [e.stream for e in duo.events[duo.server] if e.kind is EventKind.OPENED]
    for stream in opened:
        got[stream], _ = read_all(theirs, stream)
    assert sum(map(len, got.values())) <= SMALL.session_window
    for _ in range(20):
        duo.run(0.2)
        for stream in streams:
            if len(got[stream]) < 60 * KIB:
                got[stream] += read_all(theirs, stream)[0]
    assert set(got.values()) == {TEXT[: 60 * KIB]}


def test_a_reader_that_keeps_up_is_granted_ever_more() -> None:
    duo, mine, theirs = joined(Settings(stream_window=8 * MIB, session_window=24 * MIB))
    data = TEXT * 40
    assert duo.transfer(mine, theirs, data) == data
    stream = mine.open_stream()
    written = 0
    while taken := mine.write(stream, data[: 8 * MIB]):
        written += taken
        duo.run(1)
    assert written > 2 * FIRST_WINDOW


def test_who_is_held_back_sends_little_ahead_until_it_is_let_go() -> None:
    duo, mine, theirs = joined(Settings(stream_window=MIB, session_window=MIB))
    stream = mine.open_stream()

    def ahead() -> int:
        """What comes while nobody reads; then all of it is read."""
        for _ in range(8):
            mine.write(stream, TEXT)
            duo.run(0.2)
        return len(read_all(theirs, stream)[0])

    theirs.grant(64 * KIB)
    assert ahead() > 512 * KIB  # what was granted before stays granted
    for _ in range(4):
        assert 16 * KIB < ahead() <= 64 * KIB
    theirs.grant(MIB)
    for _ in range(100):  # whoever keeps up is granted ever more
        mine.write(stream, TEXT)
        duo.run(0.02)
        read_all(theirs, stream)
    assert ahead() > 512 * KIB


def test_a_short_write_is_followed_by_the_news_that_there_is_room() -> None:
    duo, mine, theirs = joined()
    stream = mine.open_stream()
    assert 0 < mine.write(stream, TEXT * 10) < len(TEXT) * 10
    duo.run_until(lambda: bool(told(duo, duo.client, stream, EventKind.WRITABLE)))
    assert mine.write(stream, TEXT) > 0
    assert theirs.read(stream)[0]


def test_streams_that_wait_for_memory_get_their_turn() -> None:
    """More streams than the arena has pages: each is told when there is room again."""
    duo, mine, theirs = joined(Settings(memory=512 * KIB))
    left = {mine.open_stream(): TEXT[:40_000] for _ in range(40)}
    missing = dict.fromkeys(left, 40_000)

    def push(stream: int) -> None:
        left[stream] = left[stream][mine.write(stream, left[stream]) :]

    for stream in left:
        push(stream)
    assert all(left[stream] for stream in list(left)[20:])

    def done() -> bool:
        for event in duo.events[duo.client]:
            if event.kind is EventKind.WRITABLE and left.get(event.stream):
                push(event.stream)
        for event in duo.events[duo.server]:
            if event.kind is EventKind.READABLE:
                missing[event.stream] -= len(read_all(theirs, event.stream)[0])
        duo.events[duo.client].clear()
        duo.events[duo.server].clear()
        duo.flush()
        return not any(missing.values())

    duo.run_until(done, seconds=25)


def test_a_peer_opens_as_many_streams_as_it_may_and_more_when_some_are_over() -> None:
    duo, mine, theirs = joined(Settings(max_streams=4))
    streams = [mine.open_stream() for _ in range(4)]
    with pytest.raises(BlockingIOError):
        mine.open_stream()
    duo.events[duo.client].clear()
    for stream in streams:
        mine.write(stream, b"?", fin=True)
    duo.run(1)
    for stream in streams:
        assert read_all(theirs, stream) == (b"?", True)
        theirs.write(stream, b"!", fin=True)
    duo.run(1)
    for stream in streams:
        assert read_all(mine, stream) == (b"!", True)
    duo.run(1)
    assert EventKind.WRITABLE in {e.kind for e in duo.events[duo.client]}
    assert [mine.open_stream() for _ in range(4)] == [8, 10, 12, 14]
    with pytest.raises(BlockingIOError):
        mine.open_stream()


def test_a_thousand_streams_one_after_the_other_leave_nothing() -> None:
    duo, mine, theirs = joined(Settings(max_streams=3))
    for _ in range(1_000):
        stream = mine.open_stream()
        mine.write(stream, b"?", fin=True)
        duo.run(0.03)
        assert read_all(theirs, stream) == (b"?", True)
        theirs.write(stream, b"!", fin=True)
        duo.run(0.03)
        assert read_all(mine, stream) == (b"!", True)
        duo.run(0.03)
    assert duo.server.counters()["streams"] <= 3
    assert duo.server.counters()["arena_used"] <= 2 * IDLE_SESSION + 3 * KIB


# ---- what the path does ----


def exchange(duo: Duo) -> None:
    """A question of several packets, its answer, and a stream that is given up."""
    mine, theirs = duo.connect()
    question, answer = TEXT[:6_000], TEXT[6_000:9_000]
    stream, other = mine.open_stream(), mine.open_stream()
    mine.write(stream, question, fin=True)
    mine.write(other, b"never mind")
    heard, said = bytearray(), bytearray()
    asked = answered = False

    def done() -> bool:
        nonlocal asked, answered
        if told(duo, duo.server, stream, EventKind.OPENED) and not asked:
            data, asked = theirs.read(stream)
            heard.extend(data)
            if asked:
                theirs.write(stream, answer, fin=True)
                mine.reset(other, 7)
        if not answered:
            data, answered = mine.read(stream)
            said.extend(data)
        duo.flush()
        return answered and bool(told(duo, duo.server, other, EventKind.RESET))

    duo.run_until(done, seconds=600)
    assert (bytes(heard), bytes(said)) == (question, answer)
    assert [e.code for e in told(duo, duo.server, other, EventKind.RESET)] == [7]
    theirs.reset(other, 8)
    cores = (duo.client, duo.server)
    duo.run_until(lambda: not any(core.counters()["streams"] for core in cores), seconds=600)
    assert [e.code for e in told(duo, duo.client, other, EventKind.RESET)] == [8]


PACKETS = 24  # more than such an exchange takes


@pytest.mark.parametrize("lost", range(PACKETS))
def test_any_one_packet_may_be_lost(lost: int) -> None:
    duo, count = Duo(), iter(range(1 << 30))
    duo.path = lambda *packet: [] if next(count) == lost else [packet]
    exchange(duo)


@pytest.mark.parametrize("lost", range(0, PACKETS, 2))
def test_any_four_packets_in_a_row_may_be_lost(lost: int) -> None:
    duo, count = Duo(), iter(range(1 << 30))
    duo.path = lambda *packet: [] if lost <= next(count) < lost + 4 else [packet]
    exchange(duo)


@pytest.mark.parametrize("seed", range(20))
def test_every_fifth_packet_may_be_lost(seed: int) -> None:
    duo, random = Duo(settings=Settings(idle_timeout=0, handshake_timeout=60)), Random(seed)
    duo.path = lambda *packet: [] if random.random() < 0.2 else [packet]
    exchange(duo)


@pytest.mark.parametrize("seed", range(5))
def test_packets_may_come_in_any_order_and_more_than_once(seed: int) -> None:
    duo, random = Duo(), Random(seed)
    waiting: Path = []

    def shuffled(data: bytes, source: Address, target: Address) -> Path:
        waiting.append((data, source, target))
        if data[0] == DATA and len(waiting) < 4 and random.random() < 0.6:
            return []
        out = waiting * random.randint(1, 2)
        waiting.clear()
        random.shuffle(out)
        return out

    duo.path = shuffled
    exchange(duo)


def test_lost_credit_is_granted_again() -> None:
    duo, mine, theirs = joined(SMALL)
    count = iter(range(1 << 30))
    duo.path = lambda data, source, target: (
        [] if source == SERVER and next(count) % 3 else [(data, source, target)]
    )
    assert duo.transfer(mine, theirs, TEXT) == TEXT
