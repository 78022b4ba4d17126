"""XChaCha20-Poly1305 at speed.

It is HChaCha20 for a subkey and then ChaCha20-Poly1305. libsodium has the first and pyca/cryptography
the second three times as fast; libsodium's own whole construction is the fall-back. Whichever is taken
must give the published answer when this module is imported.
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

import nacl.bindings as sodium
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from nacl.exceptions import CryptoError

from repram.buffers import unset
from repram.errors import IntegrityFailure, LocalError

Bytes: TypeAlias = bytes | bytearray | memoryview

KEY_SIZE: Final = 32
NONCE_SIZE: Final = 24
TAG_SIZE: Final = 16

_Subkey = ctypes.c_char * KEY_SIZE


class Implementation(NamedTuple):
    """One way to compute it: each takes (key, nonce, data, associated data)."""

    name: str
    encrypt: Callable[[bytes, bytes, Bytes, bytes], Bytes]
    decrypt: Callable[[bytes, bytes, Bytes, bytes], Bytes]


def encrypt(key: bytes, nonce: bytes, plaintext: Bytes, associated: bytes) -> Bytes:
    """The ciphertext and, after it, the 16-byte tag."""
    _check_sizes(key, nonce)
    return IMPLEMENTATION.encrypt(key, nonce, plaintext, associated)


def decrypt(key: bytes, nonce: bytes, sealed: Bytes, associated: bytes) -> Bytes:
    """The plaintext, or IntegrityFailure when one bit of anything is different."""
    _check_sizes(key, nonce)
    if len(sealed) < TAG_SIZE:
        raise IntegrityFailure("the sealed bytes are shorter than their tag")
    try:
        return IMPLEMENTATION.decrypt(key, nonce, sealed, associated)
    except (InvalidTag, CryptoError):
        raise IntegrityFailure("the sealed bytes do not open under this key") from None


def hchacha20(key: bytes, nonce: bytes) -> bytes:
    """The subkey for `key` and the first 16 bytes of an extended nonce."""
    if _hchacha20 is None:
        raise LocalError("this build of PyNaCl does not export HChaCha20")
    if len(key) != KEY_SIZE or len(nonce) < 16:
        raise LocalError("HChaCha20 takes a 32-byte key and a 16-byte nonce")
    subkey = _Subkey()
    _hchacha20(subkey, nonce, key, None)
    return subkey.raw


def _check_sizes(key: bytes, nonce: bytes) -> None:
    if len(key) != KEY_SIZE or len(nonce) != NONCE_SIZE:
        raise LocalError(f"XChaCha20 takes a {KEY_SIZE}-byte key and a {NONCE_SIZE}-byte nonce")


def _load_hchacha20() -> Callable[[object, bytes, bytes, None], int] | None:
    """HChaCha20 out of the shared object that PyNaCl brings; its Python module does not name it."""
    spec = importlib.util.find_spec("nacl._sodium")
    if spec is None or spec.origin is None:
        return None
    try:
        function = ctypes.CDLL(spec.origin).crypto_core_hchacha20
    except (OSError, AttributeError):
        return None
    function.argtypes = [ctypes.c_char_p] * 4
    function.restype = ctypes.c_int
    return function


def _composed_encrypt(key: bytes, nonce: bytes, plaintext: Bytes, associated: bytes) -> Bytes:
    cipher = ChaCha20Poly1305(hchacha20(key, nonce))
    sealed = unset(len(plaintext) + TAG_SIZE)
    cipher.encrypt_into(_inner_nonce(nonce), plaintext, associated, sealed)
    return sealed


def _composed_decrypt(key: bytes, nonce: bytes, sealed: Bytes, associated: bytes) -> Bytes:
    cipher = ChaCha20Poly1305(hchacha20(key, nonce))
    plaintext = unset(len(sealed) - TAG_SIZE)
    cipher.decrypt_into(_inner_nonce(nonce), sealed, associated, plaintext)
    return plaintext


def _inner_nonce(nonce: bytes) -> bytes:
    return bytes(4) + nonce[16:]


def _sodium_encrypt(key: bytes, nonce: bytes, plaintext: Bytes, associated: bytes) -> Bytes:
    return sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(
        bytes(plaintext), associated, nonce, key
    )


def _sodium_decrypt(key: bytes, nonce: bytes, sealed: Bytes, associated: bytes) -> Bytes:
    return sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(bytes(sealed), associated, nonce, key)


def passes_known_answer(candidate: Implementation) -> bool:
    """Whether it computes draft-irtf-cfrg-xchacha-03, A.3.1, both ways."""
    key, nonce = bytes(range(0x80, 0xA0)), bytes(range(0x40, 0x58))
    associated = bytes.fromhex("50515253c0c1c2c3c4c5c6c7")
    plaintext = (
        b"Ladies and Gentlemen of the class of '99: "
        b"If I could offer you only one tip for the future, sunscreen would be it."
    )
    start, tag = "bd6d179d3e83d43b9576579493c0e939", "c0875924c1c7987947deafd8780acf49"
    try:
        sealed = candidate.encrypt(key, nonce, plaintext, associated)
        opened = candidate.decrypt(key, nonce, sealed, associated)
    except (AttributeError, LocalError, InvalidTag, CryptoError):
        return (
            False  # an older pyca/cryptography has no encrypt_into; a stripped PyNaCl no HChaCha20
        )
    answer = bytes(sealed).hex()
    return answer.startswith(start) and answer.endswith(tag) and opened == plaintext


def _first_that_works() -> Implementation:
    for candidate in (COMPOSED, SODIUM):
        if passes_known_answer(candidate):
            return candidate
    raise LocalError(
        "XChaCha20-Poly1305 fails its self-test on this machine",
        hint="Reinstall PyNaCl and cryptography: `pip install --force-reinstall pynacl cryptography`.",
    )


_hchacha20 = _load_hchacha20()
COMPOSED: Final = Implementation("hchacha20 + pyca", _composed_encrypt, _composed_decrypt)
SODIUM: Final = Implementation("libsodium", _sodium_encrypt, _sodium_decrypt)
IMPLEMENTATION: Final = _first_that_works()
