"""Bodies: one form for each size, and nothing that a hostile writer puts into pages gets past."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from repram.content import refs
from repram.content.chunker import CHUNK_SIZE, lengths
from repram.content.padding import padme
from repram.content.refs import HEAD_REFS, MAX_SIZE, PAGE_REFS, REF_SIZE, Body, BodyBuilder, Ref
from repram.errors import IntegrityFailure, UsageError

FEW = 64  # refs a page, where three levels are wanted without a quarter of a million chunks


class Pages:
    """Pages by their ids, as a node would hold them, but in the clear."""

    def __init__(self) -> None:
        self.held: dict[bytes, bytes] = {}
        self.fetched = 0

    def seal(self, page: bytes) -> Ref:
        ref = Ref(blake3(page).digest(), bytes(32), len(page))
        self.held[ref.id] = page
        return ref

    async def fetch(self, ref: Ref) -> bytes:
        self.fetched += 1
        return self.held[ref.id]

    def walked(self, body: Body, size: int, first: int = 0, most: int = 1 << 40) -> list[Ref]:
        async def main() -> list[Ref]:
            found: list[Ref] = []
            async for ref in refs.walk(body, size, self.fetch, first=first):
                found.append(ref)
                if len(found) == most:
                    break
            return found

        return asyncio.run(main())


def chunks_of(size: int) -> Iterator[Ref]:
    for number, length in enumerate(lengths(size)):
        yield Ref(number.to_bytes(32, "big"), bytes(32), length)


def built(size: int, pages: Pages) -> Body:
    builder = BodyBuilder(pages.seal)
    for ref in chunks_of(size):
        builder.add(ref)
    return builder.finish()


@pytest.mark.parametrize(
    ("size", "depth", "in_head", "pages_in_all"),
    [
        (0, 0, 0, 0),
        (1, 0, 1, 0),
        (HEAD_REFS * CHUNK_SIZE, 0, HEAD_REFS, 0),
        (HEAD_REFS * CHUNK_SIZE + 1, 1, 1, 1),
        (PAGE_REFS * CHUNK_SIZE, 1, 1, 1),
        (PAGE_REFS * CHUNK_SIZE + 1, 1, 2, 2),
    ],
)
def test_a_body_comes_back(size: int, depth: int, in_head: int, pages_in_all: int) -> None:
    pages = Pages()
    body = built(size, pages)
    assert (body.depth, len(body.refs), len(pages.held)) == (depth, in_head, pages_in_all)
    refs.check_body(body, size)
    assert sum(ref.length for ref in pages.walked(body, size)) == padme(size)


def test_one_chunk_costs_no_more_pages_than_lie_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refs, "PAGE_REFS", FEW)
    size = HEAD_REFS * FEW * CHUNK_SIZE + 1
    pages = Pages()
    body, chunks = built(size, pages), list(chunks_of(size))
    assert (body.depth, len(body.refs), pages.walked(body, size)) == (2, 1, chunks)
    for number in (0, FEW - 1, FEW, 1_000, len(chunks) - 1):
        pages.fetched = 0
        assert pages.walked(body, size, number, most=1) == [chunks[number]]
        assert pages.fetched == 2
    assert pages.walked(body, size, len(chunks)) == []


def test_what_does_not_fit_the_size_is_refused() -> None:
    size = 3 * CHUNK_SIZE
    whole = built(size, Pages())
    first, *others = whole.refs
    for hostile in (
        (first, first, *others),
        tuple(others),
        (),
        (first._replace(length=1), *others),
        (*others, first._replace(length=CHUNK_SIZE - 1)),
    ):
        with pytest.raises(IntegrityFailure):
            refs.check_body(Body(0, hostile), size)
    for depth in (1, 2, 3):
        with pytest.raises(IntegrityFailure):
            refs.check_body(Body(depth, whole.refs), size)


@pytest.mark.parametrize("change", ["cut", "extended", "a length", "emptied", "one ref less"])
def test_a_page_that_its_writer_changed_is_refused(change: str) -> None:
    size, pages = 40 * CHUNK_SIZE, Pages()
    body = built(size, pages)
    page = pages.held[body.refs[0].id]
    pages.held[body.refs[0].id] = {
        "cut": page[:-1],
        "extended": page + page[:REF_SIZE],
        "a length": page[:-4] + (5).to_bytes(4, "big"),
        "emptied": b"",
        "one ref less": page[:-REF_SIZE],
    }[change]
    with pytest.raises(IntegrityFailure):
        pages.walked(body, size)


@given(st.integers(0, MAX_SIZE))
def test_every_size_has_one_depth(size: int) -> None:
    chunks = -(-padme(size) // CHUNK_SIZE)
    depth = next(d for d in range(4) if chunks <= HEAD_REFS * PAGE_REFS**d)
    with pytest.raises(IntegrityFailure):
        refs.check_body(Body(depth + 1, ()), size)


@given(st.binary(max_size=400))
def test_arbitrary_pages_are_refs_or_refused(page: bytes) -> None:
    with suppress(IntegrityFailure):
        assert refs.encode(refs.decode(page)) == page


def test_a_size_beyond_all_is_refused() -> None:
    refs.check_size(MAX_SIZE)
    with pytest.raises(UsageError):
        refs.check_size(MAX_SIZE + 1)


def test_no_repr_tells_a_chunk_key() -> None:
    assert "key" not in repr(Ref(bytes(32), b"k" * 32, 1))
