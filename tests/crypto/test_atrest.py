"""Sealing at rest: what is bound to what, and that it is the construction that the documents name."""

from __future__ import annotations

import nacl.bindings as sodium
import pytest

from repram.crypto import atrest, labels
from repram.errors import IntegrityFailure, LocalError


def drawn() -> memoryview:
    key = memoryview(bytearray(32))
    atrest.draw_random(key)
    return key


def test_a_body_opens_under_its_key_alone() -> None:
    key = drawn()
    for size in (1, 64, 5_000):
        sealed = atrest.seal_body(key, bytes(size))
        assert atrest.open_body(key, sealed) == bytes(size)
        with pytest.raises(IntegrityFailure):
            atrest.open_body(drawn(), sealed)
        sealed[-1] ^= 1
        with pytest.raises(IntegrityFailure):
            atrest.open_body(key, sealed)


def test_a_body_is_sealed_with_xchacha20_poly1305() -> None:
    key = drawn()
    expected = sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(
        b"body", labels.STORED_BODY, bytes(24), bytes(key)
    )
    assert atrest.seal_body(key, b"body") == expected


def test_a_wrapped_key_opens_under_its_bucket_for_its_fact_alone() -> None:
    bucket, item, into = drawn(), drawn(), memoryview(bytearray(32))
    wrapped = atrest.wrap(bucket, item, b"fact")
    atrest.unwrap(bucket, wrapped, b"fact", into)
    assert into == item
    assert wrapped != atrest.wrap(bucket, item, b"fact")
    for key, sealed, bound_to in (
        (drawn(), wrapped, b"fact"),
        (bucket, wrapped, b"other"),
        (bucket, wrapped[:-1], b"fact"),
        (bucket, wrapped[:-1] + b"?", b"fact"),
    ):
        with pytest.raises(IntegrityFailure):
            atrest.unwrap(key, sealed, bound_to, into)


def test_keys_of_the_wrong_size_never_reach_the_cipher() -> None:
    with pytest.raises(LocalError):
        atrest.seal_body(drawn()[:31], b"body")
    with pytest.raises(IntegrityFailure):
        atrest.open_body(drawn(), b"short")
