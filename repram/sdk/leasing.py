"""The leases of one upload: batches of items under one end key, with one deadline in the nodes' time."""

from __future__ import annotations

from collections.abc import Sequence

from repram.crypto import statements
from repram.crypto.statements import EVERYTHING, EndTerms, LeaseTerms, Signer
from repram.errors import RepramError
from repram.ids import ItemId, format_duration
from repram.proto.messages import End, Lease, Put, Renew


class Leasing:
    """Signs for everything that is stored with one deadline, and can end or renew all of it."""

    def __init__(self, end_seed: bytes, renew_seed: bytes, ttl: int, deadline: int) -> None:
        self.end_signer = Signer(end_seed)
        self._renew = Signer(renew_seed)
        self._ttl = ttl
        self._deadline = deadline

    def refuse_late(self, node_time: int) -> None:
        """Raise when the deadline has passed before all is stored."""
        if node_time >= self._deadline:
            raise RepramError(
                f"the upload took longer than the {format_duration(self._ttl)} that it was to live",
                hint="Give a longer --ttl.",
            )

    def puts(self, items: Sequence[tuple[ItemId, int]], *, downloads: int = 0) -> list[Put]:
        """What to ask for at most `BATCH_MAX` items and their sizes: one signature for all of them."""
        leaves = [statements.lease_leaf(item, downloads) for item, _ in items]
        root = statements.root_of(leaves)
        terms = LeaseTerms(
            root, self._renew.key, self.end_signer.key, 0, self._deadline, self._ttl
        )
        lease = Lease(*terms, self.end_signer.sign(terms.statement()))
        return [
            Put(item.raw, size, lease, index, statements.proof_of(leaves, index), downloads)
            for index, (item, size) in enumerate(items)
        ]

    def renewal(self, items: Sequence[ItemId], serial: int, *, downloads: int = 0) -> Renew:
        """What lets a batch live until this deadline; signed by the key that may only renew."""
        root = statements.root_of([statements.lease_leaf(item, downloads) for item in items])
        terms = LeaseTerms(
            root, self._renew.key, self.end_signer.key, serial, self._deadline, self._ttl
        )
        return Renew(Lease(*terms, self._renew.sign(terms.statement())))

    def end(self, node_time: int) -> End:
        """What ends all of it, for good."""
        terms = EndTerms(EVERYTHING, self.end_signer.key, node_time)
        return End(*terms, self.end_signer.sign(terms.statement()))
