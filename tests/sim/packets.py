"""What can be known of packets by whoever knows the seeds: every random byte, so every key."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from nacl.bindings import (
    crypto_aead_aegis256_decrypt,
    crypto_aead_aegis256_encrypt,
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
    crypto_scalarmult,
    crypto_scalarmult_base,
)

from repram.proto.primitives import Suite
from tests.proto.by_hand import DATA, HEADER, header, with_crc

if TYPE_CHECKING:
    from repram.proto.connection import Address
    from tests.sim.frames import Frame

PHASE: Final = 1
MOST_DRAWS: Final = 4096  # between two keys that one core draws
_SEALS = {
    Suite.XCHACHA20: crypto_aead_xchacha20poly1305_ietf_encrypt,
    Suite.AEGIS256: crypto_aead_aegis256_encrypt,
}
_OPENS = {
    Suite.XCHACHA20: crypto_aead_xchacha20poly1305_ietf_decrypt,
    Suite.AEGIS256: crypto_aead_aegis256_decrypt,
}
_IV_SIZES = {Suite.XCHACHA20: 16, Suite.AEGIS256: 24}


class Draws:
    """The random bytes of a core, which all derive from its seed: block after block."""

    def __init__(self, seed: bytes) -> None:
        self._key = seed
        self._privates: dict[bytes, bytes] = {}

    def private_of(self, public: bytes) -> bytes | None:
        """The X25519 key that belongs to a public one, if this core has drawn it."""
        for _ in range(MOST_DRAWS):
            if public in self._privates:
                return self._privates[public]
            block = blake2b(b"repram v1 random", key=self._key).digest()
            drawn, self._key = block[:32], block[32:]
            self._privates[crypto_scalarmult_base(drawn)] = drawn
        return None


class Direction:
    """The keys of one direction, epoch by epoch (docs/protocol.md, section 4)."""

    def __init__(self, suite: Suite, secret: bytes) -> None:
        self.suite = suite
        self.epoch = -1
        self._next = secret
        self.advance()

    def advance(self) -> None:
        """A new epoch begins."""
        secret, suite = self._next, bytes([self.suite])
        self.epoch += 1
        self._secret_key = blake2b(
            b"repram v1 packet key" + suite, key=secret, digest_size=32
        ).digest()
        iv = blake2b(b"repram v1 packet iv" + suite, key=secret, digest_size=24).digest()
        self._iv = iv[: _IV_SIZES[self.suite]]
        self._next = blake2b(b"repram v1 next epoch", key=secret, digest_size=32).digest()

    def mix(self, private: bytes, public: bytes) -> None:
        """A ratchet: the next epoch's secret takes in a fresh Diffie-Hellman."""
        shared = crypto_scalarmult(private, public)
        label = b"repram v1 ratchet" + shared
        self._next = blake2b(label, key=self._next, digest_size=32).digest()

    def open(self, datagram: bytes, number: int) -> bytes:
        """The frames in a packet of this epoch; a RuntimeError when its tag does not verify."""
        about = datagram[:16] + bytes([1]) + self.epoch.to_bytes(4, "big")
        nonce = self._iv + number.to_bytes(8, "big")
        return _OPENS[self.suite](datagram[HEADER:], about, nonce, self._secret_key)

    def seal(self, text: bytes, *, session: int, number: int, newest: int) -> bytes:
        """A packet of this epoch."""
        size = len(text) + (32 if self.suite is Suite.AEGIS256 else 16)
        flags, seq = self.epoch & PHASE, number & 0xFFFFFFFF
        head = header(DATA, size, flags=flags, session=session, seq=seq, ack=newest & 0xFFFFFFFF)
        about = head[:16] + bytes([1]) + self.epoch.to_bytes(4, "big")
        nonce = self._iv + number.to_bytes(8, "big")
        return with_crc(head + _SEALS[self.suite](text, about, nonce, self._secret_key))


@dataclass(slots=True, eq=False)
class Packet:
    """One DATA packet, opened. Each time is of the clock of the host that it happened to."""

    number: int
    epoch: int
    frames: list[Frame]
    datagram: bytes
    asks: bool  # for an acknowledgement
    to: Address
    ecn: int
    sent_at: int
    heard_at: int = -1
    heard_from: Address | None = None
    heard_ecn: int = 0
    is_sure: bool = False  # nothing excuses the receiver for not taking it
    was_acked: bool = False

    @property
    def size(self) -> int:
        return len(self.datagram)
