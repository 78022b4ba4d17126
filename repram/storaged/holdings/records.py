"""Records: small values with a version, each of its owner's, one version of each at a time.

What may be kept is decided here, one record at a time, over the book of facts. A version that goes before
the greatest deadline ever signed for its record leaves a *floor*: nothing older returns by being replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from repram.crypto import statements
from repram.crypto.statements import RecordTerms
from repram.errors import ClockRefused, Conflict, RepramError, UsageError
from repram.ids import format_size
from repram.proto.messages import (
    ANY_VERSION,
    NO_VERSION,
    RECORD_MAX,
    RECORD_TTL_MIN,
    NewRecord,
    Outcome,
    PutRecords,
    Row,
)
from repram.proto.rpc.failures import failure_of
from repram.storaged.access.gate import Gate
from repram.storaged.holdings.batch import Batch, batch_of
from repram.storaged.holdings.book import Book, Entry
from repram.storaged.holdings.owned import Owned, owned_by
from repram.storaged.holdings.terms import SKEW, check_terms
from repram.storaged.holdings.unsettled import Unsettled
from repram.storaged.holdings.versions import (
    FLOOR,
    RECORD,
    Floor,
    RecordEntry,
    Version,
    head_of,
    held,
    read_floor,
    read_meta,
)
from repram.storaged.tier import Bytes, Fact

VERSION_BITS: Final = 20  # of a version's counter, below its milliseconds

_READING: Final = 4096  # batches that a restart tries to bring together again, at a time


class Outcomes(NamedTuple):
    """What became of a batch, and what of it is kept from now on."""

    outcomes: list[Outcome]
    kept: list[RecordEntry]


class Records:
    """All records of a node. The caller settles the tier, and then tells whoever watches."""

    def __init__(self, book: Book, gate: Gate, on_gone: Callable[[bytes, bytes], None]) -> None:
        """`on_gone` is told the id and the owner of each record that has expired or could not be written."""
        self._book = book
        self._gate = gate
        self._on_gone = on_gone
        self._owned: dict[bytes, Owned] = {}
        self._accounts: dict[bytes, bytes] = {}  # one object each, for many refer to it
        self._durable = book.tier.durable
        self._unsettled = Unsettled()
        self._reading: dict[tuple[bytes, bytes], Batch] = {}
        book.add_kind(RECORD, self._read, self._gone)
        book.add_kind(FLOOR, self._read_floor, self._floor_gone)

    # ---- asking

    def get(self, item: bytes, now: int) -> tuple[RecordEntry, Version] | None:
        """The newest version, which may be a removal."""
        entry = self._entry(RECORD + item, now)
        if entry is None:
            return None
        version = entry.read()
        return (entry, version) if version.over > now else None

    def after(self, owner: bytes, item: bytes, limit: int) -> list[bytes]:
        """At most so many ids of an owner behind this one; some may be over by now."""
        owned = self._owned.get(owner)
        return [] if owned is None else [key[1:] for key in owned.after(RECORD + item, limit)]

    def row(self, item: bytes, now: int) -> Row | None:
        """How a record stands in a list."""
        found = self.get(item, now)
        if found is None or found[1].removed:
            return None
        entry, (_, version, ttl, over, _, _) = found
        return Row(item, version, entry.size, over - ttl, ttl, over - now, entry.note)

    def value(self, entry: RecordEntry) -> Bytes:
        """The value; IntegrityFailure when what is kept is damaged."""
        return self._book.body(entry)

    # ---- changing

    def put(
        self, request: PutRecords, values: Sequence[Bytes], account: bytes, now: int
    ) -> Outcomes:
        """Keep what may be kept, each for itself; IntegrityFailure when the owner has not signed them all."""
        owner, news = request.owner, request.records
        leaves = [
            RecordTerms(new.label, new.version, new.deadline, new.ttl, new.removed, new.note, value).leaf()
            for new, value in zip(news, values, strict=True)
        ]  # fmt: skip
        levels = statements.tree_of(leaves)
        statements.check(
            owner, statements.records_statement(owner, levels[-1][0]), request.signature
        )
        owned = self._owned.get(owner)
        owner = owned.owner if owned else owner  # one object, for many refer to it
        batch = batch_of(owner, self._shared(account), request.signature, levels)
        done = Outcomes([], [])
        for index, (new, value) in enumerate(zip(news, values, strict=True)):
            outcome, entry = self._put_one(batch, index, new, value, now)
            done.outcomes.append(outcome)
            if entry is None:
                batch.leave(index)
            else:
                done.kept.append(entry)
        return done

    def settle(self, kept: Sequence[RecordEntry], now: int) -> None:
        """What was written stays, and what it replaced is over. What could not be written never was here, and
        what it replaced is here again."""
        for entry in kept:
            if not self._book.tier.undone(entry.place):
                for over in self._unsettled.settled(entry):
                    over.batch.leave(over.index)
            elif self._book.latest(entry.key) is entry:
                self._put_back(entry, now)

    def _put_back(self, entry: RecordEntry, now: int) -> None:
        self._book.take_back(entry)
        floor = self._book.latest(FLOOR + entry.key[1:])
        if floor is not None and self._book.tier.undone(floor.place):
            self._book.take_back(floor)
        back = None
        for before in self._unsettled.taken_back(entry.key):
            if back is None and before.until > now and not self._book.tier.undone(before.place):
                back = before
            else:
                before.batch.leave(before.index)
        if back is not None:
            self._book.put_back(back)
            self._gate.recount(back.batch.account, back.batch.owner, self._weight(back))
            self._list(back, None)

    def _put_one(
        self, batch: Batch, index: int, new: NewRecord, value: Bytes, now: int
    ) -> tuple[Outcome, RecordEntry | None]:
        item = statements.record_id(batch.owner, new.label).raw
        key, there = RECORD + item, 0
        try:
            ahead = _check(new, value, now)
            self._gate.refuse_denied(item, batch.owner)
            before, floor = self._entry(key, now), self._floor(item, now)
            there = before.version if before else floor.version if floor else 0
            if before and there == new.version and self._is_same(before, new, value, now):
                return held(there, before.read().over, new.ttl, now), None
            _check_order(new, there, before if before and before.read().over > now else None)
            head = head_of(new, ahead, index)
            entry = RecordEntry(key, new.deadline, len(value), None, head, batch)
            self._keep(entry, value, before, floor, now)
        except RepramError as error:
            return Outcome(failure_of(error).code, there), None
        return held(new.version, new.deadline - ahead, new.ttl, now), entry

    def _is_same(self, there: RecordEntry, new: NewRecord, value: Bytes, now: int) -> bool:
        """Whether it has been put before: a retry, or a replay."""
        read = there.read()
        terms = (new.deadline, new.ttl, new.removed, new.note, len(value))
        same = (there.until, read.ttl, read.removed, there.note, there.size) == terms
        return same and read.over > now and self._book.body(there) == value

    def _keep(
        self,
        entry: RecordEntry,
        value: Bytes,
        before: RecordEntry | None,
        floor: Floor | None,
        now: int,
    ) -> None:
        """An older version that was signed for longer could return: then a floor stays until that is over."""
        raised = None
        if before is None:
            self._book.sweep(entry.key, now)
        if before is not None or floor is not None:
            last = max(floor.until if floor else 0, before.until if before else 0)
            raised = self._raised(entry, floor, last, now) if last > entry.until else None
        self._make_room(entry, before, raised if floor is None else None, now)
        if raised is not None:
            self._book.keep(raised, b"", now)
        self._book.keep(entry, value, now)
        self._list(entry, before)

    def _raised(self, entry: RecordEntry, floor: Floor | None, until: int, now: int) -> Floor:
        """A floor of this version; it is charged to whom the first one was."""
        key, batch = FLOOR + entry.key[1:], entry.batch
        self._book.sweep(key, now)
        account = floor.account if floor else batch.account
        return Floor(key, until, 0, None, entry.version, batch.owner, account)

    def _make_room(
        self, entry: RecordEntry, before: RecordEntry | None, floor: Floor | None, now: int
    ) -> None:
        """Room and quota for a version, less what the one before had, and for a floor; or Full, and nothing
        has changed."""
        extra, cost = self._book.tier.cost(0) if floor else 0, self._book.tier.cost
        batch, charge = entry.batch, self._weight(entry) + extra
        if before is not None:
            self._refund(before)
        try:
            self._gate.charge(batch.account, batch.owner, charge)
            try:
                freed = cost(before.size) if before else 0
                self._book.make_room(cost(entry.size) + extra - freed, now)
            except RepramError:
                self._gate.refund(batch.account, batch.owner, charge)
                raise
        except RepramError:
            if before is not None:
                self._gate.charge(before.batch.account, before.batch.owner, self._weight(before))
            raise

    def _refund(self, entry: RecordEntry) -> None:
        self._gate.refund(entry.batch.account, entry.batch.owner, self._weight(entry))

    def _list(self, entry: RecordEntry, before: RecordEntry | None) -> None:
        """Removals are not listed; what is listed already is not again."""
        owner = entry.batch.owner
        if entry.removed:
            self._unlist(entry)
        elif before is None or before.removed:
            owned = self._owned.get(owner)
            if owned is None:
                owned = self._owned[owner] = owned_by(owner)
            owned.add(entry.key)

    def _unlist(self, entry: RecordEntry) -> None:
        owned = self._owned.get(entry.batch.owner)
        if owned is not None:
            owned.discard(entry.key)
            if owned.empty:
                del self._owned[owned.owner]

    def _entry(self, key: bytes, now: int) -> RecordEntry | None:
        entry = self._book.get(key, now)
        if entry is None:
            return None
        assert isinstance(entry, RecordEntry)  # noqa: S101  # its key begins with RECORD
        if self._durable and self._book.tier.undone(entry.place):  # and nobody waited to be told
            self._put_back(entry, now)
            return self._entry(key, now)
        return entry

    def _floor(self, item: bytes, now: int) -> Floor | None:
        floor = self._book.get(FLOOR + item, now) if self._book.held[FLOOR] else None
        return floor if isinstance(floor, Floor) else None

    # ---- what the book tells

    def _gone(self, entry: Entry) -> None:
        """Expired, replaced, or never written."""
        assert isinstance(entry, RecordEntry)  # noqa: S101  # its key begins with RECORD
        batch = entry.batch
        if self._book.latest(entry.key) is not None:  # replaced: it was refunded when room was made
            if self._durable:
                self._unsettled.replaced(entry)
            else:
                batch.leave(entry.index)
        else:
            batch.leave(entry.index)
            self._refund(entry)
            self._unlist(entry)
            if not entry.removed:
                self._on_gone(entry.key[1:], batch.owner)

    def _floor_gone(self, entry: Entry) -> None:
        assert isinstance(entry, Floor)  # noqa: S101  # its key begins with FLOOR
        if self._book.latest(entry.key) is None:
            self._gate.refund(entry.account, entry.owner, self._book.tier.cost(0))

    def _weight(self, entry: RecordEntry) -> int:
        return self._book.tier.cost(entry.size + entry.note_size)

    def _shared(self, account: bytes) -> bytes:
        return self._accounts.setdefault(account, account)

    # ---- after a restart

    def _read(self, fact: Fact) -> Entry:
        signed, proof, head = read_meta(fact.meta)
        entry = RecordEntry(fact.key, fact.until, fact.size, fact.place, head, self._batch(signed))
        entry.batch.join(entry.index, proof)
        self._gate.recount(signed.account, signed.owner, self._weight(entry))
        self._list(entry, None)
        return entry

    def _batch(self, signed: Batch) -> Batch:
        """Those of one batch stand near each other on a disk, so a few at a time are enough to look at."""
        if len(self._reading) >= _READING:
            self._reading.clear()
        batch = self._reading.setdefault((signed.owner, signed.signature), signed)
        if batch is signed:
            owned = self._owned.get(batch.owner)
            batch.owner = owned.owner if owned else batch.owner
            batch.account = self._shared(batch.account)
        return batch

    def _read_floor(self, fact: Fact) -> Entry:
        floor = read_floor(fact)
        self._gate.recount(floor.account, floor.owner, self._book.tier.cost(0))
        return floor


def _check(new: NewRecord, value: Bytes, now: int) -> int:
    """Bounds and clock; by how much the signer's clock is ahead."""
    if len(value) > RECORD_MAX:
        raise UsageError(
            f"a record's value has at most {format_size(RECORD_MAX)}, not {len(value)} bytes"
        )
    if new.removed and (new.note or value):
        raise UsageError("a removal has neither a note nor a value")
    if new.version == NO_VERSION:
        raise UsageError("version 0 says that there is no record; a record has a greater one")
    before = (new.version >> VERSION_BITS) - now
    if before > SKEW:
        raise ClockRefused(
            f"the version is {before} ms ahead of this node's clock, and {SKEW} ms are allowed"
        )
    return check_terms("a record", new.deadline, new.ttl, RECORD_TTL_MIN, now)


def _check_order(new: NewRecord, there: int, found: RecordEntry | None) -> None:
    """Compare and set. What was removed counts as not there, and still is what a newer one replaces."""
    if new.version <= there:
        raise Conflict(f"version {there} is there, and {new.version} is not newer")
    current = found.version if found else NO_VERSION
    absent = found is None or found.removed
    if new.expects not in {ANY_VERSION, current} and not (new.expects == NO_VERSION and absent):
        raise Conflict(f"version {current} is there, and {new.expects} was expected")
