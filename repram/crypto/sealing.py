"""Sealing of chunks and manifests, and the ids of what was sealed."""

from __future__ import annotations

import secrets
from typing import Final

from blake3 import blake3

from repram.crypto import labels, xchacha
from repram.crypto.xchacha import Bytes
from repram.errors import IntegrityFailure
from repram.ids import ItemId

KEY_SIZE: Final = xchacha.KEY_SIZE
CHUNK_OVERHEAD: Final = xchacha.TAG_SIZE
MANIFEST_OVERHEAD: Final = xchacha.NONCE_SIZE + xchacha.TAG_SIZE

# Safe although it is fixed: `seal_chunk` draws a key, seals once under it and hands it out; no
# function takes a chunk key for sealing, so no key ever meets this nonce twice.
_ONCE: Final = bytes(xchacha.NONCE_SIZE)


def id_of(sealed: Bytes) -> ItemId:
    """What anyone may check without being able to read: BLAKE3-256 of the sealed bytes."""
    return ItemId(blake3(sealed).digest())


def seal_chunk(plaintext: Bytes) -> tuple[bytes, Bytes]:
    """The chunk's own random key, and its sealed bytes."""
    key = secrets.token_bytes(KEY_SIZE)
    return key, xchacha.encrypt(key, _ONCE, plaintext, labels.SEALED_CHUNK)


def open_chunk(key: bytes, item: ItemId, sealed: Bytes) -> Bytes:
    """The plaintext of the chunk that is called `item`; the id is checked before anything is decrypted."""
    _check_id(item, sealed)
    return xchacha.decrypt(key, _ONCE, sealed, labels.SEALED_CHUNK)


def manifest_key(link_secret: bytes) -> bytes:
    """The key under which a link's manifest is sealed."""
    return labels.derive(labels.LINK_MANIFEST_KEY, link_secret)


def seal_manifest(key: bytes, plaintext: Bytes) -> bytes:
    """A random nonce and then the sealed bytes: one key may seal several versions of a head."""
    nonce = secrets.token_bytes(xchacha.NONCE_SIZE)
    return nonce + bytes(xchacha.encrypt(key, nonce, plaintext, labels.SEALED_MANIFEST))


def open_manifest(key: bytes, item: ItemId, sealed: Bytes) -> Bytes:
    """The plaintext of the manifest that is called `item`."""
    _check_id(item, sealed)
    nonce, body = bytes(sealed[: xchacha.NONCE_SIZE]), sealed[xchacha.NONCE_SIZE :]
    if len(body) < xchacha.TAG_SIZE:
        raise IntegrityFailure("the manifest is shorter than its nonce and tag")
    return xchacha.decrypt(key, nonce, body, labels.SEALED_MANIFEST)


def _check_id(item: ItemId, sealed: Bytes) -> None:
    if id_of(sealed) != item:
        raise IntegrityFailure(f"the node sent other bytes than {item} names")
