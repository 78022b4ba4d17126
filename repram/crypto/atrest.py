"""How a node's disk tier seals: keys stand in buffers that their owner wipes, and are copied nowhere.

Functions that take keys as `bytes` leave copies in freed memory, and OpenSSL leaves them on the stack, where
a search finds them. libsodium wipes what it derives, so that all is done by it here, on views of the owner's
buffers; at 1.5 GB/s it is still faster than disks are.
"""

from __future__ import annotations

import secrets
from typing import Final, TypeAlias

from nacl._sodium import ffi, lib

from repram.buffers import unset
from repram.crypto import labels
from repram.crypto.xchacha import KEY_SIZE, NONCE_SIZE, TAG_SIZE, Bytes
from repram.errors import IntegrityFailure, LocalError

Buffer: TypeAlias = bytearray | memoryview

WRAPPED_SIZE: Final = NONCE_SIZE + KEY_SIZE + TAG_SIZE

_ONCE: Final = bytes(NONCE_SIZE)  # an item key seals one body once, so this repeats under no key


def draw_random(into: memoryview) -> None:
    """Fill a buffer with randomness, leaving no copy of it elsewhere."""
    lib.randombytes(ffi.from_buffer(into), len(into))


def seal_body(key: memoryview, body: Bytes) -> bytearray:
    """The body under a key that is used this once, and its tag."""
    sealed = unset(len(body) + TAG_SIZE)
    _seal(sealed, key, _ONCE, body, labels.STORED_BODY)
    return sealed


def open_body(key: memoryview, sealed: Bytes) -> bytearray:
    """The body, or IntegrityFailure when one bit of it is different."""
    if len(sealed) < TAG_SIZE:
        raise IntegrityFailure("the stored bytes are shorter than their tag")
    body = unset(len(sealed) - TAG_SIZE)
    if not _open(body, key, _ONCE, sealed, labels.STORED_BODY):
        raise IntegrityFailure("the stored bytes do not open under their key")
    return body


def wrap(bucket_key: memoryview, item_key: memoryview, bound_to: bytes) -> bytearray:
    """An item key under a bucket's: nonce, ciphertext, tag. A bucket key wraps many, so nonces are random."""
    wrapped = bytearray(WRAPPED_SIZE)
    wrapped[:NONCE_SIZE] = nonce = secrets.token_bytes(NONCE_SIZE)
    sealed = memoryview(wrapped)[NONCE_SIZE:]
    _seal(sealed, bucket_key, nonce, item_key, labels.BUCKET_WRAP + bound_to)
    return wrapped


def unwrap(bucket_key: memoryview, wrapped: Bytes, bound_to: bytes, into: memoryview) -> None:
    """The item key, written straight to where it is kept; IntegrityFailure when this is not its bucket."""
    if len(wrapped) != WRAPPED_SIZE or len(into) != KEY_SIZE:
        raise IntegrityFailure("a wrapped key of the wrong size")
    nonce, sealed = bytes(wrapped[:NONCE_SIZE]), wrapped[NONCE_SIZE:]
    if not _open(into, bucket_key, nonce, sealed, labels.BUCKET_WRAP + bound_to):
        raise IntegrityFailure("the wrapped key does not open under its bucket's")


def check_of(key: memoryview, bound_to: bytes) -> bytes:
    """16 bytes that tell whether a key is whole: its tag over nothing. A hash would keep the key in its
    state, which nobody wipes; and the nonce of zeros is none that `wrap` could draw."""
    check = bytearray(TAG_SIZE)
    _seal(check, key, bytes(NONCE_SIZE), b"", bound_to)
    return bytes(check)


def _seal(into: Buffer, key: memoryview, nonce: bytes, text: Bytes, associated: bytes) -> None:
    lib.crypto_aead_xchacha20poly1305_ietf_encrypt(
        ffi.from_buffer(into),
        ffi.NULL,
        ffi.from_buffer(text),
        len(text),
        associated,
        len(associated),
        ffi.NULL,
        nonce,
        _key(key),
    )


def _open(into: Buffer, key: memoryview, nonce: bytes, sealed: Bytes, associated: bytes) -> bool:
    failed = lib.crypto_aead_xchacha20poly1305_ietf_decrypt(
        ffi.from_buffer(into),
        ffi.NULL,
        ffi.NULL,
        ffi.from_buffer(sealed),
        len(sealed),
        associated,
        len(associated),
        nonce,
        _key(key),
    )
    return not failed


def _key(view: memoryview) -> object:
    """The address of a key; libsodium reads 32 bytes there, so their number is checked here."""
    if len(view) != KEY_SIZE:
        raise LocalError(f"a key has {KEY_SIZE} bytes")
    return ffi.from_buffer(view)
