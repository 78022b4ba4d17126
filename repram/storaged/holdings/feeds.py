"""Feeds: logs of one writer each, of which every entry names the one before and expires by itself."""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from repram.crypto import statements
from repram.crypto.statements import EntryTerms
from repram.errors import Conflict, Full, RepramError, UsageError
from repram.ids import format_size
from repram.proto.messages import CHUNK_TTL_MIN, ENTRY_MAX, Append
from repram.proto.rpc import framed
from repram.storaged.access.gate import Gate
from repram.storaged.holdings.book import Book, Entry
from repram.storaged.holdings.entries import (
    ENTRY,
    FORK,
    HEAD,
    FeedEntry,
    FeedHead,
    ForkProof,
    Whose,
    entry_key,
    read_entry,
    read_fork,
    read_head,
    signed_part,
)
from repram.storaged.holdings.terms import SKEW, check_terms
from repram.storaged.tier import Bytes, Fact

_FIRST_FOLLOWS: Final = bytes(statements.HASH_SIZE)


class Feeds:
    """All feeds of a node. The caller settles the tier, and then tells whoever follows."""

    def __init__(self, book: Book, gate: Gate, on_gone: Callable[[bytes], None]) -> None:
        """`on_gone` is told the id of each feed of which nothing is known any more."""
        self._book = book
        self._gate = gate
        self._on_gone = on_gone
        self._numbers: dict[bytes, array[int]] = {}  # of the entries that are here, by feed
        book.add_kind(ENTRY, self._read_entry, self._entry_gone)
        book.add_kind(HEAD, self._read_head, self._head_gone)
        book.add_kind(FORK, self._read_fork, self._refund)

    # ---- asking

    def head(self, feed: bytes, now: int) -> FeedHead | None:
        """Where a feed has got to."""
        head = self._book.get(HEAD + feed, now)
        if head is None and feed in self._numbers:
            return self._head_of_entries(feed, now)
        return head if isinstance(head, FeedHead) else None

    def entry(self, feed: bytes, number: int, now: int) -> FeedEntry | None:
        """One entry, if it is still here."""
        entry = self._book.get(entry_key(feed, number), now)
        return entry if isinstance(entry, FeedEntry) else None

    def numbers(self, feed: bytes, start: int, limit: int) -> list[int]:
        """At most so many numbers from one on, of entries that are here; some may be over by now."""
        numbers = self._numbers.get(feed)
        if numbers is None:
            return []
        at = bisect_left(numbers, start)
        return numbers[at : at + limit].tolist()

    def data(self, entry: FeedEntry) -> Bytes:
        """What it says, sealed; IntegrityFailure when what is kept is damaged."""
        return self._book.body(entry)

    def fork(self, feed: bytes, now: int) -> Bytes | None:
        """Two entries of one number, if the writer has signed such."""
        proof = self._book.get(FORK + feed, now)
        return None if proof is None else self._book.body(proof)

    # ---- changing

    def append(self, request: Append, data: Bytes, account: bytes, now: int) -> FeedEntry:
        """Keep one entry more, or find that it is here already. Conflict when it does not follow the last;
        when it is a second one of its number, the proof of that is kept."""
        feed = statements.feed_id(request.owner, request.label).raw
        ahead = _check(request, data, now)
        self._gate.refuse_denied(feed, request.owner)
        terms = EntryTerms(
            feed, request.number, request.previous, request.deadline, request.ttl, data
        )
        statements.check(request.owner, terms.statement(), request.signature)
        head = self.head(feed, now)
        if head is not None and request.number <= head.number:
            return self._again(head, terms, request, now)
        _check_order(request, head)
        whose = Whose(request.owner, request.label, account)
        if head is not None and head.whose.account == account:
            whose = head.whose
        until, key = request.deadline - ahead, entry_key(feed, request.number)
        entry = FeedEntry(key, until, len(data), None, signed_part(request), whose)
        self._keep(entry, head, data, now)
        self._advance(entry, head, terms, now)
        return entry

    def take_back(self, entry: FeedEntry, now: int) -> None:
        """If it could not be written, it never was here, and nor was what follows it."""
        if not self._book.tier.undone(entry.place):
            return
        head = self.head(entry.feed, now)
        self._book.take_back(entry)
        if head is not None and head.number >= entry.number:
            head.number, head.hash = entry.number - 1, entry.previous
            if self._book.tier.undone(head.place) and entry.feed not in self._numbers:
                self._book.take_back(head)

    def _keep(self, entry: FeedEntry, head: FeedHead | None, data: Bytes, now: int) -> None:
        """Room and quota for the entry, and for the head when there is none; or Full, and nothing changed."""
        whose, cost = entry.whose, self._book.tier.cost
        size = cost(entry.size) + (0 if head else cost(0))
        self._gate.charge(whose.account, whose.owner, size)
        try:
            self._book.make_room(size, now)
        except RepramError:
            self._gate.refund(whose.account, whose.owner, size)
            raise
        self._book.keep(entry, data, now)
        self._add_number(entry)

    def _advance(
        self, entry: FeedEntry, head: FeedHead | None, terms: EntryTerms, now: int
    ) -> None:
        until, feed = terms.deadline + SKEW, entry.feed
        if head is None:
            head = FeedHead(HEAD + feed, until, 0, None, entry.whose, entry.number, terms.hash())
            self._book.keep(head, b"", now)
            return
        head.number, head.hash = entry.number, terms.hash()
        self._book.amend(head, max(head.until, until))
        proof = self._book.get(FORK + feed, now)
        if proof is not None and proof.until < head.until:
            self._book.amend(proof, head.until)

    def _again(self, head: FeedHead, terms: EntryTerms, request: Append, now: int) -> FeedEntry:
        """It has been appended before, or another one of its number has."""
        there = self.entry(terms.feed, terms.number, now)
        if there is None:
            raise Conflict(f"the feed has entry {head.number} already, and {terms.number} came")
        data = self._book.body(there)
        if there.terms(data) == terms:
            return there
        other = FeedEntry(there.key, terms.deadline, 0, None, signed_part(request), there.whose)
        both = framed(there.told(data, now)) + framed(other.told(terms.data, now))
        self._keep_proof(head, both, terms.deadline, now)
        raise Conflict(
            f"the writer of this feed has signed two entries of number {terms.number}",
            hint="The first stays. Two devices may write with one key; the proof can be asked for.",
        )

    def _keep_proof(self, head: FeedHead, both: bytes, deadline: int, now: int) -> None:
        """The first proof of a feed is enough."""
        key, until = FORK + head.key[1:], max(head.until, deadline)
        if self._book.get(key, now) is not None:
            return
        proof = ForkProof(key, until, len(both), None, head.whose)
        with suppress(Full):  # it is refused either way
            self._charge(proof)
            try:
                self._book.keep(proof, both, now)
            except RepramError:
                self._refund(proof)
                raise

    def _head_of_entries(self, feed: bytes, now: int) -> FeedHead | None:
        """The head was damaged on the disk: what is left of the feed says where it has got to."""
        last = self.entry(feed, self._numbers[feed][-1], now)
        if last is None:
            return None
        terms = last.terms(self._book.body(last))
        head = FeedHead(
            HEAD + feed, terms.deadline + SKEW, 0, None, last.whose, last.number, terms.hash()
        )
        self._charge(head)
        self._book.keep(head, b"", now)
        return head

    # ---- what the book tells

    def _entry_gone(self, entry: Entry) -> None:
        assert isinstance(entry, FeedEntry)  # noqa: S101  # its key begins with ENTRY
        numbers = self._numbers[entry.feed]
        del numbers[bisect_left(numbers, entry.number)]
        if not numbers:
            del self._numbers[entry.feed]
        self._refund(entry)

    def _head_gone(self, entry: Entry) -> None:
        self._refund(entry)
        self._on_gone(entry.key[1:])

    def _charge(self, entry: FeedEntry | FeedHead | ForkProof) -> None:
        whose = entry.whose
        self._gate.charge(whose.account, whose.owner, self._book.tier.cost(entry.size))

    def _refund(self, entry: Entry) -> None:
        assert isinstance(entry, FeedEntry | FeedHead | ForkProof)  # noqa: S101  # by its key
        whose = entry.whose
        self._gate.refund(whose.account, whose.owner, self._book.tier.cost(entry.size))

    def _add_number(self, entry: FeedEntry) -> None:
        insort(self._numbers.setdefault(entry.feed, array("Q")), entry.number)

    # ---- after a restart

    def _read_entry(self, fact: Fact) -> Entry:
        entry = read_entry(fact)
        self._add_number(entry)
        self._charge(entry)
        return entry

    def _read_head(self, fact: Fact) -> Entry:
        head = read_head(fact)
        self._charge(head)
        return head

    def _read_fork(self, fact: Fact) -> Entry:
        proof = read_fork(fact)
        self._charge(proof)
        return proof


def _check(request: Append, data: Bytes, now: int) -> int:
    """Bounds and clock; by how much the signer's clock is ahead."""
    if len(data) > ENTRY_MAX:
        raise UsageError(
            f"an entry of a feed has at most {format_size(ENTRY_MAX)}, not {len(data)} bytes"
        )
    if not request.number:
        raise UsageError("the first entry of a feed has number 1")
    if (request.number == 1) != (request.previous == _FIRST_FOLLOWS):
        raise UsageError("the first entry of a feed, and no other, follows 32 zero bytes")
    return check_terms("an entry", request.deadline, request.ttl, CHUNK_TTL_MIN, now)


def _check_order(request: Append, head: FeedHead | None) -> None:
    """What comes when nothing is known of a feed may have any number: the entries before may have expired."""
    if head is None:
        return
    if request.number != head.number + 1:
        raise Conflict(f"the feed is at entry {head.number}, and {request.number} came")
    if request.previous != head.hash:
        raise Conflict(f"entry {request.number} does not follow entry {head.number} that is here")
