"""The life of a session without a socket: idle, kept alive, closed; and how the core takes misuse."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repram.errors import Full, LocalError, SessionClosed, UsageError
from repram.proto.connection import (
    Address,
    Cause,
    Connection,
    Core,
    Event,
    EventKind,
    Secret,
    Settings,
    pack_address,
    unpack_address,
)
from repram.proto.primitives import Suite
from tests.proto.duo import CLIENT, DELAY, SERVER, Duo

NOW = 1_000_000
SECOND = 1_000_000
IDLE_SESSION = 4096


def ending(duo: Duo, core: Core) -> Event:
    """How a side was told that its one session ended."""
    (closed,) = (event for event in duo.events[core] if event.kind is EventKind.CLOSED)
    return closed


def drop(duo: Duo) -> None:
    """From now on everything is lost."""
    duo.path = lambda *_: []


def roundtrip(duo: Duo, mine: Connection, theirs: Connection) -> None:
    """A few bytes there and back."""
    assert duo.transfer(mine, theirs, b"there") == b"there"
    assert duo.transfer(theirs, mine, b"and back") == b"and back"


# ---- closing ----


@pytest.mark.parametrize("down", [False, True])
def test_a_close_is_told_with_its_code_and_reason(down: bool) -> None:
    duo = Duo()
    mine, theirs = duo.connect()
    (closer, closed) = (theirs, mine) if down else (mine, theirs)
    closer.close(0x1234, "that was all")
    duo.run(1)
    ours, peers = (duo.server, duo.client) if down else (duo.client, duo.server)
    assert (ending(duo, ours).cause, ending(duo, peers).cause) == (Cause.US, Cause.PEER)
    for core in (ours, peers):
        assert (ending(duo, core).code, ending(duo, core).reason) == (0x1234, "that was all")
    for call in (closed.open_stream, closed.stats, closer.stats, lambda: closer.write(0, b"")):
        with pytest.raises(SessionClosed):
            call()


def test_closing_what_is_closed_does_nothing() -> None:
    duo = Duo()
    mine, theirs = duo.connect()
    mine.close(1, "first")
    mine.close(2, "second")
    duo.run(1)
    theirs.close(3)
    duo.run(1)
    assert ending(duo, duo.server).code == 1


def test_closing_before_the_handshake_is_over_says_nothing() -> None:
    duo = Duo()
    mine = duo.client.connect(SERVER, duo.server.key, duo.now)
    duo.flush()
    mine.close(7, "never mind")
    duo.captured.clear()
    duo.run(30)
    assert (ending(duo, duo.client).cause, ending(duo, duo.client).code) == (Cause.US, 7)
    assert not [data for data, source, _ in duo.captured if source == CLIENT]
    assert duo.server.counters()["sessions"] == 0


@pytest.mark.parametrize("reason", ["x" * 256, "x" * 300, "ü" * 200, "\N{SNOWMAN}" * 100])
def test_a_long_reason_is_cut_to_what_a_packet_says(reason: str) -> None:
    duo = Duo()
    duo.connect()[0].close(1, reason)
    duo.run(1)
    said = ending(duo, duo.server).reason.rstrip("\N{REPLACEMENT CHARACTER}")
    assert reason.startswith(said)
    assert len(said.encode()) > 250


def test_a_lost_close_is_said_again_to_whoever_goes_on_talking() -> None:
    duo = Duo()
    mine, theirs = duo.connect()
    duo.run(1)
    drop(duo)
    mine.close(5, "gone", now=duo.now)
    duo.flush()
    duo.path = lambda *packet: [packet]
    theirs.write(theirs.open_stream(), b"still there?")
    duo.run(1)
    assert ending(duo, duo.server).code == 5


def test_everything_of_an_ended_session_is_given_back() -> None:
    duo = Duo()
    mine, theirs = duo.connect()
    for _ in range(20):
        assert mine.write(mine.open_stream(), bytes(100_000)) > 0
        assert theirs.write(theirs.open_stream(), bytes(100_000)) > 0
    duo.run(0.015)
    mine.close()
    duo.run(5)
    for core in (duo.client, duo.server):
        counters = core.counters()
        assert (counters["sessions"], counters["streams"], counters["arena_used"]) == (0, 0, 0)
        assert counters["arena_peak"] > 0


def test_other_sessions_do_not_notice_one_that_ends() -> None:
    duo = Duo()
    first, second = duo.connect(), duo.connect()
    assert first[0].address == second[0].address
    first[0].close()
    duo.run(1)
    roundtrip(duo, *second)


# ---- silence ----


@pytest.mark.parametrize(("ours", "theirs"), [(5, 30), (30, 5), (5, 0), (0, 5)])
def test_a_session_ends_after_the_smaller_idle_limit(ours: int, theirs: int) -> None:
    duo = Duo(settings=Settings(idle_timeout=ours), server_settings=Settings(idle_timeout=theirs))
    duo.connect()
    duo.run(1)
    before = duo.now
    duo.run_until(lambda: any(e.kind is EventKind.CLOSED for e in duo.events[duo.client]))
    assert 3 * SECOND < duo.now - before < 5 * SECOND
    duo.run(1)
    for core in (duo.client, duo.server):
        assert ending(duo, core).cause is Cause.IDLE
        assert core.counters()["idle_closes"] == 1
        assert core.counters()["sessions"] == 0


def test_a_session_without_an_idle_limit_stays() -> None:
    duo = Duo(settings=Settings(idle_timeout=0))
    mine, theirs = duo.connect()
    duo.run(1_000_000)
    roundtrip(duo, mine, theirs)


def test_one_that_is_kept_alive_stays() -> None:
    duo = Duo(settings=Settings(idle_timeout=5, keep_alive=2))
    mine, theirs = duo.connect()
    duo.run(1)
    duo.captured.clear()
    duo.run(100)
    assert 50 <= len(duo.captured) <= 250
    roundtrip(duo, mine, theirs)


def test_keeping_alive_does_not_keep_a_dead_peer() -> None:
    duo = Duo(settings=Settings(idle_timeout=5, keep_alive=2))
    duo.connect()
    duo.run(1)
    drop(duo)
    duo.run(20)
    assert ending(duo, duo.client).cause is ending(duo, duo.server).cause is Cause.IDLE


def test_what_is_heard_counts_and_what_is_said_does_not() -> None:
    """A peer that fell silent is given up, however much is still to be told to it."""
    duo = Duo(settings=Settings(idle_timeout=5))
    mine, _ = duo.connect()
    duo.run(1)
    drop(duo)
    stream = mine.open_stream()
    before = duo.now
    while EventKind.CLOSED not in {event.kind for event in duo.events[duo.client]}:
        mine.write(stream, bytes(100))
        duo.run(0.5)
    assert 5 * SECOND <= duo.now - before <= 6 * SECOND


def test_an_idle_session_wakes_nobody() -> None:
    duo = Duo(settings=Settings(idle_timeout=3600))
    duo.connect()
    duo.run(2)
    for core in (duo.client, duo.server):
        due = core.deadline()
        assert due is not None
        assert due > duo.now + 3000 * SECOND
        assert core.counters()["arena_used"] <= IDLE_SESSION


# ---- events ----


def test_a_session_that_ended_before_anybody_asked_is_told_of_all_the_same() -> None:
    duo = Duo(settings=Settings(idle_timeout=1))
    duo.client.connect(SERVER, duo.server.key, duo.now)
    ends = ((duo.client, duo.server, CLIENT), (duo.server, duo.client, SERVER))
    for core, other, source in ends * 3:
        while out := core.transmit(duo.now):
            other.receive([(data, source) for data, _ in out], duo.now)
    for core, begun in ((duo.client, EventKind.CONNECTED), (duo.server, EventKind.ACCEPTED)):
        core.handle_timeout(duo.now + 5 * SECOND)
        kinds = [event.kind for event in core.events()]
        assert (kinds[0], kinds[-1]) == (begun, EventKind.CLOSED)


def test_more_events_than_fit_one_batch_are_all_told() -> None:
    duo = Duo()
    mine, _ = duo.connect()
    streams = [mine.open_stream() for _ in range(500)]
    for stream in streams:
        mine.write(stream, b"x", fin=True)
    duo.run(5)
    for kind in (EventKind.OPENED, EventKind.READABLE):
        assert [e.stream for e in duo.events[duo.server] if e.kind is kind] == streams


# ---- determinism ----


def life(seed: bytes) -> list[tuple[bytes, Address, Address]]:
    """All that is sent in a session with two transfers under loss."""
    duo = Duo()
    duo.client.close()
    duo.client = Core(now=duo.now, seed=seed)
    duo.events = {duo.client: [], duo.server: []}
    count = iter(range(1 << 30))
    duo.path = lambda *packet: [] if next(count) % 7 == 5 else [packet]
    mine, theirs = duo.connect()
    duo.transfer(mine, theirs, bytes(100_000))
    duo.transfer(theirs, mine, bytes(100_000))
    mine.close()
    duo.run(1)
    return duo.captured


def test_the_same_seeds_give_the_same_bytes_and_others_do_not() -> None:
    one, again, other = life(b"a" * 32), life(b"a" * 32), life(b"b" * 32)
    assert one == again
    assert one[0] != other[0]
    assert not {data for data, *_ in one} & {data for data, *_ in other}


@pytest.mark.parametrize("suite", list(Suite))
def test_nothing_stands_in_the_clear(suite: Suite) -> None:
    duo = Duo(settings=Settings(suites=tuple({Suite.XCHACHA20, suite})), client_identity=b"m" * 32)
    mine, theirs = duo.connect()
    secret = b"a text that nobody is to see"
    duo.transfer(mine, theirs, secret * 100)
    said = b"".join(data for data, *_ in duo.captured)
    for hidden in (secret, duo.client.key, duo.server.key):
        assert hidden not in said
        assert hidden[:8] not in said


def test_session_ids_are_never_used_twice_and_tell_nothing() -> None:
    duo = Duo(settings=Settings(max_sessions=300))
    ids = []
    for _ in range(300):
        duo.client.connect(SERVER, duo.server.key, duo.now)
        ids += [int.from_bytes(data[20:24], "big") for data, _ in duo.client.transmit(duo.now)]
    assert len(set(ids)) == 300
    assert 0 not in ids
    steps = {later - earlier for earlier, later in pairwise(ids)}
    assert len(steps) > 290


# ---- limits and misuse ----


def test_a_full_endpoint_says_so() -> None:
    duo = Duo(settings=Settings(max_sessions=2))
    for _ in range(2):
        duo.client.connect(SERVER, duo.server.key, duo.now)
    with pytest.raises(Full):
        duo.client.connect(SERVER, duo.server.key, duo.now)


def test_a_closed_core_says_so() -> None:
    duo = Duo()
    mine, _ = duo.connect()
    duo.client.close()
    duo.client.close()
    for call in (lambda: mine.write(0, b""), lambda: duo.client.receive([], NOW), mine.open_stream):
        with pytest.raises(SessionClosed):
            call()


def test_a_stream_that_never_was_is_gone() -> None:
    _, theirs = Duo().connect()
    for call in (
        lambda: theirs.write(77, b"x"),
        lambda: theirs.read(77),
        lambda: theirs.reset(77, 0),
        lambda: theirs.stop(77, 0),
    ):
        with pytest.raises(SessionClosed):
            call()


def test_an_error_from_write_lets_go_of_what_was_to_be_written() -> None:
    """A buffer that stays exported in a traceback makes CPython's collector crash."""
    mine, _ = Duo().connect()
    view = memoryview(bytearray(100))
    with pytest.raises(SessionClosed) as caught:
        mine.write(77, view)
    view.release()
    assert caught.tb.tb_next


IMPOSSIBLE: dict[str, dict[str, Any]] = {
    "a seed too short": {"seed": bytes(31)},
    "an identity too short": {"identity": bytes(31)},
    "datagrams too small": {"settings": Settings(mtu=1199)},
    "datagrams too large": {"settings": Settings(mtu=65_508)},
    "datagrams far too large": {"settings": Settings(mtu=1 << 20)},
    "no sessions": {"settings": Settings(max_sessions=0)},
    "no streams": {"settings": Settings(max_streams=0)},
    "no memory": {"settings": Settings(memory=1)},
    "not the mandatory suite": {"settings": Settings(suites=(Suite.AEGIS256,))},
    "a huge stream window": {"settings": Settings(stream_window=1 << 40)},
    "a session's window below a stream's": {"settings": Settings(session_window=1 << 16)},
    "time that runs backwards": {"settings": Settings(idle_timeout=-1)},
}


@pytest.mark.parametrize("wrong", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_a_core_that_cannot_be_is_a_callers_mistake(wrong: dict[str, Any]) -> None:
    with pytest.raises(LocalError):
        Core(**{"now": NOW, "seed": bytes(32), **wrong})


MISUSE: dict[str, Callable[[Duo, Connection], object]] = {
    "a key that is too short": lambda duo, _: duo.client.connect(SERVER, b"k" * 31, NOW),
    "a key that is too long": lambda duo, _: duo.client.connect(SERVER, b"k" * 33, NOW),
    "a secret that is too short": lambda duo, _: duo.server.add_secret(Secret(b"8 bytes.", b"s")),
    "a secret's id that is too short": lambda duo, _: duo.server.add_secret(
        Secret(b"8", b"s" * 32)
    ),
    "a priority that is not there": lambda _, mine: mine.open_stream(8),
    "a stream below zero": lambda _, mine: mine.write(-1, b""),
    "a limit below zero": lambda _, mine: mine.read(mine.open_stream(), -1),
    "a code below zero": lambda _, mine: mine.reset(mine.open_stream(), -1),
    "a code that no frame holds": lambda _, mine: mine.reset(mine.open_stream(), 1 << 62),
    "a stop's code that no frame holds": lambda _, mine: mine.stop(mine.open_stream(), 1 << 62),
    "a close's code that no frame holds": lambda _, mine: mine.close(1 << 62),
}


@pytest.mark.parametrize("call", MISUSE.values(), ids=MISUSE)
def test_what_no_caller_may_pass_is_a_callers_mistake(
    call: Callable[[Duo, Connection], object],
) -> None:
    duo = Duo()
    mine, theirs = duo.connect()
    with pytest.raises(LocalError):
        call(duo, mine)
    roundtrip(duo, mine, theirs)


@pytest.mark.parametrize("host", ["example.org", "", "::1::", "fe80::1%nowhere", "1.2.3.4.5"])
def test_what_is_no_numeric_address_is_refused(host: str) -> None:
    with pytest.raises(UsageError):
        pack_address((host, 7433))


@pytest.mark.parametrize("port", [-1, 65_536])
def test_what_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(UsageError):
        pack_address(("192.0.2.1", port))


@given(st.ip_addresses(), st.integers(0, 65_535))
def test_an_address_comes_back(host: IPv4Address | IPv6Address, port: int) -> None:
    text = str(host.ipv4_mapped or host) if isinstance(host, IPv6Address) else str(host)
    assert unpack_address(pack_address((text, port))) == (text, port)


def test_a_key_that_is_no_key_is_the_links_mistake() -> None:
    with pytest.raises(UsageError):
        Duo().client.connect(SERVER, b"\x02" + bytes(31), NOW)


def test_time_passes_in_microseconds() -> None:
    duo = Duo()
    mine, _ = duo.connect()
    duo.run(1)
    assert mine.stats().rtt_min == 2 * DELAY
