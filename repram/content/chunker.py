"""One-shot uploads: fixed chunks over the content and its padding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

from repram.content.padding import padme

CHUNK_SIZE: Final = 1 << 20


class Source(Protocol):
    """A binary stream; `read` may return less than asked for, and b"" at the end."""

    def read(self, limit: int, /) -> bytes:
        """Read some bytes."""


class Joined:
    """A Source of pieces, one behind the other."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._ready = bytearray()

    def read(self, limit: int, /) -> bytes:
        """The next bytes: as many as asked for, but at the end."""
        while len(self._ready) < limit and (piece := next(self._pieces, b"")):
            self._ready += piece
        taken = bytes(memoryview(self._ready)[:limit])
        del self._ready[:limit]
        return taken


class Chunker:
    """Iterates over the padded content in blocks of 1 MiB, the last one shorter.

    Only the padded total can be told from the blocks' lengths; `size` is the true one once all is read.
    """

    def __init__(self, source: Source) -> None:
        self.size = 0
        self._source = source

    def __iter__(self) -> Iterator[bytes | bytearray]:
        block = self._read_block()
        while len(block) == CHUNK_SIZE:
            yield block
            block = self._read_block()
        yield from self._padded(block)

    def _padded(self, last: bytes | bytearray) -> Iterator[bytes | bytearray]:
        """The rest of the content, then zeros up to the padded total."""
        missing = padme(self.size) - self.size + len(last)
        while missing:
            length = min(CHUNK_SIZE, missing)
            yield last + bytes(length - len(last))
            missing, last = missing - length, b""

    def _read_block(self) -> bytes | bytearray:
        """A full block, or what is left: pipes give short reads in between."""
        block: bytes | bytearray = self._source.read(CHUNK_SIZE)
        if 0 < len(block) < CHUNK_SIZE:
            block = bytearray(block)
            while len(block) < CHUNK_SIZE and (piece := self._source.read(CHUNK_SIZE - len(block))):
                block += piece
        self.size += len(block)
        return block


def lengths(size: int) -> Iterator[int]:
    """How long the blocks of `size` bytes of content are: a reader checks a manifest by it."""
    missing = padme(size)
    while missing:
        yield min(CHUNK_SIZE, missing)
        missing -= min(CHUNK_SIZE, missing)
