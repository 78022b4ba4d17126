"""Chunks: sealed, immutable bytes that are here while any of their leases runs.

The leases on a chunk are a set; each is that of a batch, and stands for all chunks of the batch that are
here. Adding one takes the full bytes: whoever only knows an id has no power over it.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

import msgspec

from repram.crypto.statements import EVERYTHING, LeaseTerms
from repram.errors import Conflict, Full, NotFound
from repram.ids import ItemId
from repram.storaged.access.gate import Gate
from repram.storaged.holdings.book import Book, Entry
from repram.storaged.holdings.ends import Ended, Ends
from repram.storaged.holdings.leases import Batch, until_of
from repram.storaged.holdings.limits import Limit
from repram.storaged.tier import Bytes, Fact

LETTER: Final = b"c"
LEASES_MAX: Final = 12  # on one chunk; what a restart needs of them has to fit into META_MAX
_LEASED: Final = 704  # bytes that each lease but the first takes beside a chunk's own
_LIMITED: Final = 5120  # and all the reservations that there may be at one time


class Chunk(Entry, gc=False):
    """One chunk and the leases under which it is held; at most one of each root and end_pk."""

    created: int
    batches: tuple[Batch, ...]
    limit: Limit | None = None

    @property
    def ttl(self) -> int:
        """Of the lease that lasts longest."""
        return max(self.batches, key=lambda batch: batch.until).terms.ttl

    def meta(self) -> bytes:
        """Its leases, and how often it may be and was fetched."""
        leases = [(each.terms, each.until, each.account) for each in self.batches]
        return _encoder.encode(_Meta(self.created, leases, self.limit))


class Holding(NamedTuple):
    """A chunk, one of the leases that hold it, and whether it was added just now."""

    chunk: Chunk
    batch: Batch
    added: bool


class Renewal(msgspec.Struct):
    """What a renewal changed, for whoever has to take it back."""

    batch: Batch
    terms: LeaseTerms  # before
    until: int  # before
    chunks: list[Chunk]


class Chunks:
    """What may happen to them. Signatures, proofs and bounds were checked; the caller settles the tier."""

    def __init__(self, book: Book, ends: Ends, gate: Gate) -> None:
        self._book = book
        self._ends = ends
        self._gate = gate
        self._batches: dict[bytes, dict[bytes, Batch]] = {}  # by end_pk, then by root
        book.add_kind(LETTER, self._read, self._gone)
        book.after_restore(self._drop_ended)

    # ---- asking

    def find(self, item: bytes, now: int) -> Chunk | None:
        """The chunk, if it is here."""
        found = self._book.get(LETTER + item, now)
        return found if isinstance(found, Chunk) else None

    def get(self, item: bytes, now: int) -> Chunk:
        """The chunk, or NotFound."""
        chunk = self.find(item, now)
        if chunk is None:
            raise NotFound(f"{ItemId(item)} is not here, or it has expired")
        return chunk

    def is_leased(self, root: bytes, end_pk: bytes) -> bool:
        """Whether anything is here under this lease, or under any of this key's."""
        owned = self._batches.get(end_pk, {})
        return bool(owned) if root == EVERYTHING else root in owned

    def runs(self, terms: LeaseTerms, now: int) -> bool:
        """Whether this lease holds anything here."""
        batch = self._batches.get(terms.end_pk, {}).get(terms.root)
        return batch is not None and batch.until > now

    def refuse_over_quota(
        self, item: bytes, terms: LeaseTerms, size: int, *, account: bytes, now: int
    ) -> None:
        """Raise Full before a body comes that is more than may be charged."""
        chunk, batch = self.find(item, now), self._batches.get(terms.end_pk, {}).get(terms.root)
        if chunk is not None and batch is not None and _holds(batch, chunk):
            return
        cost, charged = self._book.tier.cost(size), account if batch is None else batch.account
        self._gate.charge(charged, terms.end_pk, cost)
        self._gate.refund(charged, terms.end_pk, cost)

    # ---- changing

    def hold(
        self,
        item: bytes,
        terms: LeaseTerms,
        body: Bytes,
        *,
        downloads: int,
        account: bytes,
        now: int,
    ) -> Holding:
        """Hold the bytes under this lease, too. A lease that is here already stands as it stands: one
        that comes again, or late, changes nothing."""
        self._ends.check(terms, now, runs=self.runs(terms, now))
        chunk = self.find(item, now)
        if chunk is not None and _downloads(chunk) != downloads:
            raise Conflict("this item is here with another number of downloads")
        batch = self._known(terms, now)
        if batch is None:
            batch = Batch(terms, until_of(terms, now), account)
        elif terms.serial > batch.terms.serial:
            raise Conflict(
                f"the lease is here with the older serial {batch.terms.serial}",
                hint="Renew it first: a put renews nothing.",
            )
        if chunk is not None:
            if _holds(batch, chunk):
                return Holding(chunk, batch, added=False)
            self._add(chunk, batch, now)
            return Holding(chunk, batch, added=True)
        self._gate.charge(batch.account, terms.end_pk, self._book.tier.cost(len(body)))
        limit = Limit(downloads) if downloads else None
        chunk = Chunk(LETTER + item, batch.until, len(body), None, now, (batch,), limit)
        try:
            self._book.make_room(self._cost(chunk) + _beside(chunk), now)
            self._book.keep(chunk, body, now)
        except BaseException:
            self._refund(batch, chunk)
            raise
        self._book.beside += _beside(chunk)
        self._link(chunk, batch)
        return Holding(chunk, batch, added=True)

    def renew(self, terms: LeaseTerms, now: int) -> Renewal:
        """Let every chunk of the lease that is here live longer."""
        self._ends.check(terms, now, runs=self.runs(terms, now))
        batch = self._known(terms, now)
        if batch is None:
            raise NotFound("nothing is held under this lease, or it has expired")
        if terms == batch.terms:
            return Renewal(batch, batch.terms, batch.until, self._members(batch, now))
        return self._renew(batch, terms, now)

    def end(self, root: bytes, end_pk: bytes, account: bytes, now: int) -> tuple[Ended, int]:
        """End the leases of a key on a root, or all of its leases, for good; how many chunks they held."""
        owned = self._batches.get(end_pk, {})
        count = 0
        for batch in [each for at, each in owned.items() if root in {at, EVERYTHING}]:
            count += self._end_batch(batch, now)
        return self._ends.keep(root, end_pk, account, now), count

    def amended(self, chunk: Chunk) -> None:
        """What is known of a chunk beside its leases has changed."""
        self._book.amend(chunk, chunk.until)

    # ---- taking back what could not be written

    def take_back(self, holding: Holding) -> None:
        """This lease does not hold it after all; what held it before does."""
        chunk, batch, added = holding
        if not added or not _holds(batch, chunk) or not self._book.tier.undone(chunk.place):
            return
        if len(chunk.batches) == 1:
            self._book.take_back(chunk)
            return
        self._drop_lease(chunk, batch)
        self._book.revert(chunk, max(each.until for each in chunk.batches))

    def take_back_renewal(self, renewal: Renewal) -> None:
        """The lease stands as it stood before."""
        if not any(self._book.tier.undone(chunk.place) for chunk in renewal.chunks):
            return
        renewal.batch.terms, renewal.batch.until = renewal.terms, renewal.until
        for chunk in renewal.chunks:
            self._book.revert(chunk, max(each.until for each in chunk.batches))

    # ---- leases

    def _known(self, terms: LeaseTerms, now: int) -> Batch | None:
        """The lease of this root and end_pk, if it runs; one that is over is not brought back."""
        batch = self._batches.get(terms.end_pk, {}).get(terms.root)
        if batch is None or batch.until <= now:
            return None
        if batch.terms.renew_pk != terms.renew_pk:
            raise Conflict("the lease that is here names another key that may renew it")
        return batch

    def _renew(self, batch: Batch, terms: LeaseTerms, now: int) -> Renewal:
        if terms.serial <= batch.terms.serial or terms.deadline <= batch.terms.deadline:
            raise Conflict(
                f"a renewal has a higher serial and a later deadline; serial {batch.terms.serial} "
                f"with {batch.until - now} ms left is here",
                hint="Sign a renewal with a higher serial and a later deadline.",
            )
        renewal = Renewal(batch, batch.terms, batch.until, self._members(batch, now))
        batch.terms, batch.until = terms, max(batch.until, until_of(terms, now))
        for chunk in renewal.chunks:
            self._book.amend(chunk, max(chunk.until, batch.until))
        return renewal

    def _add(self, chunk: Chunk, batch: Batch, now: int) -> None:
        """One lease more; those that are over make room."""
        for each in chunk.batches:
            if each.until <= now:
                self._drop_lease(chunk, each)
        if len(chunk.batches) >= LEASES_MAX:
            raise Full(f"this item is held under {LEASES_MAX} leases, and not under more")
        self._book.make_room(_LEASED, now)
        self._gate.charge(batch.account, batch.terms.end_pk, self._cost(chunk))
        chunk.batches += (batch,)
        self._book.beside += _LEASED
        self._link(chunk, batch)
        self._book.amend(chunk, max(chunk.until, batch.until))

    def _end_batch(self, batch: Batch, now: int) -> int:
        members = self._members(batch, now)
        for chunk in members:
            self._remove(chunk, batch, now)
        return len(members) if batch.until > now else 0  # one that was over held nothing any more

    def _remove(self, chunk: Chunk, batch: Batch, now: int) -> None:
        """This lease is ended; with the last that runs the chunk is."""
        rest = [each for each in chunk.batches if each is not batch and each.until > now]
        if not rest:
            self._book.drop(chunk)
            return
        self._drop_lease(chunk, batch)
        self._book.amend(chunk, max(each.until for each in rest))

    def _drop_lease(self, chunk: Chunk, batch: Batch) -> None:
        """It is not the only one."""
        self._book.beside -= _LEASED
        chunk.batches = tuple(each for each in chunk.batches if each is not batch)
        self._unlink(chunk, batch)

    def _members(self, batch: Batch, now: int) -> list[Chunk]:
        found = [self._book.get(key, now) for key in batch.members]
        return [chunk for chunk in found if isinstance(chunk, Chunk)]

    def _link(self, chunk: Chunk, batch: Batch) -> None:
        self._batches.setdefault(batch.terms.end_pk, {})[batch.terms.root] = batch
        batch.members += (chunk.key,)

    def _unlink(self, chunk: Chunk, batch: Batch) -> None:
        self._refund(batch, chunk)
        batch.members = tuple(key for key in batch.members if key != chunk.key)
        owned = self._batches.get(batch.terms.end_pk, {})
        if not batch.members and owned.get(batch.terms.root) is batch:
            del owned[batch.terms.root]
            if not owned:
                del self._batches[batch.terms.end_pk]

    def _refund(self, batch: Batch, chunk: Chunk) -> None:
        self._gate.refund(batch.account, batch.terms.end_pk, self._cost(chunk))

    def _cost(self, chunk: Chunk) -> int:
        return self._book.tier.cost(chunk.size)

    # ---- the book's

    def _read(self, fact: Fact) -> Chunk:
        meta = _decoder.decode(fact.meta)
        chunk = Chunk(fact.key, fact.until, fact.size, fact.place, meta.created, (), meta.limit)
        for terms, until, account in meta.leases:
            self._read_lease(chunk, Batch(terms, until, account))
        self._book.beside += _beside(chunk)
        return chunk

    def _read_lease(self, chunk: Chunk, read: Batch) -> None:
        owned = self._batches.setdefault(read.terms.end_pk, {})
        batch = owned.setdefault(read.terms.root, read)
        if read.terms.serial > batch.terms.serial:  # the other's renewal was not written in time
            batch.terms, batch.until = read.terms, read.until
        self._gate.recount(batch.account, batch.terms.end_pk, self._cost(chunk))
        chunk.batches += (batch,)
        self._link(chunk, batch)

    def _drop_ended(self, now: int) -> None:
        """An end that was written speaks for chunks whose removal was not."""
        owned = [batch for roots in self._batches.values() for batch in roots.values()]
        for batch in owned:
            if self._ends.has(batch.terms.root, batch.terms.end_pk, now):
                self._end_batch(batch, now)

    def _gone(self, entry: Entry) -> None:
        if isinstance(entry, Chunk):
            self._book.beside -= _beside(entry)
            for batch in entry.batches:
                self._unlink(entry, batch)


_Row: TypeAlias = tuple[LeaseTerms, int, bytes]


class _Meta(msgspec.Struct, array_like=True):
    created: int
    leases: list[_Row]
    limit: Limit | None


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Meta)


def _holds(batch: Batch, chunk: Chunk) -> bool:
    return any(each is batch for each in chunk.batches)


def _beside(chunk: Chunk) -> int:
    return (len(chunk.batches) - 1) * _LEASED + (_LIMITED if chunk.limit else 0)


def _downloads(chunk: Chunk) -> int:
    return 0 if chunk.limit is None else chunk.limit.downloads
