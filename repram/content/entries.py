"""What a packed tree consists of: one header an entry, behind that of a file its content.

A header comes from somebody else: `Order` tells which of them may become something in a folder here.
"""

from __future__ import annotations

import struct
from enum import StrEnum
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta

from repram.content.names import MAX_NAME_BYTES
from repram.crypto.xchacha import Bytes
from repram.errors import IntegrityFailure

LENGTH: Final = struct.Struct(">H")
MAX_PATH: Final = 4_096  # bytes, of a path and of where a link leads
MAX_DEPTH: Final = 256  # folders in folders: each costs a reader a file descriptor
MAX_MODE: Final = 0o777


class Kind(StrEnum):
    """What an entry becomes."""

    FOLDER = "d"
    FILE = "f"
    LINK = "l"


class Entry(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One header. Decoding bounds nothing but the size: `Order` refuses one entry and the rest arrives."""

    kind: str
    path: bytes
    mode: int
    modified: int  # Unix nanoseconds
    size: Annotated[int, Meta(ge=0, lt=1 << 53)] = 0  # of the content that follows
    target: bytes = b""  # of a link

    def encode(self) -> bytes:
        """The header with its length before it."""
        encoded = _encoder.encode(self)
        return LENGTH.pack(len(encoded)) + encoded


class LeftOut(NamedTuple):
    """An entry that was not packed, or not made, and why."""

    path: bytes
    why: str


def decode(encoded: Bytes) -> Entry:
    """A header without its length; what is none ends the tree, as nothing tells where the next begins."""
    try:
        return _decoder.decode(encoded)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise IntegrityFailure("the tree has an entry that this version cannot read") from None


class Order:
    """Entries come depth first, names sorted by their bytes: so none comes twice, or before its folder."""

    def __init__(self) -> None:
        self.folder: list[bytes] = []  # the names that lead to the folder that is open
        self.last: list[bytes] = []  # and to the entry that was taken last

    def refusal(self, entry: Entry) -> str | None:
        """Why this entry may not become anything; None when it may."""
        parts = entry.path.split(b"/")
        why = _misplaced(parts) or _malformed(entry)
        if why is not None:
            return why
        if parts <= self.last:
            return "comes twice, or out of order"
        if self.folder[: len(parts) - 1] != parts[:-1]:
            return "lies in no folder"
        return None

    def take(self, entry: Entry) -> None:
        """This one has become something."""
        self.last = entry.path.split(b"/")
        self.folder = self.last if entry.kind == Kind.FOLDER else self.last[:-1]


def leads_out(path: bytes, target: bytes) -> bool:
    """Whether a link could lead out of the root that it lies in: its `..` come first, and stay inside.

    When every link is so, no chain of them leads out either.
    """
    steps = [step for step in target.split(b"/") if step not in {b"", b"."}]
    ups = next((place for place, step in enumerate(steps) if step != b".."), len(steps))
    return target.startswith(b"/") or ups >= path.count(b"/") or b".." in steps[ups:]


def _misplaced(parts: list[bytes]) -> str | None:
    for part in parts:
        if part in {b"", b".", b".."} or b"\0" in part or len(part) > MAX_NAME_BYTES:
            return "has a name that is none, or leads elsewhere"
    if len(parts) > MAX_DEPTH or sum(map(len, parts)) + len(parts) > MAX_PATH:
        return "lies too deep in folders"
    return None


def _malformed(entry: Entry) -> str | None:
    if entry.kind not in _KINDS:
        return "is neither file, folder nor link"
    if not 0 <= entry.mode <= MAX_MODE or not -(1 << 63) <= entry.modified < 1 << 63:
        return "has a mode or time that is none"
    if entry.kind != Kind.FILE and entry.size:
        return "has content, and is no file"
    if (entry.kind == Kind.LINK) != (0 < len(entry.target) < MAX_PATH):
        return "is a link to nowhere, or no link and leads somewhere"
    if entry.kind == Kind.LINK and (b"\0" in entry.target or leads_out(entry.path, entry.target)):
        return "is a link that leads out of the folder"
    return None


_KINDS: Final = frozenset(Kind)
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Entry)
