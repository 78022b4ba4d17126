"""Sealed chunks: the id is checked first, the key opens its own and nothing else."""

from __future__ import annotations

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from repram.crypto import sealing
from repram.errors import Changed, IntegrityFailure
from repram.ids import ItemId

KEY = bytes(range(32))


@given(st.binary(max_size=4_096))
def test_a_chunk_comes_back(plaintext: bytes) -> None:
    key, sealed = sealing.seal_chunk(plaintext)
    assert sealing.open_chunk(key, sealing.id_of(sealed), sealed) == plaintext
    assert len(sealed) == len(plaintext) + sealing.CHUNK_OVERHEAD


def test_an_id_is_blake3_of_the_sealed_bytes() -> None:
    assert sealing.id_of(b"sealed") == ItemId(blake3(b"sealed").digest())


def test_the_same_plaintext_is_never_sealed_alike() -> None:
    (key, sealed), (other_key, other) = sealing.seal_chunk(b"same"), sealing.seal_chunk(b"same")
    assert key != other_key
    assert sealed != other


def test_other_bytes_than_the_id_names_are_refused_before_they_are_opened() -> None:
    key, sealed = sealing.seal_chunk(b"one")
    _, other = sealing.seal_chunk(b"two")
    with pytest.raises(IntegrityFailure, match="other bytes"):
        sealing.open_chunk(key, sealing.id_of(sealed), other)


@pytest.mark.parametrize("length", [0, 15, 16])
def test_short_bytes_under_their_own_id_are_refused(length: int) -> None:
    sealed = bytes(length)
    with pytest.raises(IntegrityFailure):
        sealing.open_chunk(KEY, sealing.id_of(sealed), sealed)


@given(st.binary(min_size=1, max_size=4_096))
def test_sealed_again_it_is_the_same_and_another_text_is_not_sealed(plaintext: bytes) -> None:
    key, sealed = sealing.seal_chunk(plaintext)
    item = sealing.id_of(sealed)
    assert sealing.seal_again(key, item, plaintext) == sealed
    for other in (plaintext[:-1], plaintext + b"x", bytes([plaintext[0] ^ 1]) + plaintext[1:]):
        with pytest.raises(Changed):
            sealing.seal_again(key, item, other)
    with pytest.raises(Changed):
        sealing.seal_again(KEY, item, plaintext)
