"""Sealing under a key that somebody guessed or chose.

XChaCha20-Poly1305 does not commit to its key: whoever knows several keys can make one ciphertext that
opens under all of them, and so tell which of many passwords somebody has, or show two people two texts.
So a commitment stands in front, and is compared before anything is decrypted. It is a collision-resistant
hash of key, nonce and associated data, beside a key derived for encryption alone: the generic composition
of Albertini et al., "How to Abuse and Fix Authenticated Encryption Without Key Commitment" (USENIX
Security 2022), over the whole context as Bellare and Hoang ask (Eurocrypt 2022, CMT-4).
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from typing import Final

from repram.crypto import labels, xchacha
from repram.crypto.xchacha import NONCE_SIZE, TAG_SIZE, Bytes
from repram.errors import IntegrityFailure

COMMITMENT_SIZE: Final = 32
OVERHEAD: Final = COMMITMENT_SIZE + NONCE_SIZE + TAG_SIZE


class NotThisKey(IntegrityFailure):
    """This was sealed under another key, or as something else."""


def seal(
    key: bytes,
    plaintext: Bytes,
    associated: bytes,
    draw: Callable[[int], bytes] = secrets.token_bytes,
) -> bytes:
    """Commitment, nonce, ciphertext and tag."""
    nonce = draw(NONCE_SIZE)
    sealed = xchacha.encrypt(encryption_key(key), nonce, plaintext, associated)
    return commitment(key, nonce, associated) + nonce + sealed


def open_sealed(key: bytes, sealed: Bytes, associated: bytes) -> bytes:
    """The plaintext; NotThisKey when the key is another one, IntegrityFailure when the bytes are."""
    if len(sealed) < OVERHEAD:
        raise IntegrityFailure("the sealed bytes are shorter than commitment, nonce and tag")
    stated, rest = bytes(sealed[:COMMITMENT_SIZE]), sealed[COMMITMENT_SIZE:]
    nonce, body = bytes(rest[:NONCE_SIZE]), rest[NONCE_SIZE:]
    if not hmac.compare_digest(stated, commitment(key, nonce, associated)):
        raise NotThisKey
    return bytes(xchacha.decrypt(encryption_key(key), nonce, body, associated))


def encryption_key(key: bytes) -> bytes:
    """What encrypts: another value than the one that is committed to."""
    return labels.derive(labels.COMMITTED_KEY, key)


def commitment(key: bytes, nonce: bytes, associated: bytes) -> bytes:
    """Binds key, nonce and associated data; the first two have fixed sizes, so no two texts are alike."""
    return labels.derive(labels.KEY_COMMITMENT, key + nonce + associated, COMMITMENT_SIZE)
