"""Ed25519 identities and their X25519 images."""

from __future__ import annotations

import json
from pathlib import Path

import nacl.bindings as sodium
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repram.crypto import identity
from repram.errors import IntegrityFailure, UsageError

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "ed25519.json").read_text())[
    "signatures"
]
seeds = st.binary(min_size=32, max_size=32)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda each: each["message"] or "empty")
def test_published_signatures(vector: dict[str, str]) -> None:
    seed, public, message, signature = (
        bytes.fromhex(vector[part]) for part in ("seed", "public", "message", "signature")
    )
    assert identity.public_key(seed) == public
    assert identity.sign(seed, message) == signature
    identity.verify(public, message, signature)


@pytest.mark.parametrize("bit", range(0, 512, 7))
def test_a_changed_signature_is_refused(bit: int) -> None:
    vector = VECTORS[2]
    signature = bytearray.fromhex(vector["signature"])
    signature[bit // 8] ^= 1 << bit % 8
    with pytest.raises(IntegrityFailure):
        identity.verify(
            bytes.fromhex(vector["public"]), bytes.fromhex(vector["message"]), bytes(signature)
        )


def test_keys_and_signatures_of_the_wrong_length_are_refused() -> None:
    vector = VECTORS[0]
    public, signature = bytes.fromhex(vector["public"]), bytes.fromhex(vector["signature"])
    for key, signed in ((public[:-1], signature), (public, signature[:-1]), (b"", b"")):
        with pytest.raises(IntegrityFailure):
            identity.verify(key, b"", signed)


@given(seeds)
def test_both_images_are_one_pair(seed: bytes) -> None:
    secret = identity.x25519_secret(seed)
    assert sodium.crypto_scalarmult_base(secret) == identity.x25519_image(identity.public_key(seed))


@pytest.mark.parametrize("key", [bytes(32), b"\xff" * 32, b"\x02" + bytes(31), b"", bytes(31)])
def test_what_is_no_key_has_no_image(key: bytes) -> None:
    with pytest.raises(UsageError, match="no Ed25519 public key"):
        identity.x25519_image(key)
