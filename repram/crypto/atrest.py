"""How a node's disk tier seals: keys stand in buffers that their owner wipes, and are copied nowhere.

Functions that take keys as `bytes` leave copies in freed memory; these take views of the owner's buffers
and hand them to libsodium and OpenSSL as they are, which wipe what they derive.
"""

from __future__ import annotations

import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from nacl._sodium import ffi, lib

from repram.crypto import labels
from repram.crypto.xchacha import KEY_SIZE, NONCE_SIZE, TAG_SIZE, Bytes
from repram.errors import IntegrityFailure, LocalError

WRAPPED_SIZE: Final = NONCE_SIZE + KEY_SIZE + TAG_SIZE

# An item key seals one body once, so a fixed nonce repeats under no key; and where the nonce is fixed,
# XChaCha20's derived subkey would be one more secret to wipe, and nothing else.
_ONCE: Final = bytes(12)


def draw_random(into: memoryview) -> None:
    """Fill a buffer with randomness, leaving no copy of it elsewhere."""
    lib.randombytes(ffi.from_buffer(into), len(into))


def seal_body(key: memoryview, body: Bytes) -> bytearray:
    """The body under a key that is used this once, and its tag."""
    sealed = bytearray(len(body) + TAG_SIZE)
    ChaCha20Poly1305(key).encrypt_into(_ONCE, body, labels.STORED_BODY, sealed)
    return sealed


def open_body(key: memoryview, sealed: Bytes) -> bytearray:
    """The body, or IntegrityFailure when one bit of it is different."""
    if len(sealed) < TAG_SIZE:
        raise IntegrityFailure("the stored bytes are shorter than their tag")
    body = bytearray(len(sealed) - TAG_SIZE)
    try:
        ChaCha20Poly1305(key).decrypt_into(_ONCE, sealed, labels.STORED_BODY, body)
    except InvalidTag:
        raise IntegrityFailure("the stored bytes do not open under their key") from None
    return body


def wrap(bucket_key: memoryview, item_key: memoryview, bound_to: bytes) -> bytearray:
    """An item key under a bucket's: nonce, ciphertext, tag. A bucket key wraps many, so nonces are random."""
    wrapped = bytearray(WRAPPED_SIZE)
    wrapped[:NONCE_SIZE] = nonce = secrets.token_bytes(NONCE_SIZE)
    associated = labels.BUCKET_WRAP + bound_to
    lib.crypto_aead_xchacha20poly1305_ietf_encrypt(
        ffi.from_buffer(memoryview(wrapped)[NONCE_SIZE:]),
        ffi.NULL,
        _key(item_key),
        KEY_SIZE,
        associated,
        len(associated),
        ffi.NULL,
        nonce,
        _key(bucket_key),
    )
    return wrapped


def unwrap(bucket_key: memoryview, wrapped: Bytes, bound_to: bytes, into: memoryview) -> None:
    """The item key, written straight to where it is kept; IntegrityFailure when this is not its bucket."""
    if len(wrapped) != WRAPPED_SIZE:
        raise IntegrityFailure("a wrapped key of the wrong size")
    associated = labels.BUCKET_WRAP + bound_to
    failed = lib.crypto_aead_xchacha20poly1305_ietf_decrypt(
        _key(into),
        ffi.NULL,
        ffi.NULL,
        bytes(wrapped[NONCE_SIZE:]),
        KEY_SIZE + TAG_SIZE,
        associated,
        len(associated),
        bytes(wrapped[:NONCE_SIZE]),
        _key(bucket_key),
    )
    if failed:
        raise IntegrityFailure("the wrapped key does not open under its bucket's")


def check_of(key: memoryview, bound_to: bytes) -> bytes:
    """16 bytes that tell whether a key is whole: its tag over nothing. A hash would keep the key in its
    state, which nobody wipes; and the nonce of zeros is none that `wrap` could draw."""
    check = bytearray(TAG_SIZE)
    lib.crypto_aead_xchacha20poly1305_ietf_encrypt(
        ffi.from_buffer(check),
        ffi.NULL,
        ffi.NULL,
        0,
        bound_to,
        len(bound_to),
        ffi.NULL,
        bytes(NONCE_SIZE),
        _key(key),
    )
    return bytes(check)


def _key(view: memoryview) -> object:
    """The address of a key; libsodium reads 32 bytes there, so their number is checked here."""
    if len(view) != KEY_SIZE:
        raise LocalError(f"a key has {KEY_SIZE} bytes")
    return ffi.from_buffer(view)
