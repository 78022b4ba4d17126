"""Ed25519 identities and their X25519 images, through libsodium."""

from __future__ import annotations

import nacl.bindings as sodium
from nacl.exceptions import CryptoError

from repram.errors import IntegrityFailure, UsageError


def public_key(seed: bytes) -> bytes:
    """The Ed25519 public key of a 32-byte seed."""
    return sodium.crypto_sign_seed_keypair(seed)[0]


def sign(seed: bytes, message: bytes) -> bytes:
    """A detached 64-byte signature."""
    secret = sodium.crypto_sign_seed_keypair(seed)[1]
    return sodium.crypto_sign(message, secret)[: sodium.crypto_sign_BYTES]


def verify(key: bytes, message: bytes, signature: bytes) -> None:
    """Pass, or raise IntegrityFailure."""
    if (len(key), len(signature)) != (sodium.crypto_sign_PUBLICKEYBYTES, sodium.crypto_sign_BYTES):
        raise IntegrityFailure("a key has 32 bytes and a signature 64")
    try:
        sodium.crypto_sign_open(signature + message, key)
    except CryptoError:
        raise IntegrityFailure("the signature is not of this key over these bytes") from None


def x25519_image(key: bytes) -> bytes:
    """The X25519 public key that belongs to an Ed25519 public key; a UsageError when it is no such key."""
    try:
        return sodium.crypto_sign_ed25519_pk_to_curve25519(key)
    except CryptoError:
        raise UsageError(
            "the address holds no Ed25519 public key: no node can have it",
            hint="Copy the address again, whole.",
        ) from None


def x25519_secret(seed: bytes) -> bytes:
    """The X25519 secret key that belongs to an Ed25519 seed."""
    return sodium.crypto_sign_ed25519_sk_to_curve25519(sodium.crypto_sign_seed_keypair(seed)[1])
