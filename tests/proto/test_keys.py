"""New keys under way: epochs, the ratchet, forged phase bits, and replays across all of it."""

import zlib
from dataclasses import replace

import pytest

from repram.errors import SessionClosed
from repram.proto.connection import Address, Settings
from tests.proto.duo import CLIENT, SERVER, Duo

OFTEN = Settings(rekey_packets=20, ratchet_seconds=1e6, mtu=1200)
RATCHETING = replace(OFTEN, ratchet_seconds=0.1)
DATA = bytes(range(256)) * 6000


@pytest.mark.parametrize("settings", [OFTEN, RATCHETING])
@pytest.mark.parametrize("down", [False, True])
def test_a_transfer_goes_through_many_epochs(settings: Settings, down: bool) -> None:
    duo = Duo(settings=settings)
    ends = duo.connect()
    sender, receiver = reversed(ends) if down else ends
    assert duo.transfer(sender, receiver, DATA) == DATA
    assert sender.stats().epoch > 3
    assert abs(sender.stats().epoch - receiver.stats().epoch) <= 1


def test_epochs_pass_in_spite_of_loss_and_reordering() -> None:
    duo = Duo(settings=RATCHETING)
    count = iter(range(1_000_000))

    def rough(
        data: bytes, source: Address, target: Address
    ) -> list[tuple[bytes, Address, Address]]:
        n = next(count)
        if n % 10 == 3 and n > 10:
            return []
        return [(data, source, target)] * (2 if n % 7 == 0 else 1)

    duo.path = rough
    mine, theirs = duo.connect()
    assert duo.transfer(mine, theirs, DATA) == DATA
    assert duo.client.counters()["ratchets"] > 0
    assert duo.client.counters()["ratchets"] == duo.server.counters()["ratchets"]


def test_time_alone_brings_new_keys() -> None:
    duo = Duo(settings=Settings(rekey_seconds=1, keep_alive=0.4))
    mine, _ = duo.connect()
    duo.run(10)
    assert 5 <= mine.stats().epoch <= 10


def test_a_forged_phase_bit_costs_nothing_and_changes_nothing() -> None:
    duo = Duo()
    mine, theirs = duo.connect()
    duo.transfer(mine, theirs, DATA)
    packet = next(
        d for d, source, _ in reversed(duo.captured) if source == CLIENT and len(d) > 1000
    )
    forged = bytearray(packet)
    forged[1] ^= 1
    forged[8:12] = (int.from_bytes(forged[8:12]) + 1000).to_bytes(4)
    forged[16:20] = bytes(4)
    forged[16:20] = zlib.crc32(forged).to_bytes(4)
    before = duo.server.counters()
    for _ in range(100):
        duo.server.receive([(bytes(forged), CLIENT)], duo.now)
    after = duo.server.counters()
    assert after["dropped_auth"] - before["dropped_auth"] == 100
    assert after["key_updates"] == before["key_updates"]
    assert duo.transfer(mine, theirs, b"on it goes") == b"on it goes"


def test_a_session_replayed_whole_changes_nothing() -> None:
    duo = Duo(settings=replace(RATCHETING, reset_key=b"r" * 32))
    mine, theirs = duo.connect()
    assert duo.transfer(mine, theirs, DATA) == DATA
    duo.run(2)
    recorded = [(data, source) for data, source, target in duo.captured if target == SERVER]
    sessions, received = duo.server.counters()["sessions"], theirs.stats().packets_received
    for datagram in recorded:
        duo.server.receive([datagram], duo.now)
    duo.flush()
    assert theirs.stats().packets_received == received
    assert not duo.server.events()
    assert duo.server.counters()["sessions"] == sessions
    assert duo.transfer(mine, theirs, b"still here") == b"still here"

    duo.restart_server(first_session=1000)
    for datagram in recorded:
        duo.server.receive([datagram], duo.now)
    duo.server.transmit(duo.now)
    assert not duo.server.events()
    duo.run(15)
    assert duo.server.counters()["sessions"] == 0  # a replayed INIT is nobody's and expires


def test_numbers_wrap_at_two_to_the_thirty_second() -> None:
    duo = Duo(settings=replace(RATCHETING, first_packet_number=2**32 - 100))
    mine, theirs = duo.connect()
    assert duo.transfer(mine, theirs, DATA) == DATA
    assert duo.transfer(theirs, mine, DATA) == DATA
    assert duo.client.counters()["wraps"] == duo.server.counters()["wraps"] == 1


def test_no_packet_number_is_used_twice_under_one_key() -> None:
    duo = Duo(settings=RATCHETING)
    count = iter(range(1_000_000))
    duo.path = lambda *d: [] if next(count) % 9 == 8 else [d]
    mine, theirs = duo.connect()
    for _ in range(3):  # with a rest between, when everything is acknowledged
        duo.transfer(mine, theirs, DATA[:50_000])
        duo.run(1)
    seen: dict[tuple[bytes, bytes], bytes] = {}
    for data, _, _ in duo.captured:
        if data[0] == 4:
            assert seen.setdefault((data[4:8], data[8:12]), data) == data


def test_forgeries_do_not_end_a_session() -> None:
    duo = Duo()
    mine, theirs = duo.connect()
    with pytest.raises(SessionClosed):
        mine.write(77, b"no such stream")
    session = next(d[4:8] for d, source, _ in reversed(duo.captured) if source == SERVER)
    for kind in range(1, 8):
        forged = bytearray(bytes([kind, 0, 0, 16]) + session + bytes(28))
        forged[16:20] = zlib.crc32(forged).to_bytes(4)
        duo.client.receive([(bytes(forged), SERVER)], duo.now)
    assert duo.transfer(mine, theirs, b"unmoved") == b"unmoved"
