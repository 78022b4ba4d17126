"""Sealed chunks and manifests: the id is checked first, the key opens its own and nothing else."""

from __future__ import annotations

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from repram.crypto import sealing
from repram.errors import IntegrityFailure
from repram.ids import ItemId

KEY = bytes(range(32))


@given(st.binary(max_size=4_096))
def test_a_chunk_comes_back(plaintext: bytes) -> None:
    key, sealed = sealing.seal_chunk(plaintext)
    assert sealing.open_chunk(key, sealing.id_of(sealed), sealed) == plaintext
    assert len(sealed) == len(plaintext) + sealing.CHUNK_OVERHEAD


@given(st.binary(max_size=4_096))
def test_a_manifest_comes_back(plaintext: bytes) -> None:
    sealed = sealing.seal_manifest(KEY, plaintext)
    assert sealing.open_manifest(KEY, sealing.id_of(sealed), sealed) == plaintext
    assert len(sealed) == len(plaintext) + sealing.MANIFEST_OVERHEAD


def test_an_id_is_blake3_of_the_sealed_bytes() -> None:
    assert sealing.id_of(b"sealed") == ItemId(blake3(b"sealed").digest())


def test_the_same_plaintext_is_never_sealed_alike() -> None:
    (key, sealed), (other_key, other) = sealing.seal_chunk(b"same"), sealing.seal_chunk(b"same")
    assert key != other_key
    assert sealed != other
    assert sealing.seal_manifest(KEY, b"same") != sealing.seal_manifest(KEY, b"same")


def test_other_bytes_than_the_id_names_are_refused_before_they_are_opened() -> None:
    key, sealed = sealing.seal_chunk(b"one")
    _, other = sealing.seal_chunk(b"two")
    with pytest.raises(IntegrityFailure, match="other bytes"):
        sealing.open_chunk(key, sealing.id_of(sealed), other)
    with pytest.raises(IntegrityFailure, match="other bytes"):
        sealing.open_manifest(KEY, sealing.id_of(sealed), other)


def test_a_chunk_does_not_open_as_a_manifest_nor_the_other_way_round() -> None:
    key, chunk = sealing.seal_chunk(bytes(100))
    with pytest.raises(IntegrityFailure, match="do not open"):
        sealing.open_manifest(key, sealing.id_of(chunk), chunk)
    page = sealing.seal_manifest(KEY, bytes(100))
    with pytest.raises(IntegrityFailure, match="do not open"):
        sealing.open_chunk(KEY, sealing.id_of(page), page)


@pytest.mark.parametrize("length", [0, 15, 16, 24, 39])
def test_short_bytes_under_their_own_id_are_refused(length: int) -> None:
    sealed = bytes(length)
    with pytest.raises(IntegrityFailure):
        sealing.open_chunk(KEY, sealing.id_of(sealed), sealed)
    with pytest.raises(IntegrityFailure):
        sealing.open_manifest(KEY, sealing.id_of(sealed), sealed)


def test_a_manifest_key_is_not_the_links_secret() -> None:
    assert sealing.manifest_key(KEY) not in (KEY, blake3(KEY).digest())
