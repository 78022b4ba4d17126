"""One entry of a feed, the feed's head, and the proof of a fork, as a node keeps them."""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from repram.crypto import statements
from repram.crypto.statements import EntryTerms
from repram.proto import messages
from repram.storaged.holdings.book import Entry
from repram.storaged.tier import Bytes, Fact

HEAD: Final = b"h"
ENTRY: Final = b"n"
FORK: Final = b"k"

_SIGNED: Final = struct.Struct(">32sQI64s")  # previous, deadline, TTL, signature
_ENTRY_META: Final = struct.Struct(">32s32s")  # owner, label
_HEAD_META: Final = struct.Struct(">32s32sQ32s")  # owner, label, number, hash
_ID_END: Final = 33
_NUMBER: Final = 8


class Whose(msgspec.Struct, gc=False, frozen=True):
    """An owner's feed, as it is charged; one object for all that belongs to it."""

    owner: bytes
    label: bytes
    account: bytes


class FeedEntry(Entry, gc=False):
    """One entry; its data are the body."""

    signed: bytes
    whose: Whose

    @property
    def feed(self) -> bytes:
        """The id of its feed."""
        return self.key[1:_ID_END]

    @property
    def number(self) -> int:
        """Its place in the feed."""
        return int.from_bytes(self.key[_ID_END:])

    @property
    def previous(self) -> bytes:
        """What it follows."""
        return self.signed[: statements.HASH_SIZE]

    def terms(self, data: Bytes) -> EntryTerms:
        """What was signed."""
        previous, deadline, ttl, _ = _SIGNED.unpack(self.signed)
        return EntryTerms(self.feed, self.number, previous, deadline, ttl, data)

    def told(self, data: Bytes, now: int) -> messages.Entry:
        """The entry with all that proves it."""
        previous, deadline, ttl, signature = _SIGNED.unpack(self.signed)
        created, remaining = self.until - ttl, max(0, self.until - now)
        return messages.Entry(
            self.number, previous, deadline, ttl, created, remaining, signature, bytes(data)
        )

    def meta(self) -> bytes:
        """Whose it is, and what was signed; the key says the rest."""
        whose = self.whose
        return _ENTRY_META.pack(whose.owner, whose.label) + self.signed + whose.account


class FeedHead(Entry, gc=False):
    """The last entry's number and hash. Outlives the entries, so that none of them returns."""

    whose: Whose
    number: int
    hash: bytes

    def meta(self) -> bytes:
        """All of it."""
        whose = self.whose
        return _HEAD_META.pack(whose.owner, whose.label, self.number, self.hash) + whose.account


class ForkProof(Entry, gc=False):
    """The body is two entries of one number, both signed."""

    whose: Whose

    def meta(self) -> bytes:
        """Whose it is."""
        return _ENTRY_META.pack(self.whose.owner, self.whose.label) + self.whose.account


def entry_key(feed: bytes, number: int) -> bytes:
    """Under which a feed's entry is kept."""
    return ENTRY + feed + number.to_bytes(_NUMBER)


def signed_part(request: messages.Append) -> bytes:
    """What was signed of an entry, but for what its key and its body say."""
    return _SIGNED.pack(request.previous, request.deadline, request.ttl, request.signature)


def read_entry(fact: Fact) -> FeedEntry:
    """An entry from before a restart."""
    owner, label = _ENTRY_META.unpack_from(fact.meta)
    end = _ENTRY_META.size + _SIGNED.size
    whose = Whose(owner, label, fact.meta[end:])
    signed = fact.meta[_ENTRY_META.size : end]
    return FeedEntry(fact.key, fact.until, fact.size, fact.place, signed, whose)


def read_head(fact: Fact) -> FeedHead:
    """A head from before a restart."""
    owner, label, number, last = _HEAD_META.unpack_from(fact.meta)
    whose = Whose(owner, label, fact.meta[_HEAD_META.size :])
    return FeedHead(fact.key, fact.until, 0, fact.place, whose, number, last)


def read_fork(fact: Fact) -> ForkProof:
    """A proof from before a restart."""
    owner, label = _ENTRY_META.unpack_from(fact.meta)
    whose = Whose(owner, label, fact.meta[_ENTRY_META.size :])
    return ForkProof(fact.key, fact.until, fact.size, fact.place, whose)
