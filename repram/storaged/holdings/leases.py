"""Leases as a node keeps them: checked against bounds and clock, one for each batch of chunks."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import msgspec

from repram.crypto import statements
from repram.crypto.statements import EVERYTHING, LeaseTerms
from repram.errors import ClockRefused, IntegrityFailure, UsageError
from repram.ids import format_duration
from repram.proto.messages import CHUNK_TTL_MIN, TTL_MAX, Lease

SKEW: Final = 2_000  # milliseconds by which a client's clock may be ahead of the node's
_REMEMBERED: Final = 4_096  # signatures, of about a quarter of a KiB


class Batch(msgspec.Struct, gc=False):
    """A lease as it stands, shared by the chunks that it holds. Their keys, not they: no cycles."""

    terms: LeaseTerms
    until: int  # the deadline, but never further away than the TTL was when the lease came
    account: bytes
    members: tuple[bytes, ...] = ()


def terms_of(lease: Lease) -> LeaseTerms:
    """What was signed."""
    return LeaseTerms(
        lease.root, lease.renew_pk, lease.end_pk, lease.serial, lease.deadline, lease.ttl
    )


def check_bounds(terms: LeaseTerms, now: int) -> None:
    """Refuse, and name, what is out of bounds; nothing is clamped in silence."""
    if terms.root == EVERYTHING:
        raise UsageError("the root of a lease is not all zero: only an end concerns everything")
    if not CHUNK_TTL_MIN <= terms.ttl <= TTL_MAX:
        raise UsageError(
            f"a lease lasts {format_duration(CHUNK_TTL_MIN)} to {format_duration(TTL_MAX)}, "
            f"not {terms.ttl} ms"
        )
    if terms.deadline <= now:
        raise UsageError(f"the lease's deadline passed {now - terms.deadline} ms ago")
    ahead = terms.deadline - terms.ttl - now
    if ahead > SKEW:
        raise ClockRefused(
            f"the lease begins {ahead} ms from now, and at most {SKEW} ms of difference are allowed"
        )


def until_of(terms: LeaseTerms, now: int) -> int:
    """When a lease that comes now is over: what remains is never more than its TTL."""
    return min(terms.deadline, now + terms.ttl)


class Signatures:
    """Signatures found good lately, so that a batch of chunks costs one check."""

    def __init__(self, limit: int = _REMEMBERED) -> None:
        self._limit = limit
        self._good: OrderedDict[bytes, None] = OrderedDict()

    def made(self, terms: LeaseTerms, signature: bytes) -> None:
        """Pass when end_pk has signed these terms, or raise IntegrityFailure."""
        self._check(terms.end_pk, terms.statement(), signature)

    def renewed(self, terms: LeaseTerms, signature: bytes) -> None:
        """Pass when renew_pk or end_pk has signed these terms, or raise IntegrityFailure."""
        try:
            self._check(terms.renew_pk, terms.statement(), signature)
        except IntegrityFailure:
            self._check(terms.end_pk, terms.statement(), signature)

    def _check(self, key: bytes, statement: bytes, signature: bytes) -> None:
        known = key + signature + statement
        if known in self._good:
            self._good.move_to_end(known)
            return
        statements.check(key, statement, signature)
        self._good[known] = None
        if len(self._good) > self._limit:
            self._good.popitem(last=False)
