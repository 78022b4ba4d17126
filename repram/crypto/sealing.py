"""Sealing of chunks, and the ids of what was sealed."""

from __future__ import annotations

import secrets
from typing import Final

from blake3 import blake3

from repram.crypto import labels, xchacha
from repram.crypto.xchacha import Bytes
from repram.errors import Changed, IntegrityFailure
from repram.ids import ItemId

KEY_SIZE: Final = xchacha.KEY_SIZE
CHUNK_OVERHEAD: Final = xchacha.TAG_SIZE

# Safe although it is fixed: `seal_chunk` draws a key, seals once under it and hands it out; the only
# function that takes a chunk key for sealing gives back nothing but the very bytes it gave before.
_ONCE: Final = bytes(xchacha.NONCE_SIZE)


def id_of(sealed: Bytes) -> ItemId:
    """What anyone may check without being able to read: BLAKE3-256 of the sealed bytes."""
    return ItemId(blake3(sealed).digest())


def seal_chunk(plaintext: Bytes) -> tuple[bytes, Bytes]:
    """The chunk's own random key, and its sealed bytes."""
    key = secrets.token_bytes(KEY_SIZE)
    return key, xchacha.encrypt(key, _ONCE, plaintext, labels.SEALED_CHUNK)


def seal_again(key: bytes, item: ItemId, plaintext: Bytes) -> Bytes:
    """The sealed bytes that are called `item`, or Changed when the plaintext is another than then.

    What another plaintext would seal to is never given out, so no key seals two texts.
    """
    sealed = xchacha.encrypt(key, _ONCE, plaintext, labels.SEALED_CHUNK)
    if id_of(sealed) != item:
        raise Changed("what is to be uploaded has changed since the upload began")
    return sealed


def open_chunk(key: bytes, item: ItemId, sealed: Bytes) -> Bytes:
    """The plaintext of the chunk that is called `item`; the id is checked before anything is decrypted."""
    check_id(item, sealed)
    return xchacha.decrypt(key, _ONCE, sealed, labels.SEALED_CHUNK)


def check_id(item: ItemId, sealed: Bytes) -> None:
    """Pass, or raise IntegrityFailure: the one check that comes before everything else."""
    if id_of(sealed) != item:
        raise IntegrityFailure(f"the node sent other bytes than {item} names")
