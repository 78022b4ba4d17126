"""The checker of what hosts emit is itself checked: planted faults must raise."""

from __future__ import annotations

from struct import pack
from zlib import crc32

import pytest

from tests.sim.invariants import DATA, INIT, InvariantError, WireChecker

STRANGER = ("10.9.9.9", 9)


def datagram(
    body: bytes, *, kind: int = DATA, session: int = 7, number: int = 0, length: int | None = None
) -> bytes:
    """A datagram with a right CRC, and a right length unless told otherwise."""
    start = pack(">BBHIII", kind, 0, len(body) if length is None else length, session, number, 0)
    return start + crc32(body, crc32(bytes(4), crc32(start))).to_bytes(4, "big") + body


def emit(checker: WireChecker, data: bytes, *, peer: int = 1, limit: int = 1200) -> None:
    checker.emitted(0, peer, data, limit)


def test_right_datagrams_pass() -> None:
    checker = WireChecker()
    for number in range(10):
        emit(checker, datagram(b"body", number=number))
    emit(checker, datagram(bytes(1180), kind=INIT))
    assert checker.emitted_count == 11


def test_a_packet_number_used_twice_is_caught() -> None:
    checker = WireChecker()
    emit(checker, datagram(b"one", number=5))
    emit(checker, datagram(b"one", number=5, session=8))
    emit(checker, datagram(b"two", number=5), peer=2)
    with pytest.raises(InvariantError, match="packet number 5 of session 00000007 twice"):
        emit(checker, datagram(b"two", number=5))


@pytest.mark.parametrize("at", range(24))
def test_every_planted_wrong_byte_is_caught(at: int) -> None:
    wrong = bytearray(datagram(b"body"))
    wrong[at] ^= 0x10
    with pytest.raises(InvariantError):
        emit(WireChecker(), bytes(wrong))


def test_a_wrong_length_is_caught_although_the_crc_is_right() -> None:
    with pytest.raises(InvariantError, match="wrong len"):
        emit(WireChecker(), datagram(b"body", length=5))


def test_an_unknown_type_is_caught() -> None:
    with pytest.raises(InvariantError, match="type 9"):
        emit(WireChecker(), datagram(b"body", kind=9))


def test_a_datagram_larger_than_allowed_is_caught() -> None:
    with pytest.raises(InvariantError, match="1201 bytes"):
        emit(WireChecker(), datagram(bytes(1181)))


def test_an_init_without_padding_is_caught() -> None:
    with pytest.raises(InvariantError, match="without padding"):
        emit(WireChecker(), datagram(b"short", kind=INIT))


def test_one_probe_larger_than_all_that_arrived_may_travel_alone() -> None:
    checker = WireChecker()
    for number, size in enumerate((100, 1_400, 100, 1_400, 100)):
        emit(checker, datagram(bytes(size), number=number), limit=1500)
    checker.arrived(1, datagram(bytes(1_400)))
    for number in (5, 6):
        emit(checker, datagram(bytes(1_400), number=number), limit=1500)


def test_packets_larger_than_all_that_arrived_are_caught() -> None:
    checker = WireChecker()
    checker.arrived(1, datagram(bytes(1_300), number=1))
    checker.arrived(1, datagram(bytes(1_400), session=8))
    emit(checker, datagram(bytes(1_300), number=2), limit=1500)
    emit(checker, datagram(bytes(1_301), number=3), limit=1500)
    with pytest.raises(InvariantError, match="1321 bytes, and again"):
        emit(checker, datagram(bytes(1_301), number=4), limit=1500)


def test_amplification_is_caught() -> None:
    checker = WireChecker()
    checker.heard(0, STRANGER, datagram(bytes(80), kind=INIT), genuine=True)
    checker.answered(0, STRANGER, 200)
    checker.answered(0, STRANGER, 100)
    with pytest.raises(InvariantError, match="amplifies"):
        checker.answered(0, STRANGER, 1)


def test_who_has_proven_its_address_may_be_sent_anything() -> None:
    checker = WireChecker()
    checker.heard(0, STRANGER, datagram(b"body"), genuine=True)
    checker.answered(0, STRANGER, 10**6)


def test_a_forged_packet_proves_no_address() -> None:
    checker = WireChecker()
    checker.heard(0, STRANGER, datagram(b"body"), genuine=False)
    with pytest.raises(InvariantError, match="amplifies"):
        checker.answered(0, STRANGER, 1000)
