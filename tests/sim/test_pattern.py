"""The bytes that transfers carry can be made and checked piece by piece."""

from __future__ import annotations

from hashlib import sha256

from tests.sim.pattern import BLOCK, Pattern

SIZE = 2 * BLOCK + 17


def whole() -> bytes:
    pattern = Pattern("seed", SIZE)
    return b"".join(iter(lambda: bytes(pattern.take(1000)), b""))


def test_pieces_do_not_change_the_bytes() -> None:
    pattern = Pattern("seed", SIZE)
    assert b"".join(iter(lambda: bytes(pattern.take(77_777)), b"")) == whole()
    assert len(whole()) == SIZE
    assert pattern.digest() == sha256(whole()).hexdigest()


def test_the_first_difference_is_found() -> None:
    data = bytearray(whole())
    assert Pattern("seed", SIZE).first_difference(bytes(data)) is None
    data[BLOCK + 5] ^= 1
    assert Pattern("seed", SIZE).first_difference(bytes(data)) == BLOCK + 5


def test_bytes_past_the_end_differ() -> None:
    assert Pattern("seed", SIZE).first_difference(whole() + b"!") == SIZE
