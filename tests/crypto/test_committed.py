"""Sealing that commits to its key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repram.crypto import committed, xchacha
from repram.errors import IntegrityFailure
from tests import salamander

ONE, OTHER = bytes(range(32)), bytes(range(32, 64))
NONCE = bytes(range(24))

bytes32 = st.binary(min_size=32, max_size=32)


@given(bytes32, st.binary(max_size=200), st.binary(max_size=40))
def test_what_was_sealed_opens(key: bytes, plaintext: bytes, associated: bytes) -> None:
    sealed = committed.seal(key, plaintext, associated)
    assert len(sealed) == len(plaintext) + committed.OVERHEAD
    assert committed.open_sealed(key, memoryview(sealed), associated) == plaintext


@given(bytes32, bytes32, st.binary(max_size=40), st.binary(max_size=40))
def test_another_key_or_another_context_is_told_from_damage(
    key: bytes, other: bytes, associated: bytes, elsewhere: bytes
) -> None:
    sealed = committed.seal(key, b"text", associated)
    if key != other:
        with pytest.raises(committed.NotThisKey):
            committed.open_sealed(other, sealed, associated)
    if associated != elsewhere:
        with pytest.raises(committed.NotThisKey):
            committed.open_sealed(key, sealed, elsewhere)


def test_every_flipped_bit_and_every_cut_is_refused() -> None:
    sealed = committed.seal(ONE, b"text", b"here")
    for bit in range(len(sealed) * 8):
        bent = bytearray(sealed)
        bent[bit // 8] ^= 1 << bit % 8
        with pytest.raises(IntegrityFailure):
            committed.open_sealed(ONE, bent, b"here")
    for end in range(len(sealed)):
        with pytest.raises(IntegrityFailure):
            committed.open_sealed(ONE, sealed[:end], b"here")


@pytest.mark.parametrize("associated", [b"", b"repram v1 something", bytes(32)])
def test_a_ciphertext_made_to_open_under_two_keys_opens_under_the_committed_one_alone(
    associated: bytes,
) -> None:
    sealed = salamander.committed_to(ONE, OTHER, NONCE, associated)
    body = sealed[committed.COMMITMENT_SIZE + xchacha.NONCE_SIZE :]
    texts = [  # the control: without commitments it does open under both
        bytes(xchacha.decrypt(committed.encryption_key(key), NONCE, body, associated))
        for key in (ONE, OTHER)
    ]
    assert texts[0] != texts[1]
    assert committed.open_sealed(ONE, sealed, associated) == texts[0]
    with pytest.raises(committed.NotThisKey):
        committed.open_sealed(OTHER, sealed, associated)


def test_the_same_text_is_never_sealed_alike() -> None:
    assert committed.seal(ONE, b"same", b"") != committed.seal(ONE, b"same", b"")


def test_the_key_that_encrypts_is_not_the_commitment() -> None:
    assert len({ONE, committed.encryption_key(ONE), committed.commitment(ONE, NONCE, b"")}) == 3
