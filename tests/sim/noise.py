"""Noise handshakes once more, in Python, by whoever holds the responder's keys: it hears both sides.

Written from the Noise specification; it shares no code with the core that it listens to."""

from __future__ import annotations

import hmac
from copy import copy
from hashlib import blake2b
from typing import Final

from nacl.bindings import (
    crypto_aead_chacha20poly1305_ietf_decrypt,
    crypto_aead_chacha20poly1305_ietf_encrypt,
    crypto_scalarmult,
    crypto_scalarmult_base,
)

from repram.proto.primitives import Pattern

KEY: Final = 32
TAG: Final = 16

#: What each message brings, first the initiator's, then in turn.
MESSAGES: Final[dict[Pattern, tuple[str, ...]]] = {
    Pattern.IK: ("e es s ss", "e ee se"),
    Pattern.IKPSK2: ("e es s ss", "e ee se psk"),
    Pattern.XX: ("e", "e ee s es", "s se"),
    Pattern.XXPSK3: ("e", "e ee s es", "s se psk"),
}
NAMES: Final = {
    Pattern.IK: b"Noise_IK_25519_ChaChaPoly_BLAKE2b",
    Pattern.IKPSK2: b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2b",
    Pattern.XX: b"Noise_XX_25519_ChaChaPoly_BLAKE2b",
    Pattern.XXPSK3: b"Noise_XXpsk3_25519_ChaChaPoly_BLAKE2b",
}
KNOWN_RESPONDER: Final = (Pattern.IK, Pattern.IKPSK2)
WITH_PSK: Final = (Pattern.IKPSK2, Pattern.XXPSK3)


class Symmetric:
    """Noise's symmetric state: a hash over all that was said, and keys that come of it."""

    def __init__(self, name: bytes) -> None:
        self.hash = name.ljust(64, b"\0")
        self.chaining = self.hash
        self.key = b""
        self.nonce = 0

    def mix_hash(self, data: bytes) -> None:
        """All that was said goes into the hash."""
        self.hash = blake2b(self.hash + data).digest()

    def derive(self, secret: bytes, outputs: int) -> list[bytes]:
        """Noise's HKDF."""
        temporary = hmac.digest(self.chaining, secret, "blake2b")
        made = [b""]
        for number in range(1, outputs + 1):
            made.append(hmac.digest(temporary, made[-1] + bytes([number]), "blake2b"))
        return made[1:]

    def mix_key(self, secret: bytes) -> None:
        """A secret that both sides have computed."""
        self.chaining, key = self.derive(secret, 2)
        self.key, self.nonce = key[:KEY], 0

    def mix_psk(self, psk: bytes) -> None:
        """A secret that both sides had before."""
        self.chaining, said, key = self.derive(psk, 3)
        self.mix_hash(said)
        self.key, self.nonce = key[:KEY], 0

    def open(self, sealed: bytes) -> bytes:
        """What the other side sealed; a RuntimeError when it did not."""
        plain = sealed
        if self.key:
            plain = crypto_aead_chacha20poly1305_ietf_decrypt(
                sealed, self.hash, self._next_nonce(), self.key
            )
        self.mix_hash(sealed)
        return plain

    def seal(self, plain: bytes) -> bytes:
        """The reverse of `open`."""
        sealed = plain
        if self.key:
            sealed = crypto_aead_chacha20poly1305_ietf_encrypt(
                plain, self.hash, self._next_nonce(), self.key
            )
        self.mix_hash(sealed)
        return sealed

    def _next_nonce(self) -> bytes:
        self.nonce += 1
        return bytes(4) + (self.nonce - 1).to_bytes(8, "little")


class Overheard:
    """A handshake as it passes by, read with the responder's secrets."""

    def __init__(self, pattern: Pattern, prologue: bytes, static: bytes, psk: bytes) -> None:
        self.pattern = pattern
        self.step = 0
        self.initiator_static = b""
        self._static = static
        self.psk = psk
        self._symmetric = Symmetric(NAMES[pattern])
        self._symmetric.mix_hash(prologue)
        if pattern in KNOWN_RESPONDER:
            self._symmetric.mix_hash(crypto_scalarmult_base(static))

    @property
    def hash(self) -> bytes:
        """Over all that was said: what both sides of this handshake, and nobody else, can compute."""
        return self._symmetric.hash

    def fork(self) -> Overheard:
        """The handshake so far, for each of several answers to go on from."""
        other = copy(self)
        other._symmetric = copy(self._symmetric)
        return other

    def read(self, message: bytes, ephemeral: bytes = b"") -> bytes:
        """The payload of the next message; for the responder's, with its ephemeral private key."""
        rest = message
        for token in MESSAGES[self.pattern][self.step].split():
            rest = self._take(token, rest, ephemeral)
        self.step += 1
        return self._symmetric.open(rest)

    def finish(self) -> tuple[bytes, bytes]:
        """The secrets of the initiator's and the responder's direction."""
        one, other = self._symmetric.derive(b"", 2)
        return one[:KEY], other[:KEY]

    def _take(self, token: str, rest: bytes, ephemeral: bytes) -> bytes:
        symmetric, theirs = self._symmetric, self.step % 2 == 0
        if token == "e":
            said, rest = rest[:KEY], rest[KEY:]
            if theirs:
                self._initiator_ephemeral = said
            else:
                self._ephemeral = ephemeral
            symmetric.mix_hash(said)
            if self.pattern in WITH_PSK:
                symmetric.mix_key(said)
        elif token == "s":
            size = KEY + (TAG if symmetric.key else 0)
            said, rest = symmetric.open(rest[:size]), rest[size:]
            if theirs:
                self.initiator_static = said
        elif token == "psk":
            symmetric.mix_psk(self.psk)
        else:
            symmetric.mix_key(self._shared(token))
        return rest

    def _shared(self, token: str) -> bytes:
        public = self._initiator_ephemeral if token[0] == "e" else self.initiator_static
        return crypto_scalarmult(self._ephemeral if token[1] == "e" else self._static, public)


def first_message(
    pattern: Pattern,
    prologue: bytes,
    responder: bytes,
    *,
    ephemeral: bytes | None,
    static: bytes,
    payload: bytes,
) -> bytes:
    """What opens an IK handshake. Without an ephemeral key it names the point at infinity, with which
    every Diffie-Hellman gives zero."""
    symmetric = Symmetric(NAMES[pattern])
    symmetric.mix_hash(prologue)
    symmetric.mix_hash(responder)
    said = crypto_scalarmult_base(ephemeral) if ephemeral else bytes(KEY)
    symmetric.mix_hash(said)
    if pattern in WITH_PSK:
        symmetric.mix_key(said)
    symmetric.mix_key(crypto_scalarmult(ephemeral, responder) if ephemeral else bytes(KEY))
    said += symmetric.seal(crypto_scalarmult_base(static))
    symmetric.mix_key(crypto_scalarmult(static, responder))
    return said + symmetric.seal(payload)
