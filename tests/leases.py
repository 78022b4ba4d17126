"""Leases as a test wants them, signed by keys that it can name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from repram.crypto import statements
from repram.crypto.sealing import id_of
from repram.crypto.statements import EVERYTHING, EndTerms, LeaseTerms, Signer
from repram.proto.messages import End, Lease, Put, Renew

MINUTE = 60_000


@dataclass(frozen=True)
class Owner:
    """Both keys of an upload."""

    ends: Signer
    renews: Signer

    @classmethod
    def number(cls, number: int) -> Owner:
        return cls(Signer(bytes([number]) * 32), Signer(bytes([number, 255]) * 16))

    def terms(
        self, root: bytes, now: int, ttl: int = MINUTE, *, serial: int = 0, deadline: int = 0
    ) -> LeaseTerms:
        """A lease that begins now, unless a deadline says otherwise."""
        return LeaseTerms(root, self.renews.key, self.ends.key, serial, deadline or now + ttl, ttl)

    def lease(self, terms: LeaseTerms, by: Signer | None = None) -> Lease:
        return Lease(*terms, (by or self.ends).sign(terms.statement()))

    def puts(
        self, bodies: Sequence[bytes], now: int, ttl: int = MINUTE, *, downloads: int = 0
    ) -> list[Put]:
        """One batch."""
        tree = statements.tree_of(
            [statements.lease_leaf(id_of(body), downloads) for body in bodies]
        )
        lease = self.lease(self.terms(tree[-1][0], now, ttl))
        return [
            Put(
                id_of(body).raw,
                len(body),
                lease,
                index,
                statements.proof_of(tree, index),
                downloads,
            )
            for index, body in enumerate(bodies)
        ]

    def put(self, body: bytes, now: int, ttl: int = MINUTE, *, downloads: int = 0) -> Put:
        """One chunk under a lease of its own."""
        return self.puts([body], now, ttl, downloads=downloads)[0]

    def renewal(
        self, put: Put, now: int, ttl: int = MINUTE, *, serial: int = 1, by: Signer | None = None
    ) -> Renew:
        return Renew(
            self.lease(self.terms(put.lease.root, now, ttl, serial=serial), by or self.renews)
        )

    def end(self, root: bytes = EVERYTHING, now: int = 0, by: Signer | None = None) -> End:
        terms = EndTerms(root, self.ends.key, now)
        return End(*terms, (by or self.ends).sign(terms.statement()))


ALICE, BOB = Owner.number(1), Owner.number(2)
