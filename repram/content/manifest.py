"""What a file is made of: name, size, expiry, and each chunk's id and key, sealed as one page.

One page is for now: files of any size come with body pages under a small signed head.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from repram.content.chunker import CHUNK_SIZE, lengths
from repram.content.names import is_safe_name
from repram.content.padding import padme
from repram.crypto import sealing
from repram.crypto.xchacha import Bytes
from repram.errors import IntegrityFailure, LocalError, UsageError
from repram.ids import ID_SIZE, ItemId, format_size

VERSION: Final = 1
MAX_CHUNKS: Final = 16_384
MAX_SIZE: Final = MAX_CHUNKS * CHUNK_SIZE
MAX_MODE: Final = 0o777
_LENGTH_SIZE: Final = 4
_HEAD_ROOM: Final = (
    1_024  # all but the chunks: fixed, so that a page's size does not tell a name's length
)
_CHUNK_ROOM: Final = (
    74  # array head, two 32-byte strings with theirs, and a length of up to five bytes
)

Size = Annotated[int, Meta(ge=0, le=MAX_SIZE)]
Milliseconds = Annotated[int, Meta(ge=0, le=1 << 53)]


class ChunkRef(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Where one block is and how it opens."""

    id: Annotated[bytes, Meta(min_length=ID_SIZE, max_length=ID_SIZE)]
    key: Annotated[bytes, Meta(min_length=sealing.KEY_SIZE, max_length=sealing.KEY_SIZE)]
    length: Annotated[int, Meta(ge=1, le=CHUNK_SIZE)]

    def __repr__(self) -> str:
        return f"ChunkRef({ItemId(self.id)}, {self.length} bytes)"


class Manifest(msgspec.Struct, frozen=True):
    """One version of one file."""

    version: int
    name: Annotated[str, Meta(min_length=1, max_length=255)]
    size: Size
    modified: Milliseconds
    mode: Annotated[int, Meta(ge=0, le=MAX_MODE)]
    expires: Milliseconds
    chunks: Annotated[tuple[ChunkRef, ...], Meta(max_length=MAX_CHUNKS)]


def check_size(size: int) -> None:
    """Refuse what one page cannot describe, before anything is sent where the size is known."""
    if padme(size) > MAX_SIZE:
        raise UsageError(
            f"{format_size(size)} is more than the {format_size(MAX_SIZE)} that this version can upload",
            hint="Split the file: `split -b 10G FILE` makes parts that `cat` joins again.",
        )


def seal(manifest: Manifest, link_secret: bytes) -> bytes:
    """The page as a node holds it; its length follows from the padded size of the file alone."""
    if not is_safe_name(manifest.name):
        raise LocalError("a manifest names a file, not a path")
    encoded = msgspec.msgpack.encode(manifest)
    page = len(encoded).to_bytes(_LENGTH_SIZE, "big") + encoded
    padding = bytes(_page_size(len(manifest.chunks)) - len(page))
    return sealing.seal_manifest(sealing.manifest_key(link_secret), page + padding)


def open_sealed(item: ItemId, sealed: Bytes, link_secret: bytes) -> Manifest:
    """Verify, decrypt and check everything that a hostile writer may have put into it."""
    page = bytes(sealing.open_manifest(sealing.manifest_key(link_secret), item, sealed))
    length = int.from_bytes(page[:_LENGTH_SIZE], "big")
    try:
        manifest = _decoder.decode(page[_LENGTH_SIZE : _LENGTH_SIZE + length])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise IntegrityFailure(
            "the manifest opens, but is not one that this version reads",
            hint="Update repram, or ask the sender which version made the link.",
        ) from None
    _check(manifest)
    return manifest


def max_sealed_size() -> int:
    """The largest sealed page; a reader asks for no more."""
    return _page_size(MAX_CHUNKS) + sealing.MANIFEST_OVERHEAD


def _page_size(chunks: int) -> int:
    return _LENGTH_SIZE + _HEAD_ROOM + chunks * _CHUNK_ROOM


def _check(manifest: Manifest) -> None:
    if manifest.version != VERSION:
        raise IntegrityFailure(
            f"the manifest is of version {manifest.version}; this repram reads {VERSION}",
            hint="Update repram.",
        )
    if not is_safe_name(manifest.name):
        raise IntegrityFailure(
            "the manifest names a path instead of a file", hint="Do not trust who made this link."
        )
    if [chunk.length for chunk in manifest.chunks] != list(lengths(manifest.size)):
        raise IntegrityFailure("the manifest's chunks do not add up to the file's size")


_decoder = msgspec.msgpack.Decoder(Manifest)
