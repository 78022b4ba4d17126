"""One version of a record as a node keeps it, and what keeps older ones from coming back."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from repram.proto.messages import NewRecord, Outcome, Record
from repram.storaged.holdings.batch import Batch
from repram.storaged.holdings.book import Entry
from repram.storaged.tier import Bytes, Fact

RECORD: Final = b"r"
FLOOR: Final = b"v"

_HEAD: Final = struct.Struct(">32sQIHB")  # label, version, TTL, how far ahead it was signed, bits
_LABEL_END: Final = 32
_VERSION_END: Final = 40
_REMOVED: Final = 0x40
_INDEX: Final = 0x3F
_META: Final = struct.Struct(
    ">32s64sBB"
)  # owner, signature, versions under it, length of the account
_FLOOR_META: Final = struct.Struct(">32sQ")
_HASH: Final = 32


class RecordEntry(Entry, gc=False):
    """The version that there is; `until` is the deadline that was signed."""

    head: bytes  # packed, with the note behind: a million of these have to fit
    batch: Batch

    def read(self) -> Version:
        """What the head says."""
        label, version, ttl, ahead, bits = _HEAD.unpack_from(self.head)
        over = self.until - ahead
        return Version(label, version, ttl, over, bool(bits & _REMOVED), bits & _INDEX)

    @property
    def note(self) -> bytes:
        """Its name, sealed."""
        return self.head[_HEAD.size :]

    @property
    def note_size(self) -> int:
        """How long that is."""
        return len(self.head) - _HEAD.size

    @property
    def version(self) -> int:
        """Which one it is."""
        return int.from_bytes(self.head[_LABEL_END:_VERSION_END])

    @property
    def index(self) -> int:
        """Its place in the batch."""
        return self.head[_HEAD.size - 1] & _INDEX

    @property
    def removed(self) -> bool:
        """Whether this version says that there is no record."""
        return bool(self.head[_HEAD.size - 1] & _REMOVED)

    def meta(self) -> bytes:
        """The head, and all that proves it."""
        batch, index = self.batch, self.index
        fixed = _META.pack(batch.owner, batch.signature, batch.count, len(batch.account))
        return b"".join((fixed, batch.account, *batch.proof(index), self.head))


class Version(NamedTuple):
    """A head, unpacked."""

    label: bytes
    version: int
    ttl: int
    over: int  # from when on it is not there any more: no later than its deadline
    removed: bool
    place: int  # in its batch


class Floor(Entry, gc=False):
    """Of a record: nothing up to this version comes back, for as long as it could."""

    version: int
    owner: bytes
    account: bytes

    def meta(self) -> bytes:
        """Whose it is, and the version."""
        return _FLOOR_META.pack(self.owner, self.version) + self.account


def head_of(new: NewRecord, ahead: int, index: int) -> bytes:
    """What is kept of a new version beside its deadline and value."""
    bits = index | (_REMOVED if new.removed else 0)
    return _HEAD.pack(new.label, new.version, new.ttl, ahead, bits) + new.note


def held(version: int, over: int, ttl: int, now: int) -> Outcome:
    """It is held, since when and for how long."""
    return Outcome(0, version, over - ttl, ttl, over - now)


def told(
    entry: RecordEntry, version: Version, value: Bytes, now: int, *, bare: bool = False
) -> Record:
    """A version with all that proves it, unless that is not wanted; without its value, when that comes behind
    as a body."""
    label, number, ttl, over, removed, place = version
    batch, size = entry.batch, 0 if value else entry.size
    return Record(
        batch.owner,
        label,
        number,
        entry.until,
        over - ttl,
        ttl,
        over - now,
        removed,
        entry.note,
        bytes(value),
        size,
        place,
        () if bare else batch.proof(place),
        b"" if bare else batch.signature,
    )


def read_meta(meta: bytes) -> tuple[Batch, list[bytes], bytes]:
    """The batch that a version is of, so far empty; its proof; and its head."""
    owner, signature, count, length = _META.unpack_from(meta)
    proof_at = _META.size + length
    head_at = proof_at + (count - 1).bit_length() * _HASH
    proof = [meta[at : at + _HASH] for at in range(proof_at, head_at, _HASH)]
    account = meta[_META.size : proof_at]
    return Batch(owner, account, signature, count), proof, meta[head_at:]


def read_floor(fact: Fact) -> Floor:
    """A floor from before a restart."""
    owner, version = _FLOOR_META.unpack_from(fact.meta)
    account = fact.meta[_FLOOR_META.size :]
    return Floor(fact.key, fact.until, 0, fact.place, version, owner, account)
