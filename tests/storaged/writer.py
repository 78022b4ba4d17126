"""An owner who signs record versions and feed entries, as a client does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from repram.crypto import statements
from repram.crypto.statements import EntryTerms, RecordTerms, Signer
from repram.proto.messages import ANY_VERSION, Append, Entry, NewRecord, PutRecords, Record

M = TypeVar("M", bound=msgspec.Struct)

T0 = 1_700_000_000_000
MINUTE = 60_000
DAY = 86_400_000


class Clock:
    """The node's time; stands still until the test moves it."""

    def __init__(self, now: int = T0) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def version_at(milliseconds: int, counter: int = 0) -> int:
    """A hybrid timestamp."""
    return milliseconds << 20 | counter


def label(name: str) -> bytes:
    return name.encode().ljust(32, b".")


def new(
    name: str,
    value: bytes = b"",
    *,
    at: int = T0,
    counter: int = 0,
    ttl: int = MINUTE,
    deadline: int | None = None,
    expects: int = ANY_VERSION,
    removed: bool = False,
    note: bytes = b"",
) -> NewRecord:
    """A version that is made at a time, and lives from then."""
    until = at + ttl if deadline is None else deadline
    return NewRecord(
        label(name), version_at(at, counter), until, ttl, expects, removed, note, value
    )


@dataclass(frozen=True)
class Writer:
    """Has a key, and signs with it."""

    signer: Signer

    @classmethod
    def of(cls, number: int = 0) -> Writer:
        return cls(Signer(bytes([number]) * 32))

    @property
    def owner(self) -> bytes:
        return self.signer.key

    def id(self, name: str) -> bytes:
        return statements.record_id(self.owner, label(name)).raw

    def put(self, *records: NewRecord, values: Sequence[bytes] | None = None) -> PutRecords:
        """Signed; `values` when they come behind."""
        bodies = [each.value for each in records] if values is None else values
        leaves = [leaf_of(each, value) for each, value in zip(records, bodies, strict=True)]
        signature = self.signer.sign(
            statements.records_statement(self.owner, statements.root_of(leaves))
        )
        size = 0 if values is None else len(values[0])
        return PutRecords(self.owner, records, signature, size)

    def feed(self, name: str) -> bytes:
        return statements.feed_id(self.owner, label(name)).raw

    def entry(
        self,
        name: str,
        number: int,
        previous: bytes,
        data: bytes,
        *,
        at: int = T0,
        ttl: int = MINUTE,
    ) -> Append:
        """The next of a feed."""
        terms = EntryTerms(self.feed(name), number, previous, at + ttl, ttl, data)
        signature = self.signer.sign(terms.statement())
        return Append(self.owner, label(name), number, previous, at + ttl, ttl, signature, data)

    def chain(self, name: str, *data: bytes, at: int = T0, ttl: int = MINUTE) -> list[Append]:
        """Entries that follow each other."""
        entries: list[Append] = []
        for each in data:
            previous = hash_of(self.feed(name), entries[-1]) if entries else bytes(32)
            entries.append(self.entry(name, len(entries) + 1, previous, each, at=at, ttl=ttl))
        return entries


def hash_of(feed: bytes, entry: Append | Entry) -> bytes:
    """What the next entry follows."""
    terms = EntryTerms(feed, entry.number, entry.previous, entry.deadline, entry.ttl, entry.data)
    return terms.hash()


def check_entry(owner: bytes, feed: bytes, entry: Entry) -> None:
    """IntegrityFailure, if its owner has not signed it."""
    terms = EntryTerms(feed, entry.number, entry.previous, entry.deadline, entry.ttl, entry.data)
    statements.check(owner, terms.statement(), entry.signature)


def leaf_of(record: NewRecord | Record, value: bytes) -> bytes:
    return RecordTerms(
        record.label,
        record.version,
        record.deadline,
        record.ttl,
        record.removed,
        record.note,
        value,
    ).leaf()


def check_proof(record: Record, value: bytes | None = None) -> None:
    """As a reader checks it: IntegrityFailure, if its owner has not signed this version."""
    leaf = leaf_of(record, record.value if value is None else value)
    root = statements.root_from(leaf, record.index, record.proof)
    statements.check(
        record.owner, statements.records_statement(record.owner, root), record.signature
    )


def unframed(body: bytes, kind: type[M]) -> list[M]:
    """The messages of a body that are each preceded by their length."""
    messages = []
    while body:
        size = int.from_bytes(body[:4])
        messages.append(msgspec.msgpack.decode(body[4 : 4 + size], type=kind))
        body = body[4 + size :]
    return messages
