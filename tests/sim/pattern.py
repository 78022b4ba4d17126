"""Bytes that follow from a seed, made block by block: a hundred megabytes need no memory."""

from __future__ import annotations

from hashlib import sha256
from random import Random

BLOCK = 65_536


class Pattern:
    """Deterministic bytes, taken from the front, with a running hash over what was taken."""

    def __init__(self, seed: str, size: int) -> None:
        self.size = size
        self.taken = 0
        self._random = Random(seed)
        self._block = memoryview(b"")
        self._hash = sha256()

    def take(self, limit: int) -> memoryview:
        """The next bytes: `limit` at most, often fewer, none at the end."""
        limit = min(limit, self.size - self.taken)
        if limit and not self._block:
            self._block = memoryview(self._random.randbytes(BLOCK))
        taken, self._block = self._block[:limit], self._block[limit:]
        self.taken += len(taken)
        self._hash.update(taken)
        return taken

    def first_difference(self, data: bytes) -> int | None:
        """Take as many bytes as `data` has; the offset in the stream of the first that differs."""
        rest = memoryview(data)
        while rest:
            start, expected = self.taken, self.take(len(rest))
            if not expected:
                return start
            got, rest = rest[: len(expected)], rest[len(expected) :]
            if got != expected:
                pairs = enumerate(zip(got, expected, strict=True))
                return start + next(at for at, (one, other) in pairs if one != other)
        return None

    def digest(self) -> str:
        """The hash of all that was taken so far."""
        return self._hash.hexdigest()
