"""A peer's address changes, or seems to; a peer restarts; a busy one asks for a cookie."""

from repram.errors import SessionClosed
from repram.proto.connection import Address, EventKind, Settings
from tests.proto.duo import CLIENT, SERVER, Duo

ELSEWHERE: Address = ("198.51.100.7", 4444)
DATA = bytes(range(256)) * 400


def of_type(duo: Duo, kind: int) -> list[tuple[bytes, Address, Address]]:
    return [entry for entry in duo.captured if entry[0][0] == kind]


def test_a_session_follows_its_peer() -> None:
    duo = Duo()
    mine, theirs = duo.connect()
    duo.run(1)
    assert mine.observed_address() == CLIENT
    duo.client_address = ELSEWHERE
    assert duo.transfer(mine, theirs, DATA) == DATA
    assert duo.transfer(theirs, mine, DATA) == DATA
    assert theirs.address == ELSEWHERE
    assert mine.observed_address() == ELSEWHERE
    assert duo.server.counters()["migrations"] == 1


def test_the_first_packet_to_a_new_address_is_a_challenge_within_three_times_what_came() -> None:
    duo = Duo()
    mine, theirs = duo.connect()
    duo.run(1)
    duo.captured.clear()
    duo.client_address = ELSEWHERE
    stream = mine.open_stream()
    mine.write(stream, b"?", fin=True)
    theirs_stream = theirs.open_stream()
    theirs.write(theirs_stream, DATA, fin=True)
    duo.run_until(lambda: theirs.address == ELSEWHERE)
    first = next(d for d, _, target in duo.captured if target == ELSEWHERE)
    received = sum(len(d) for d, source, _ in duo.captured if source == ELSEWHERE)
    assert len(first) <= 3 * received
    assert len(first) < 100


def test_a_copied_packet_from_a_forged_source_diverts_nothing() -> None:
    duo = Duo()
    mine, theirs = duo.connect()
    duo.run(1)

    def copy_first(
        data: bytes, source: Address, target: Address
    ) -> list[tuple[bytes, Address, Address]]:
        if target == SERVER and data[0] == 4:
            return [(data, ELSEWHERE, target), (data, source, target)]
        return [(data, source, target)]

    duo.path = copy_first
    duo.captured.clear()
    assert duo.transfer(mine, theirs, DATA) == DATA
    assert duo.transfer(theirs, mine, DATA) == DATA
    assert theirs.address == CLIENT
    assert duo.server.counters()["migrations"] == 0
    diverted = sum(len(d) for d, _, target in duo.captured if target == ELSEWHERE)
    copied = sum(len(d) for d, source, target in duo.captured if target == SERVER)
    assert 0 < diverted <= 3 * copied


def test_a_restarted_peer_says_that_it_has_forgotten() -> None:
    duo = Duo(settings=Settings(reset_key=b"r" * 32))
    mine, _ = duo.connect()
    duo.restart_server(first_session=1000)
    stream = mine.open_stream()
    mine.write(stream, DATA, fin=True)
    duo.run_until(lambda: duo.seen(duo.client, mine, EventKind.CLOSED), seconds=2)
    error = duo.error(duo.client, mine)
    assert isinstance(error, SessionClosed)
    assert "restarted" in str(error)
    resets = of_type(duo, 5)
    assert resets
    assert all(len(reset) == 36 for reset, _, _ in resets)


def test_a_reset_with_a_wrong_token_or_from_elsewhere_is_ignored() -> None:
    duo = Duo(settings=Settings(reset_key=b"r" * 32), server_settings=Settings(reset_key=b"q" * 32))
    mine, theirs = duo.connect()
    old = duo.server
    duo.server_settings = Settings(reset_key=b"x" * 32)
    duo.server = duo._server(b"t" * 32)
    duo.events[duo.server] = []
    mine.write(mine.open_stream(), DATA, fin=True)
    duo.run(1)
    assert of_type(duo, 5)
    assert not duo.seen(duo.client, mine, EventKind.CLOSED)
    duo.server.close()
    duo.server = old
    assert duo.transfer(mine, theirs, DATA) == DATA


def test_a_busy_node_asks_for_a_cookie_before_any_work() -> None:
    duo = Duo(server_settings=Settings(cookie_after=0))
    mine, theirs = duo.connect()
    assert duo.transfer(mine, theirs, DATA) == DATA
    counters = duo.server.counters()
    assert counters["retries_out"] == 1
    assert duo.client.counters()["retries_in"] == 1
    assert [len(retry) for retry, _, _ in of_type(duo, 2)] == [76]


def test_a_cookie_is_worth_nothing_at_another_address() -> None:
    duo = Duo(server_settings=Settings(cookie_after=0))
    duo.connect()
    init = next(d for d, _, _ in reversed(of_type(duo, 1)))
    duo.run(130)  # the session is idle and gone, its INIT is no repetition any more
    before = duo.server.counters()
    duo.server.receive([(init, ELSEWHERE)], duo.now)
    assert len(duo.server.transmit(duo.now)) == 1
    after = duo.server.counters()
    assert after["retries_out"] == before["retries_out"] + 1
    assert after["sessions"] == before["sessions"] == 0


def test_an_unvalidated_address_gets_at_most_three_times_what_it_sent() -> None:
    duo = Duo()
    duo.path = lambda d, s, t: [(d, s, t)] if t == SERVER else []  # nothing comes back
    duo.client.connect(SERVER, duo.server.key, duo.now)
    duo.run(30)
    sent = sum(len(d) for d, source, _ in duo.captured if source == SERVER)
    received = sum(len(d) for d, source, _ in duo.captured if source == CLIENT)
    assert 0 < sent <= 3 * received
    assert duo.server.counters()["sessions"] == 0


def test_a_copied_init_from_a_forged_source_blocks_no_handshake() -> None:
    duo = Duo()
    duo.path = lambda d, s, t: [(d, ELSEWHERE, t), (d, s, t)] if d[0] == 1 else [(d, s, t)]
    mine, theirs = duo.connect()
    assert theirs.address == CLIENT
    assert duo.transfer(mine, theirs, DATA) == DATA
