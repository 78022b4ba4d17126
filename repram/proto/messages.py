"""What clients and nodes say to each other: frozen, bounded types, msgpack on the wire, parsed once.

Fields are only ever added, at the end and with a default. Times are milliseconds; a deadline is one in
the node's time, which ACCEPT brings. What is signed stands in `repram.crypto.statements`.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from repram.proto.rpc import Codec

CHUNK_MAX: Final = 4 << 20
CHUNK_TTL_MIN: Final = 30_000
RECORD_TTL_MIN: Final = 1_000
TTL_MAX: Final = 30 * 86_400_000
RECORD_MAX: Final = 1 << 20
INLINE_MAX: Final = 32 << 10  # bytes of values that travel inside a message; others as a body
NOTE_MAX: Final = 512
ENTRY_MAX: Final = 64 << 10
DOWNLOADS_MAX: Final = 1 << 20
MANY: Final = 1_024  # ids in one question
PAGE_MAX: Final = 256  # rows of one answer

Id = Annotated[bytes, Meta(min_length=32, max_length=32)]
Key = Annotated[bytes, Meta(min_length=32, max_length=32)]
Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]
Count = Annotated[int, Meta(ge=0, le=1 << 53)]
Version = Annotated[
    int, Meta(ge=0, le=(1 << 63) - 1)
]  # a hybrid timestamp: milliseconds << 20 | counter
Proof = Annotated[tuple[Hash, ...], Meta(max_length=6)]
Note = Annotated[bytes, Meta(max_length=NOTE_MAX)]


class Part(msgspec.Struct, frozen=True, array_like=True):
    """A part of a message."""


class Message(msgspec.Struct, frozen=True, array_like=True, tag=str.lower):
    """A message: the name of its kind comes first."""


# ---- leases and chunks ----


class Lease(Part, frozen=True):
    """Terms and who signed them: end_pk, or in a renewal renew_pk."""

    root: Hash
    renew_pk: Key
    end_pk: Key
    serial: Count
    deadline: Count
    ttl: Count
    signature: Signature


class Put(Message, frozen=True):
    """Hold the `size` bytes of the body that follows under this lease, in whose tree they stand at `index`.

    `downloads`: how often they may be fetched, each time under a claim; 0: without a limit.
    """

    id: Id
    size: Count
    lease: Lease
    index: Annotated[int, Meta(ge=0, le=15)] = 0
    proof: Annotated[tuple[Hash, ...], Meta(max_length=4)] = ()
    downloads: Annotated[int, Meta(ge=0, le=DOWNLOADS_MAX)] = 0


class Get(Message, frozen=True):
    """Send the bytes of a chunk, from `offset` on."""

    id: Id
    offset: Count = 0


class Has(Message, frozen=True):
    """Which of these are here, and for how long still?"""

    ids: Annotated[tuple[Id, ...], Meta(max_length=MANY)]


class Renew(Message, frozen=True):
    """A lease with a later deadline, for every item of its root that is here."""

    lease: Lease


class End(Message, frozen=True):
    """End this key's leases on a root, for good; on everything, when the root is all zero."""

    root: Hash
    end_pk: Key
    time: Count
    signature: Signature


class Held(Message, frozen=True):
    """It is held: since when, for how long in all, and how long still."""

    created: Count
    ttl: Count
    remaining: Count


class Found(Message, frozen=True):
    """It is here: `size` bytes follow as the body."""

    size: Count
    created: Count
    ttl: Count
    remaining: Count


class Here(Message, frozen=True):
    """For each id asked for the milliseconds that remain; 0: it is not here."""

    remaining: Annotated[tuple[Count, ...], Meta(max_length=MANY)]


class Done(Message, frozen=True):
    """It is done, and concerned so many items."""

    count: Count


# ---- records ----

ANY_VERSION: Final = -1  # a newer version than there is
NO_VERSION: Final = 0  # only if there is none


class NewRecord(Part, frozen=True):
    """One version of a record to be kept; `expects` says over what: a version, or one of the two above."""

    label: Hash
    version: Version
    deadline: Count
    ttl: Count
    expects: Annotated[int, Meta(ge=-1, le=(1 << 63) - 1)] = ANY_VERSION
    removed: bool = False
    note: Note = b""
    value: Annotated[bytes, Meta(max_length=INLINE_MAX)] = b""


class PutRecords(Message, frozen=True):
    """Keep these versions. The owner has signed the root over all of them, in this order.

    With `size` there is one, and its value is the body that follows.
    """

    owner: Key
    records: Annotated[tuple[NewRecord, ...], Meta(min_length=1, max_length=64)]
    signature: Signature
    size: Count = 0


class Outcome(Part, frozen=True):
    """What became of one record: held, or the code of the failure and the version that is there."""

    code: Count
    version: Version
    created: Count = 0
    ttl: Count = 0
    remaining: Count = 0


class Outcomes(Message, frozen=True):
    """One for each record, in the order in which they came."""

    outcomes: Annotated[tuple[Outcome, ...], Meta(max_length=64)]


class GetRecord(Message, frozen=True):
    """The newest version of a record; nothing but its version when that is `known`. With `bare` without what
    proves it, unless it is a removal: for who can tell by the value that its owner wrote it."""

    id: Id
    known: Version = 0
    bare: bool = False


class Record(Message, frozen=True):
    """A version and the proof that its owner signed it, unless that was not wanted; with `size` its value
    follows as the body."""

    owner: Key
    label: Hash
    version: Version
    deadline: Count
    created: Count
    ttl: Count
    remaining: Count
    removed: bool = False
    note: Note = b""
    value: Annotated[bytes, Meta(max_length=INLINE_MAX)] = b""
    size: Count = 0
    index: Annotated[int, Meta(ge=0, le=63)] = 0
    proof: Proof = ()
    signature: Annotated[bytes, Meta(max_length=64)] = b""


class Unchanged(Message, frozen=True):
    """It still has the version that the asker knows."""

    version: Version
    remaining: Count


class Own(Message, frozen=True):
    """The other end has this owner's key: it may list, watch and append what is its own, in this session."""

    owner: Key
    signature: Signature


class ListRecords(Message, frozen=True):
    """The owner's records behind a cursor, in the order of their ids; the session has proved the owner."""

    owner: Key
    after: Annotated[bytes, Meta(max_length=32)] = b""
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = PAGE_MAX


class Row(Part, frozen=True):
    """One record of a list."""

    id: Id
    version: Version
    size: Count
    created: Count
    ttl: Count
    remaining: Count
    note: Note = b""


class Rows(Message, frozen=True):
    """A page; there is more when `more`."""

    rows: Annotated[tuple[Row, ...], Meta(max_length=PAGE_MAX)]
    more: bool = False


class Watch(Message, frozen=True):
    """Tell of every change to these records, or to all of an owner's, until the caller hangs up.

    The answer is Done, and behind it, as long as anyone listens, `Changed` messages, each with its length
    (4 bytes) in front. First comes one for every record that is there.
    """

    ids: Annotated[tuple[Id, ...], Meta(max_length=MANY)] = ()
    owner: Annotated[bytes, Meta(max_length=32)] = b""


class Changed(Message, frozen=True):
    """A record has a new version, was removed, or has expired (version 0). Values are asked for."""

    id: Id
    version: Version
    removed: bool = False
    remaining: Count = 0


# ---- feeds ----


class Append(Message, frozen=True):
    """One entry more for an owner's feed, with `size` bytes of data as the body, or inline."""

    owner: Key
    label: Hash
    number: Count
    previous: Hash
    deadline: Count
    ttl: Count
    signature: Signature
    data: Annotated[bytes, Meta(max_length=INLINE_MAX)] = b""
    size: Count = 0


class ReadFeed(Message, frozen=True):
    """The entries from a number on, `Entry` messages with their length in front, as the body.

    With `follow` they go on coming as they are appended, until the caller hangs up.
    """

    id: Id
    start: Count = 1
    follow: bool = False


class Feed(Message, frozen=True):
    """A feed's owner and its head: the last entry's number and hash; `forked` when two of one number came."""

    owner: Key
    label: Hash
    number: Count
    hash: Hash
    forked: bool = False


class Entry(Message, frozen=True):
    """One entry of a feed."""

    number: Count
    previous: Hash
    deadline: Count
    ttl: Count
    created: Count
    remaining: Count
    signature: Signature
    data: Annotated[bytes, Meta(max_length=ENTRY_MAX)]


class Fork(Message, frozen=True):
    """Show what proves that a feed's writer signed two entries of one number: a body of two entries."""

    id: Id


# ---- items that may be fetched a number of times ----


class Claim(Message, frozen=True):
    """Reserve one download for ten minutes, or take up that of this key again; the session has it then."""

    id: Id
    claimant: Key
    signature: Signature


class GiveBack(Message, frozen=True):
    """The download did not come about: others may have it."""

    id: Id
    claimant: Key
    signature: Signature


class Downloads(Message, frozen=True):
    """How often an item may still be fetched, how often it was, and by how many just now."""

    id: Id


class Claimed(Message, frozen=True):
    """Reserved for so long (0: nothing is reserved), and how the item stands."""

    remaining: Count
    left: Count
    taken: Count
    under_way: Count


# ---- the node itself ----


class About(Message, frozen=True):
    """What is this node like?"""


class Node(Message, frozen=True):
    """What it is like: its software, its clock, what it holds on, and what this caller may do there."""

    version: Annotated[str, Meta(max_length=64)]
    time: Count
    tier: Annotated[str, Meta(max_length=16)]
    capacity: Count
    used: Count
    may_store: bool
    may_read: bool
    quota: Count = 0  # 0: none but the capacity
    quota_used: Count = 0
    max_ttl: Count = TTL_MAX


Request: TypeAlias = (
    Put | Get | Has | Renew | End | PutRecords | GetRecord | Own | ListRecords | Watch
    | Append | ReadFeed | Fork | Claim | GiveBack | Downloads | About
)  # fmt: skip
Reply: TypeAlias = (
    Held | Found | Here | Done | Outcomes | Record | Unchanged | Rows | Feed | Claimed | Node
)
Pushed: TypeAlias = Changed | Entry

STORAGE: Final = Codec[Request, Reply](Request, Reply)
