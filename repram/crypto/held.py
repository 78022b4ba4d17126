"""An identity in memory that is kept out of swap and core dumps, and wiped when it is let go.

The key is read straight into that memory and used there by libsodium: no `bytes` object ever holds it.
"""

from __future__ import annotations

import mmap
import os
from typing import Final

from nacl._sodium import ffi, lib

from repram.crypto.people import BOX_SIZE
from repram.errors import IntegrityFailure, LocalError
from repram.ids import KEY_SIZE

_SIGNATURE_SIZE: Final = 64
_SEED: Final = slice(0, 32)
_SIGNING: Final = slice(32, 96)
_OPENING: Final = slice(96, 128)


class HeldIdentity:
    """Signs and opens boxes until it is wiped."""

    def __init__(self, source: int) -> None:
        """Read the seed from a descriptor, which has it and nothing else to give."""
        self._page = mmap.mmap(-1, mmap.PAGESIZE)
        self._memory: memoryview | None = memoryview(self._page)
        # Where a process may lock no memory it goes on without: whoever can swap owns the machine.
        lib.sodium_mlock(_at(self._memory), mmap.PAGESIZE)
        self.public = bytes(KEY_SIZE)
        if not self._fill(source, self._memory):
            self.wipe()
            raise LocalError(f"a seed has {KEY_SIZE} bytes, and that is not what came")

    def _fill(self, source: int, memory: memoryview) -> bool:
        count, seed = 0, memory[_SEED]
        while count < KEY_SIZE and (more := os.readv(source, [seed[count:]])):
            count += more
        public = bytearray(KEY_SIZE)
        signing = _at(memory[_SIGNING])
        lib.crypto_sign_seed_keypair(ffi.from_buffer(public), signing, _at(seed))
        lib.crypto_sign_ed25519_sk_to_curve25519(_at(memory[_OPENING]), signing)
        self.public = bytes(public)
        return count == KEY_SIZE

    def sign(self, message: bytes) -> bytes:
        """A detached signature."""
        signed = bytearray(_SIGNATURE_SIZE + len(message))
        signing = _at(self._held()[_SIGNING])
        lib.crypto_sign(ffi.from_buffer(signed), ffi.NULL, message, len(message), signing)
        return bytes(signed[:_SIGNATURE_SIZE])

    def unbox(self, box: bytes) -> bytes:
        """What is in a box to this identity; IntegrityFailure when it is to somebody else."""
        if len(box) != BOX_SIZE:
            raise IntegrityFailure(f"a box has {BOX_SIZE} bytes, not {len(box)}")
        opening, image, secret = (
            _at(self._held()[_OPENING]),
            bytearray(KEY_SIZE),
            bytearray(KEY_SIZE),
        )
        lib.crypto_scalarmult_base(ffi.from_buffer(image), opening)
        into = ffi.from_buffer(secret)
        if lib.crypto_box_seal_open(into, box, len(box), ffi.from_buffer(image), opening):
            raise IntegrityFailure("the box was sealed to another person's key")
        return bytes(secret)

    def wipe(self) -> None:
        """Overwrite it and give the memory back; it holds nothing from then on."""
        if self._memory is not None:
            lib.sodium_munlock(_at(self._memory), mmap.PAGESIZE)  # fills it with zeros first
            self._memory.release()
            self._memory = None
            self._page.close()

    def _held(self) -> memoryview:
        if self._memory is None:
            raise LocalError("the identity was wiped")
        return self._memory


def _at(view: memoryview) -> object:
    return ffi.from_buffer(view)
