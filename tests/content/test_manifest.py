"""Manifests: what goes in comes out, and nothing that a hostile writer puts in gets past."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repram.content import manifest as manifests
from repram.content.chunker import CHUNK_SIZE, lengths
from repram.content.manifest import ChunkRef, Manifest
from repram.content.names import portable_name
from repram.crypto import sealing
from repram.errors import IntegrityFailure, LocalError, UsageError

SECRET = bytes(range(32))


def manifest(of: int = 3 * CHUNK_SIZE, **changed: object) -> Manifest:
    """A manifest of a file of `of` bytes; what is changed afterwards may no longer fit together."""
    chunks = tuple(
        ChunkRef(bytes([number % 256]) * 32, bytes([number % 255]) * 32, length)
        for number, length in enumerate(lengths(of))
    )
    made = Manifest(
        manifests.VERSION, "report.pdf", of, 1_700_000_000_000, 0o644, 1_700_000_060_000, chunks
    )
    return msgspec.structs.replace(made, **changed)


def reopen(sealed: bytes, secret: bytes = SECRET) -> Manifest:
    return manifests.open_sealed(sealing.id_of(sealed), sealed, secret)


def seal_anything(content: object) -> bytes:
    """As a hostile writer would: any content under the right key, in the right frame."""
    encoded = msgspec.msgpack.encode(content)
    page = len(encoded).to_bytes(4, "big") + encoded
    return sealing.seal_manifest(sealing.manifest_key(SECRET), page)


@given(st.integers(0, 20 * CHUNK_SIZE), st.text(min_size=1, max_size=60))
def test_a_manifest_comes_back(size: int, name: str) -> None:
    name = portable_name(name)
    assert reopen(manifests.seal(manifest(size, name=name), SECRET)) == manifest(size, name=name)


def test_its_size_tells_the_number_of_chunks_alone() -> None:
    sizes = {
        len(manifests.seal(manifest(CHUNK_SIZE, name=name), SECRET))
        for name in ("a", "ü" * 127, "x" * 255)
    }
    assert len(sizes) == 1
    old, new = (manifests.seal(manifest(modified=when), SECRET) for when in (0, 1 << 50))
    assert len(old) == len(new)


def test_the_largest_page_fits_a_chunk_item() -> None:
    largest = manifests.seal(manifest(manifests.MAX_SIZE, name="x" * 255), SECRET)
    assert len(largest) == manifests.max_sealed_size() <= 4 << 20
    assert reopen(largest).size == manifests.MAX_SIZE


def test_a_file_too_large_for_one_page_is_refused_and_the_limit_named() -> None:
    manifests.check_size(manifests.MAX_SIZE)
    with pytest.raises(UsageError, match=r"16\.0 GiB"):
        manifests.check_size(manifests.MAX_SIZE + 1)


def test_another_secret_does_not_open_it() -> None:
    with pytest.raises(IntegrityFailure):
        reopen(manifests.seal(manifest(), SECRET), bytes(32))


def test_reordered_dropped_and_added_chunks_would_be_another_manifest() -> None:
    """A node cannot: the list is sealed. A writer who drops or adds one is caught by the size."""
    whole = manifest()
    for chunks in (whole.chunks[:-1], (*whole.chunks, whole.chunks[0]), ()):
        with pytest.raises(IntegrityFailure, match="do not add up"):
            reopen(seal_anything(msgspec.structs.replace(whole, chunks=chunks)))


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a/b", "..", "a\0"])
def test_a_name_that_is_a_path_is_refused(name: str) -> None:
    with pytest.raises(IntegrityFailure, match="path"):
        reopen(seal_anything(manifest(name=name)))
    with pytest.raises(LocalError):
        manifests.seal(manifest(name=name), SECRET)


@pytest.mark.parametrize(
    "changed",
    [
        {"version": 2},
        {"size": -1},
        {"size": 1 << 62},
        {"mode": 0o4755},
        {"modified": -1},
        {"expires": 1 << 60},
        {"name": ""},
        {"name": "x" * 256},
        {"chunks": (ChunkRef(bytes(31), bytes(32), 1),)},
        {"chunks": (ChunkRef(bytes(32), bytes(33), 1),)},
        {"chunks": (ChunkRef(bytes(32), bytes(32), 0),)},
        {"chunks": (ChunkRef(bytes(32), bytes(32), CHUNK_SIZE + 1),)},
        {"chunks": (ChunkRef(bytes(32), bytes(32), 1),) * (manifests.MAX_CHUNKS + 1)},
    ],
    ids=lambda changed: f"{next(iter(changed))}",
)
def test_what_is_out_of_bounds_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(IntegrityFailure):
        reopen(seal_anything(manifest(**changed)))


@given(st.binary(max_size=300))
def test_arbitrary_pages_under_the_right_key_raise_nothing_else(page: bytes) -> None:
    with pytest.raises(IntegrityFailure):
        reopen(sealing.seal_manifest(sealing.manifest_key(SECRET), page))


def test_no_repr_tells_a_chunk_key() -> None:
    assert "key" not in repr(manifest().chunks[0])
