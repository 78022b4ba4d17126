"""The body of a file or tree: where its chunks are and how they open, in pages over pages.

A body has one form for each size: pages are full but for the last of each level, and the head holds
what is left at the lowest depth at which it fits. So a reader knows every count and length beforehand.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from repram.content.chunker import CHUNK_SIZE
from repram.content.padding import padme
from repram.crypto.xchacha import KEY_SIZE, Bytes
from repram.errors import IntegrityFailure, UsageError
from repram.ids import ItemId, format_size

PAGE_REFS: Final = 8_192
HEAD_REFS: Final = 32
MAX_DEPTH: Final = 3
MAX_SIZE: Final = 1 << 53
_LAYOUT: Final = struct.Struct(">32s32sI")
REF_SIZE: Final = _LAYOUT.size


class Ref(NamedTuple):
    """Where one chunk or page is, how it opens, and how long its plaintext is."""

    id: bytes
    key: bytes
    length: int

    def __repr__(self) -> str:
        return f"Ref({ItemId(self.id)}, {self.length} bytes)"


@dataclass(frozen=True, slots=True)
class Body:
    """What a head says of the content: at depth 0 the chunks, above it pages of what is one below."""

    depth: int
    refs: tuple[Ref, ...]


Fetch: TypeAlias = Callable[[Ref], Awaitable[Bytes]]


def check_size(size: int) -> None:
    """Refuse what no body describes, before anything is sent where the size is known."""
    if size > MAX_SIZE:
        raise UsageError(
            f"{format_size(size)} is more than the {format_size(MAX_SIZE)} that a link can hold"
        )


def encode(refs: Iterable[Ref]) -> bytes:
    """Refs one behind the other: what stands in a head, and what is sealed as a page."""
    return b"".join(_LAYOUT.pack(*ref) for ref in refs)


def decode(encoded: Bytes) -> tuple[Ref, ...]:
    """At most a page of refs, each of something that a node can hold."""
    if len(encoded) % REF_SIZE or len(encoded) > PAGE_REFS * REF_SIZE:
        raise IntegrityFailure("a list of chunks is cut off, or longer than a page")
    refs = tuple(map(Ref._make, _LAYOUT.iter_unpack(encoded)))
    if not all(0 < ref.length <= CHUNK_SIZE for ref in refs):
        raise IntegrityFailure("a list of chunks has one of a length that none has")
    return refs


def without_keys(encoded: bytes) -> bytes:
    """The same refs, with which nothing is opened any more."""
    forgotten = bytes(KEY_SIZE)
    return encode(Ref(each, forgotten, size) for each, _, size in _LAYOUT.iter_unpack(encoded))


class BodyBuilder:
    """Takes the chunks in order; `seal` is given each page that fills, and says where it is."""

    def __init__(self, seal: Callable[[bytes], Ref]) -> None:
        self._seal = seal
        self._levels: list[list[Ref]] = [[]]

    def add(self, ref: Ref) -> None:
        """The next chunk."""
        self._add(0, ref)

    def finish(self) -> Body:
        """Seal what is left but for what the head takes."""
        depth = 0
        while depth + 1 < len(self._levels) or len(self._levels[depth]) > HEAD_REFS:
            self._turn(depth)
            depth += 1
        return Body(depth, tuple(self._levels[depth]))

    def _add(self, level: int, ref: Ref) -> None:
        self._levels[level].append(ref)
        if len(self._levels[level]) == PAGE_REFS:
            self._turn(level)

    def _turn(self, level: int) -> None:
        """Make a page of a level's refs, and a ref of the page one level up."""
        refs, self._levels[level] = self._levels[level], []
        if level + 1 == len(self._levels):
            self._levels.append([])
        if refs:
            self._add(level + 1, self._seal(encode(refs)))


def check_body(body: Body, size: int) -> None:
    """Refuse a head whose depth, or the number or lengths of whose refs, are not those of the size."""
    chunks = _chunks(size)
    depth = 0
    while _refs_at(chunks, depth) > HEAD_REFS:
        depth += 1
    if (body.depth, len(body.refs)) != (depth, _refs_at(chunks, depth)):
        raise IntegrityFailure("the chunks do not add up to the size")
    _check_lengths(body.refs, depth, 0, size)


async def walk(body: Body, size: int, fetch: Fetch, *, first: int = 0) -> AsyncIterator[Ref]:
    """The chunks in order from number `first` on; `fetch` brings the plaintext of a page.

    Every page is checked before anything of it is handed out.
    """
    check_body(body, size)
    async for ref in _walk(body.refs, body.depth, 0, size=size, fetch=fetch, first=first):
        yield ref


async def _walk(
    refs: tuple[Ref, ...], depth: int, start: int, *, size: int, fetch: Fetch, first: int
) -> AsyncIterator[Ref]:
    """The chunks beneath `refs`, the first of which is, or begins with, chunk `start`."""
    span = PAGE_REFS**depth
    for place in range(max(0, first - start) // span, len(refs)):
        if depth == 0:
            yield refs[place]
            continue
        page = await fetch(refs[place])
        if len(page) != refs[place].length:
            raise IntegrityFailure("a list of chunks is not as long as the one above it says")
        below, begins = decode(page), start + place * span
        _check_lengths(below, depth - 1, begins, size)
        async for ref in _walk(below, depth - 1, begins, size=size, fetch=fetch, first=first):
            yield ref


def _check_lengths(refs: tuple[Ref, ...], depth: int, start: int, size: int) -> None:
    for place, ref in enumerate(refs):
        if ref.length != _length(depth, start + place * PAGE_REFS**depth, size):
            raise IntegrityFailure("a chunk is not as long as the one at its place has to be")


def _length(depth: int, start: int, size: int) -> int:
    """How long the plaintext is of what stands at `depth` and begins with chunk `start`."""
    if depth == 0:
        return min(CHUNK_SIZE, padme(size) - start * CHUNK_SIZE)
    return REF_SIZE * min(PAGE_REFS, _refs_at(_chunks(size) - start, depth - 1))


def _chunks(size: int) -> int:
    return -(-padme(size) // CHUNK_SIZE)


def _refs_at(chunks: int, depth: int) -> int:
    """How many refs at `depth` it takes to reach so many chunks."""
    span: int = PAGE_REFS**depth
    return -(-chunks // span)
