"""Chunks of an upload: they join to the content and its padding, however the source gives its bytes."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repram.content.chunker import CHUNK_SIZE, Chunker, lengths
from repram.content.padding import padme

SIZES = [
    0,
    1,
    9,
    CHUNK_SIZE - 1,
    CHUNK_SIZE,
    CHUNK_SIZE + 1,
    2 * CHUNK_SIZE,
    9 * CHUNK_SIZE + 12_345,
]


class Drip:
    """A pipe that gives what it likes, never more than asked for."""

    def __init__(self, content: bytes, pieces: list[int]) -> None:
        self._content = io.BytesIO(content)
        self._pieces = pieces

    def read(self, limit: int, /) -> bytes:
        piece = self._pieces.pop() if self._pieces else limit
        return self._content.read(min(limit, piece))


@pytest.mark.parametrize("size", SIZES)
def test_blocks_join_to_the_content_and_zeros_up_to_the_padded_total(size: int) -> None:
    content = bytes(index % 251 for index in range(size))
    chunker = Chunker(io.BytesIO(content))
    blocks = [bytes(block) for block in chunker]
    assert b"".join(blocks) == content + bytes(padme(size) - size)
    assert chunker.size == size
    assert all(len(block) == CHUNK_SIZE for block in blocks[:-1])
    assert [len(block) for block in blocks] == list(lengths(size))


@given(st.lists(st.integers(1, CHUNK_SIZE), max_size=40))
def test_short_reads_change_nothing(pieces: list[int]) -> None:
    content = bytes(2 * CHUNK_SIZE + 77)
    assert [len(block) for block in Chunker(Drip(content, pieces))] == list(lengths(len(content)))


@given(st.integers(0, 1 << 36))
def test_lengths_add_up_to_the_padded_total(size: int) -> None:
    assert sum(lengths(size)) == padme(size)
