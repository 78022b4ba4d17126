"""The leases of one upload: batches of items under one end key, with one deadline in the nodes' time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from repram.crypto import statements
from repram.crypto.statements import EVERYTHING, EndTerms, LeaseTerms, Signer
from repram.errors import RepramError, UsageError
from repram.ids import ItemId, format_duration, parse_duration
from repram.proto.messages import CHUNK_TTL_MIN, TTL_MAX, End, Lease, Put, Renew
from repram.sdk.journal import Plan


def lifetime_of(text: str) -> int:
    """How long something is to live, in milliseconds; what no node takes is a UsageError."""
    ttl = parse_duration(text)
    if not CHUNK_TTL_MIN <= ttl <= TTL_MAX:
        raise UsageError(
            f"a file lives {format_duration(CHUNK_TTL_MIN)} to {format_duration(TTL_MAX)}, not {text}",
            hint="Give a --ttl within these bounds.",
        )
    return ttl


class Leasing:
    """Signs for everything that is stored with one deadline, and can end or renew all of it."""

    def __init__(self, end_seed: bytes, renew_seed: bytes, ttl: int, deadline: int) -> None:
        self.end_signer = Signer(end_seed)
        self._renew = Signer(renew_seed)
        self._ttl = ttl
        self._deadline = deadline

    @classmethod
    def of(cls, plan: Plan) -> Self:
        """Those of an upload as it began."""
        return cls(plan.end_seed, plan.renew_seed, plan.ttl, plan.deadline)

    def refuse_late(self, node_time: int) -> None:
        """Raise when the deadline has passed before all is stored."""
        if node_time >= self._deadline:
            raise RepramError(
                f"the upload took longer than the {format_duration(self._ttl)} that it was to live",
                hint="Give a longer --ttl.",
            )

    def puts(self, items: Sequence[tuple[ItemId, int]], *, downloads: int = 0) -> list[Put]:
        """What to ask for at most `BATCH_MAX` items and their sizes: one signature for all of them."""
        tree = statements.tree_of([statements.lease_leaf(item, downloads) for item, _ in items])
        (root,) = tree[-1]
        terms = LeaseTerms(root, self._renew.key, self.end_signer.key, 0, self._deadline, self._ttl)
        lease = Lease(*terms, self.end_signer.sign(terms.statement()))
        return [
            Put(item.raw, size, lease, index, statements.proof_of(tree, index), downloads)
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
