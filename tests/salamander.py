"""One ciphertext that opens under two keys: what an AEAD that does not commit to its key allows.

The tag of ChaCha20-Poly1305 is (P(r) + s) mod 2¹²⁸ with P(r) = Σ (block i + 2¹²⁸)·r^(n+1−i) mod 2¹³⁰ − 5,
where r and s follow from the key. Two keys and one tag give two linear equations in two blocks that the
attacker is free to choose; one tag in sixteen leads to blocks of 128 bits.
"""

from __future__ import annotations

import struct

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from repram.crypto import committed, xchacha

P = (1 << 130) - 5
TOP = 1 << 128
CLAMP = 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF


def two_keys(one: bytes, other: bytes, nonce: bytes, associated: bytes, size: int = 64) -> bytes:
    """`size` bytes and a tag (the first 32 made to fit) that XChaCha20-Poly1305 opens under both keys."""
    body = bytearray(size)
    keys = [one_time(key, nonce) for key in (one, other)]
    for tag in range(1, 1 << 16):
        # the free blocks are the first two of the body: their powers of r are one apart
        rows = []
        for r, s in keys:
            blocks = [
                *padded(associated),
                *padded(bytes(body)),
                struct.pack("<QQ", len(associated), size),
            ]
            first = len(padded(associated))
            powers = [pow(r, len(blocks) - index, P) for index in range(len(blocks))]
            fixed = sum(
                (int.from_bytes(block, "little") + TOP) * power
                for index, (block, power) in enumerate(zip(blocks, powers, strict=True))
                if index not in (first, first + 1)
            )
            rows.append((powers[first], powers[first + 1], ((tag - s) % TOP - fixed) % P))
        (a, b, u), (c, d, v) = rows
        inverse = pow(a * d - b * c, -1, P)
        found = [(u * d - b * v) * inverse % P - TOP, (a * v - u * c) * inverse % P - TOP]
        if all(0 <= each < TOP for each in found):
            body[:32] = b"".join(each.to_bytes(16, "little") for each in found)
            return bytes(body) + tag.to_bytes(16, "little")
    raise AssertionError("no tag in 65,535 fits: the equations are wrong")


def committed_to(one: bytes, other: bytes, nonce: bytes, associated: bytes) -> bytes:
    """The same as `committed.seal` would write it: commitment to the first key, body for both."""
    keys = committed.encryption_key(one), committed.encryption_key(other)
    return committed.commitment(one, nonce, associated) + nonce + two_keys(*keys, nonce, associated)


def one_time(key: bytes, nonce: bytes) -> tuple[int, int]:
    """r and s of Poly1305, from the first block of the stream."""
    subkey = xchacha.hchacha20(key, nonce)
    counter_and_nonce = bytes(4) + bytes(4) + nonce[16:]
    stream = Cipher(ChaCha20(subkey, counter_and_nonce), None).encryptor().update(bytes(32))
    return int.from_bytes(stream[:16], "little") & CLAMP, int.from_bytes(stream[16:], "little")


def padded(data: bytes) -> list[bytes]:
    """Blocks of 16 bytes, the last filled up with zeros."""
    return [data[start : start + 16].ljust(16, b"\0") for start in range(0, len(data), 16)]
