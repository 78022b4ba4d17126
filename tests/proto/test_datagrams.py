"""Datagrams inside a session: sealed, unordered, dropped rather than queued without end."""

import pytest

from repram.errors import LocalError
from repram.proto.connection import EventKind
from tests.proto.duo import Duo


def test_datagrams_arrive_whole() -> None:
    duo = Duo()
    mine, theirs = duo.connect()
    sent = [bytes([i]) * (i * 100) for i in range(10)]
    for one in sent:
        mine.send_datagram(one)
    duo.run(1)
    assert duo.seen(duo.server, theirs, EventKind.DATAGRAM)
    got = []
    while (data := theirs.read_datagram()) is not None:
        got.append(data)
    assert got == sent


def test_a_lost_datagram_is_not_repeated() -> None:
    duo = Duo()
    mine, theirs = duo.connect()
    duo.run(1)
    duo.path = lambda *d: []
    mine.send_datagram(b"gone")
    duo.flush()
    duo.path = lambda *d: [d]
    duo.run(5)
    assert theirs.read_datagram() is None


def test_one_that_does_not_fit_a_packet_is_the_callers_mistake() -> None:
    mine, _ = Duo().connect()
    with pytest.raises(LocalError):
        mine.send_datagram(bytes(1400))


def test_a_reader_that_never_comes_costs_a_bounded_queue() -> None:
    duo = Duo()
    mine, theirs = duo.connect()
    for _ in range(200):
        mine.send_datagram(bytes(1000))
        duo.run(0.05)
    assert duo.server.counters()["datagram_frames_dropped"] > 100
    held = 0
    while theirs.read_datagram() is not None:
        held += 1
    assert 20 < held < 40
