"""The entries of the log, byte by byte; `docs/storage.md` draws them.

The head of an entry (all but the body) stands under one checksum keyed with the store's id, so that neither
another store's entries nor bytes that merely look like one pass. Bodies have their own tags.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, NamedTuple

from blake3 import blake3

from repram.crypto.atrest import WRAPPED_SIZE
from repram.crypto.xchacha import TAG_SIZE
from repram.storaged.tier import KEY_MAX, META_MAX, Bytes

MAGIC: Final = b"\xf3rp\x01"
BODY_MAX: Final = 16 << 20
FORMER_MAX: Final = 32
NUMBER_MAX: Final = 1 << 63  # entries are counted, so that no store comes near it
_FIXED: Final = struct.Struct(">4sBBBxHIQQQQQIQ")
_PAIR: Final = struct.Struct(">IQ")
_CHECKSUM_SIZE: Final = 16
FIXED_SIZE: Final = _FIXED.size + _CHECKSUM_SIZE
HEAD_MAX: Final = FIXED_SIZE + KEY_MAX + META_MAX + WRAPPED_SIZE + FORMER_MAX * _PAIR.size


class Kind(IntEnum):
    """What an entry says of its key."""

    PUT = 1  # this fact is kept from now on; its body follows
    COPY = 2  # this fact is still kept; its body stands here from now on
    AMEND = 3  # this fact is still kept; its body stands where `body_at` says
    DROP = 4  # everything said of this key before number `before` is void
    MARK = 5  # says nothing but that all before it has been synced


_KINDS: Final = frozenset(int(kind) for kind in Kind)


class Pair(NamedTuple):
    """A bucket and which of its keys."""

    bucket: int
    generation: int


class Entry(NamedTuple):
    """One entry's head."""

    kind: Kind
    key: bytes
    meta: bytes
    size: int  # of the body
    number: int  # each entry has the next
    group: int  # the number of the first entry that was synced together with this one
    until: int
    horizon: (
        int  # no entry of this key has ever had a later `until`; as long has this one to be kept
    )
    generation: (
        int  # of the key of the bucket of `until`, which wraps the item key; for a DROP: `before`
    )
    body_at: tuple[int, int]  # segment and offset; for an AMEND
    wrapped: Bytes
    former: tuple[Pair, ...]  # other bucket keys that ever wrapped the item key

    @property
    def has_body_here(self) -> bool:
        """Whether the sealed body follows."""
        return self.kind in (Kind.PUT, Kind.COPY) and self.size > 0

    @property
    def head_size(self) -> int:
        """Bytes before the body."""
        return (
            FIXED_SIZE
            + len(self.key)
            + len(self.meta)
            + len(self.wrapped)
            + _PAIR.size * len(self.former)
        )

    @property
    def full_size(self) -> int:
        """Bytes with the body, if it follows."""
        return self.head_size + (sealed_size(self.size) if self.has_body_here else 0)


def sealed_size(size: int) -> int:
    """What a body takes in the log."""
    return size + TAG_SIZE if size else 0


def pack(entry: Entry, store_id: bytes) -> bytes:
    """The head of an entry as it is written."""
    fixed = _FIXED.pack(
        MAGIC,
        entry.kind,
        len(entry.former),
        len(entry.key),
        len(entry.meta),
        entry.size,
        entry.number,
        entry.group,
        entry.until,
        entry.horizon,
        entry.generation,
        *entry.body_at,
    )
    pairs = b"".join(_PAIR.pack(*pair) for pair in entry.former)
    rest = entry.key + entry.meta + entry.wrapped + pairs
    return fixed + _checksum(fixed + rest, store_id) + rest


def parse(window: memoryview, store_id: bytes) -> Entry | None:
    """The entry whose head begins here, or None: what stands here is none, or is damaged or cut off."""
    if len(window) < FIXED_SIZE or bytes(window[: len(MAGIC)]) != MAGIC:
        return None
    _, kind, pairs, key_size, meta_size, size, *numbers = _FIXED.unpack_from(window)
    if kind not in _KINDS or pairs > FORMER_MAX or size > BODY_MAX:
        return None
    if key_size > KEY_MAX or meta_size > META_MAX:
        return None
    wrapped_size = WRAPPED_SIZE if size and kind != Kind.DROP else 0
    end = FIXED_SIZE + key_size + meta_size + wrapped_size + pairs * _PAIR.size
    if len(window) < end:
        return None
    fixed, rest = bytes(window[: _FIXED.size]), bytes(window[FIXED_SIZE:end])
    if bytes(window[_FIXED.size : FIXED_SIZE]) != _checksum(fixed + rest, store_id):
        return None
    key, meta = rest[:key_size], rest[key_size : key_size + meta_size]
    wrapped = rest[key_size + meta_size : key_size + meta_size + wrapped_size]
    former = rest[key_size + meta_size + wrapped_size :]
    number, group, until, horizon, generation, segment, offset = numbers
    if number > NUMBER_MAX:
        return None  # there would be none left for what is to come
    return Entry(
        Kind(kind),
        key,
        meta,
        size,
        number,
        group,
        until,
        horizon,
        generation,
        (segment, offset),
        wrapped,
        tuple(Pair(*pair) for pair in _PAIR.iter_unpack(former)),
    )


def bound_to(key: bytes, pair: Pair) -> bytes:
    """What a wrapped item key is tied to: no other fact and no other bucket key opens it."""
    return _PAIR.pack(*pair) + key


def _checksum(head: bytes, store_id: bytes) -> bytes:
    return blake3(head, key=store_id).digest(_CHECKSUM_SIZE)
