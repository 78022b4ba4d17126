"""A session in which nothing happens costs next to nothing."""

from repram.errors import SessionClosed
from repram.proto.connection import EventKind, Settings
from tests.proto.duo import Duo


def steps(duo: Duo, seconds: float) -> int:
    """How often either side wakes in so much time."""
    count, limit = 0, duo.now + round(seconds * 1e6)
    while duo.step(limit):
        count += 1
    duo.now = limit
    return count


def test_an_idle_session_wakes_nobody_until_its_limit() -> None:
    duo = Duo(settings=Settings(idle_timeout=60))
    duo.connect()
    duo.run(5)
    assert steps(duo, 50) == 0


def test_keep_alive_wakes_each_side_for_a_ping_and_its_answer() -> None:
    duo = Duo(settings=Settings(idle_timeout=60, keep_alive=10))
    mine, _ = duo.connect()
    duo.run(5)
    assert steps(duo, 300) <= 30 * 8  # both sides: timer, arrival, delayed ACK, its arrival
    assert not duo.seen(duo.client, mine, EventKind.CLOSED)


def test_a_dead_peer_is_noticed_within_the_idle_limit() -> None:
    duo = Duo(settings=Settings(idle_timeout=20))
    mine, theirs = duo.connect()
    duo.transfer(mine, theirs, b"x" * 10_000)
    duo.path = lambda *_: []
    mine.write(mine.open_stream(), b"is anybody there?")
    duo.run(20.5)
    assert isinstance(duo.error(duo.client, mine), SessionClosed)
    assert isinstance(duo.error(duo.server, theirs), SessionClosed)


def test_an_idle_session_holds_one_block_of_memory() -> None:
    duo = Duo()
    before = duo.client.counters()["arena_used"]
    mine, theirs = duo.connect()
    duo.transfer(mine, theirs, bytes(3_000_000))
    duo.transfer(theirs, mine, bytes(3_000_000))
    duo.run(5)
    for core in (duo.client, duo.server):
        assert core.counters()["arena_used"] - before <= 4096 + 512 * core.counters()["streams"]
