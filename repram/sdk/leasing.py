"""The leases of one upload: batches of chunks under one end key, with one deadline in the node's time."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final

from repram.crypto import statements
from repram.crypto.statements import EVERYTHING, EndTerms, LeaseTerms, Signer
from repram.errors import RepramError
from repram.ids import ItemId, format_duration
from repram.proto.messages import End, Lease, Put

_SEED_SIZE: Final = 32


class Leasing:
    """Signs for everything that is stored with one deadline, and can end all of it at once."""

    def __init__(self, ttl: int, node_time: int) -> None:
        self._end = Signer(secrets.token_bytes(_SEED_SIZE))
        self._renew = Signer(secrets.token_bytes(_SEED_SIZE))
        self._ttl = ttl
        self._deadline = node_time + ttl

    @property
    def signer(self) -> Signer:
        """The key that can end all of it, which signs the head too."""
        return self._end

    def refuse_late(self, node_time: int) -> None:
        """Raise when the deadline has passed before all is stored."""
        if node_time >= self._deadline:
            raise RepramError(
                f"the upload took longer than the {format_duration(self._ttl)} that it was to live",
                hint="Give a longer --ttl.",
            )

    def puts(self, items: Sequence[tuple[ItemId, int]]) -> list[Put]:
        """What to ask for at most `BATCH_MAX` items and their sizes: one signature for all of them."""
        leaves = [statements.lease_leaf(item, 0) for item, _ in items]
        lease = self._lease(statements.root_of(leaves))
        return [
            Put(item.raw, size, lease, index, statements.proof_of(leaves, index))
            for index, (item, size) in enumerate(items)
        ]

    def end(self, node_time: int) -> End:
        """What ends all of it, for good."""
        terms = EndTerms(EVERYTHING, self._end.key, node_time)
        return End(*terms, self._end.sign(terms.statement()))

    def _lease(self, root: bytes) -> Lease:
        terms = LeaseTerms(root, self._renew.key, self._end.key, 0, self._deadline, self._ttl)
        return Lease(*terms, self._end.sign(terms.statement()))
