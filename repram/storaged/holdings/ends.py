"""Ends: what an owner has ended stays ended, whatever is replayed, handed over or restarted.

An end is a fact of its own and is kept for as long as any lease that was signed before it could still
run: the longest TTL, and the skew that clocks are allowed.
"""

from __future__ import annotations

from typing import Final

from repram.crypto.statements import EVERYTHING, LeaseTerms
from repram.errors import NotAllowed
from repram.proto.messages import TTL_MAX
from repram.storaged.access.gate import Gate
from repram.storaged.holdings.book import Book, Entry
from repram.storaged.holdings.leases import SKEW
from repram.storaged.tier import Fact

LETTER: Final = b"e"
_ROOT_AT: Final = 1 + 32
KEPT: Final = TTL_MAX + SKEW


class Ended(Entry, gc=False):
    """One end: of a root, or of all that a key has leased."""

    account: bytes

    def meta(self) -> bytes:
        """To whom it is charged; the key says all else."""
        return self.account


class Ends:
    """What was ended. `started`: when a node began that forgets its ends with the process."""

    def __init__(self, book: Book, gate: Gate, started: int) -> None:
        self._book = book
        self._gate = gate
        self._started = 0 if book.tier.durable else started
        book.add_kind(LETTER, self._read, self._gone)

    def check(self, terms: LeaseTerms, now: int, *, runs: bool) -> None:
        """Raise NotAllowed for a lease that was ended, or of which nobody here can know. One that `runs`
        here was not ended, however old it is: a snapshot brought it."""
        if self.has(terms.root, terms.end_pk, now):
            raise NotAllowed(
                "this lease was ended, and an end is for good",
                hint="Store it anew, under another key.",
            )
        if terms.deadline - terms.ttl < self._started and not runs:
            raise NotAllowed(
                "this lease was made before the node started, which keeps all in memory: "
                "it cannot know whether the lease was ended since",
                hint="Make a new lease and try again.",
            )

    def has(self, root: bytes, end_pk: bytes, now: int) -> bool:
        """Whether this root, or everything of this key, was ended."""
        owner = LETTER + end_pk
        return (
            self._book.get(owner + root, now) is not None
            or self._book.get(owner + EVERYTHING, now) is not None
        )

    def keep(self, root: bytes, end_pk: bytes, account: bytes, now: int) -> Ended:
        """From now on it is ended; the caller settles the tier."""
        key = LETTER + end_pk + root
        known = self._book.get(key, now)
        if isinstance(known, Ended):
            self._book.amend(known, now + KEPT)
            return known
        self._gate.charge(account, end_pk, self._book.tier.cost(0))
        ended = Ended(key, now + KEPT, 0, None, account)
        try:
            self._book.keep(ended, b"", now)
        except BaseException:
            self._gate.refund(account, end_pk, self._book.tier.cost(0))
            raise
        return ended

    def _read(self, fact: Fact) -> Ended:
        self._gate.recount(fact.meta, fact.key[1:_ROOT_AT], self._book.tier.cost(0))
        return Ended(fact.key, fact.until, 0, fact.place, fact.meta)

    def _gone(self, entry: Entry) -> None:
        if isinstance(entry, Ended):
            self._gate.refund(entry.account, entry.key[1:_ROOT_AT], self._book.tier.cost(0))
