"""libsodium for the C core, and the core's primitives as plain functions.

PyNaCl's wheel carries a libsodium of its own; the core is handed pointers into that same file, so
no system package is needed and there is one copy in the process.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
from enum import IntEnum
from functools import cache
from typing import TYPE_CHECKING

from repram._core import ffi, lib
from repram.errors import IntegrityFailure, LocalError, RepramError, UsageError

if TYPE_CHECKING:
    from repram._core import CData

TAG_SIZES = {1: 16, 2: 32}


class Suite(IntEnum):
    """How packets are sealed."""

    XCHACHA20 = 1
    AEGIS256 = 2


class Pattern(IntEnum):
    """The Noise patterns that the core speaks."""

    IK = 0
    IKPSK2 = 1
    XX = 2
    XXPSK3 = 3


_NAMES = {
    "hchacha20": "crypto_core_hchacha20",
    "chacha20poly1305_ietf_encrypt": "crypto_aead_chacha20poly1305_ietf_encrypt",
    "chacha20poly1305_ietf_decrypt": "crypto_aead_chacha20poly1305_ietf_decrypt",
    "aegis256_encrypt": "crypto_aead_aegis256_encrypt",
    "aegis256_decrypt": "crypto_aead_aegis256_decrypt",
    "scalarmult": "crypto_scalarmult",
    "scalarmult_base": "crypto_scalarmult_base",
    "sign_pk_to_curve25519": "crypto_sign_ed25519_pk_to_curve25519",
    "blake2b_init": "crypto_generichash_blake2b_init",
    "blake2b_update": "crypto_generichash_blake2b_update",
    "blake2b_final": "crypto_generichash_blake2b_final",
    "memcmp": "sodium_memcmp",
    "memzero": "sodium_memzero",
}
_OPTIONAL = ("aegis256_encrypt", "aegis256_decrypt")


def _library() -> str:
    spec = importlib.util.find_spec("nacl._sodium")
    if spec is None or spec.origin is None:
        raise RepramError("PyNaCl is not installed as its wheel is", hint="Reinstall PyNaCl.")
    return spec.origin


@cache
def default_suites() -> tuple[Suite, ...]:
    """AEGIS-256 is offered where the CPU has AES instructions: without them it is the slower one.

    `REPRAM_SUITE=xchacha20` forces the mandatory suite.
    """
    forced = os.environ.get("REPRAM_SUITE", "auto")
    if forced not in ("auto", "aegis256", "xchacha20"):
        raise UsageError(f"REPRAM_SUITE is {forced!r}: auto, aegis256 or xchacha20 may stand there")
    if forced == "xchacha20":
        return (Suite.XCHACHA20,)
    table, library = sodium(), ctypes.CDLL(_library())  # which has found out about the CPU by now
    probes = ("sodium_runtime_has_aesni", "sodium_runtime_has_armcrypto")
    fast = any(getattr(library, probe)() for probe in probes if hasattr(library, probe))
    return (
        (Suite.XCHACHA20, Suite.AEGIS256) if fast and table.aegis256_encrypt else (Suite.XCHACHA20,)
    )


@cache
def sodium() -> CData:
    """The table of functions, found and tested once."""
    path = _library()
    library = ctypes.CDLL(path)
    if library.sodium_init() < 0:
        raise RepramError("libsodium could not be initialised", hint="Reinstall PyNaCl.")
    table = ffi.new("rp_sodium *")
    for field, description in ffi.typeof("rp_sodium").fields:
        address = _address(library, _NAMES[field], optional=field in _OPTIONAL)
        setattr(table, field, ffi.cast(description.type, address))
    if lib.rp_crypto_check(table) != 0:
        raise RepramError(
            f"libsodium in {path} gave a wrong known answer",
            hint="The library is damaged or replaced: reinstall PyNaCl.",
        )
    return table


def _address(library: ctypes.CDLL, name: str, *, optional: bool) -> int:
    try:
        return ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0
    except AttributeError:
        if optional:
            return 0
        raise RepramError(
            f"the libsodium that PyNaCl brings has no {name}",
            hint="Install PyNaCl 1.6 or later from its wheel.",
        ) from None


def seal(suite: Suite, key: bytes, nonce: bytes, ad: bytes, plain: bytes) -> bytes:
    """Ciphertext and tag, by the path that packets take."""
    out = ffi.new("uint8_t[]", len(plain) + TAG_SIZES[suite])
    _sizes(suite, key, nonce)
    status = lib.rp_suite_seal(sodium(), suite, key, nonce, ad, len(ad), plain, len(plain), out)
    if status != 0:
        raise LocalError("this libsodium does not have that suite")
    return bytes(ffi.buffer(out))


def open_sealed(suite: Suite, key: bytes, nonce: bytes, ad: bytes, sealed: bytes) -> bytes:
    """What `seal` sealed, or IntegrityFailure."""
    _sizes(suite, key, nonce)
    if len(sealed) < TAG_SIZES[suite]:
        raise IntegrityFailure("too short to carry a tag")
    out = ffi.new("uint8_t[]", len(sealed))
    status = lib.rp_suite_open(sodium(), suite, key, nonce, ad, len(ad), sealed, len(sealed), out)
    if status == lib.RP_E_MISUSE:
        raise LocalError("this libsodium does not have that suite")
    if status != 0:
        raise IntegrityFailure("the tag does not verify")
    return bytes(ffi.buffer(out))[: len(sealed) - TAG_SIZES[suite]]


def _sizes(suite: Suite, key: bytes, nonce: bytes) -> None:
    if len(key) != 32 or len(nonce) != (24 if suite is Suite.XCHACHA20 else 32):
        raise LocalError("a key has 32 bytes, a nonce 24 (XChaCha20) or 32 (AEGIS-256)")


def dh(private: bytes, public: bytes) -> bytes:
    """X25519; an all-zero result is refused."""
    out = ffi.new("uint8_t[32]")
    if lib.rp_dh(sodium(), private, public, out) != 0:
        raise IntegrityFailure("this public key gives an all-zero secret")
    return bytes(ffi.buffer(out))


def dh_public(private: bytes) -> bytes:
    """The X25519 public key."""
    out = ffi.new("unsigned char[32]")
    sodium().scalarmult_base(out, private)
    return bytes(ffi.buffer(out))


def identity_to_dh(public: bytes) -> bytes:
    """The X25519 image of an Ed25519 public key."""
    out = ffi.new("uint8_t[32]")
    if lib.rp_identity_to_dh(sodium(), public, out) != 0:
        raise IntegrityFailure("this is not an Ed25519 public key")
    return bytes(ffi.buffer(out))


def blake2b(data: bytes) -> bytes:
    """BLAKE2b, 64 bytes, as the handshake hashes."""
    out = ffi.new("uint8_t[64]")
    lib.rp_hash(sodium(), data, len(data), out)
    return bytes(ffi.buffer(out))


class Noise:
    """One side of a handshake, for the published vectors."""

    def __init__(
        self,
        pattern: Pattern,
        *,
        initiator: bool,
        prologue: bytes,
        static: bytes,
        ephemeral: bytes,
        remote_static: bytes | None = None,
        psk: bytes | None = None,
    ) -> None:
        setup = ffi.new("rp_noise_setup *")
        setup.pattern, setup.initiator = pattern, initiator
        setup.static_private, setup.ephemeral_private = static, ephemeral
        if remote_static is not None:
            setup.has_remote_static, setup.remote_static = 1, remote_static
        if psk is not None:
            setup.has_psk, setup.psk = 1, psk
        self._memory = ffi.new("uint8_t[]", lib.rp_noise_size())
        self._state = ffi.cast("rp_noise *", self._memory)
        _noise_ok(lib.rp_noise_start(self._state, sodium(), setup, prologue, len(prologue)))

    def write(self, payload: bytes) -> bytes:
        """The next message of ours."""
        out = ffi.new("uint8_t[]", len(payload) + 128)
        size = _noise_ok(
            lib.rp_noise_write(self._state, payload, len(payload), out, len(payload) + 128)
        )
        return bytes(ffi.buffer(out)[:size])

    def read(self, message: bytes) -> bytes:
        """The payload of the peer's next message."""
        out = ffi.new("uint8_t[]", len(message) + 1)
        size = _noise_ok(
            lib.rp_noise_read(self._state, message, len(message), out, len(message) + 1)
        )
        return bytes(ffi.buffer(out)[:size])

    def finish(self) -> tuple[bytes, bytes, bytes]:
        """The sending key, the receiving key and the handshake hash; everything else is wiped."""
        send, receive, digest = (ffi.new("uint8_t[]", size) for size in (32, 32, 64))
        _noise_ok(lib.rp_noise_finish(self._state, send, receive, digest))
        return bytes(ffi.buffer(send)), bytes(ffi.buffer(receive)), bytes(ffi.buffer(digest))


def _noise_ok(status: int) -> int:
    if status == lib.RP_E_MISUSE:
        raise LocalError("this handshake is not at that step, or lacks a key")
    if status < 0:
        raise IntegrityFailure("the handshake message does not verify")
    return status
