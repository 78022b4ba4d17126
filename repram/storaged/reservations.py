"""What a node answers about items that may be fetched a number of times: claims, and whose they are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Final
from weakref import WeakKeyDictionary

from repram.crypto import statements
from repram.errors import NotAllowed
from repram.ids import ItemId
from repram.proto.endpoint import Session
from repram.proto.messages import Claim, Claimed, Downloads, GiveBack, Reply, Request
from repram.proto.rpc import Incoming, Server
from repram.storaged.access.gate import Gate, Right
from repram.storaged.holdings.chunks import Chunk, Chunks
from repram.storaged.holdings.limits import Limit, Reserved
from repram.storaged.tier import Bytes, Tier

_PIECE: Final = 64 << 10
_PER_SESSION: Final = 64  # claims that a session is known to have; older ones are claimed again


class Reservations:
    """Claims by the session that has proved them."""

    def __init__(self, chunks: Chunks, gate: Gate, tier: Tier, now: Callable[[], int]) -> None:
        self._chunks = chunks
        self._gate = gate
        self._tier = tier
        self._now = now
        self._proved: WeakKeyDictionary[Session, dict[bytes, bytes]] = WeakKeyDictionary()

    def answer_on(self, server: Server[Request, Reply]) -> None:
        """Have a server ask here."""
        server.on_task(Claim, self.claim)
        server.on_task(GiveBack, self.give_back)
        server.on(Downloads, self.downloads)

    async def claim(self, request: Claim, incoming: Incoming) -> Claimed:
        """Reserve one download for this key; from now on the session may fetch the item."""
        chunk, limit, now = self._limited(request.id, incoming.session)
        _check(request, incoming.session)
        reserved = limit.reserve(request.claimant, now)
        await self._written(chunk)
        proved = self._proved.setdefault(incoming.session, {})
        proved.pop(chunk.key, None)
        proved[chunk.key] = request.claimant
        if len(proved) > _PER_SESSION:
            del proved[next(iter(proved))]
        return _told(limit, now, reserved.until - now)

    async def give_back(self, request: GiveBack, incoming: Incoming) -> Claimed:
        """Others may have it."""
        chunk, limit, now = self._limited(request.id, incoming.session)
        _check(request, incoming.session)
        limit.give_back(request.claimant, now)
        await self._written(chunk)
        return _told(limit, now, 0)

    def downloads(self, request: Downloads, session: Session) -> Claimed:
        """How the item stands; looking counts as nothing."""
        _, limit, now = self._limited(request.id, session)
        return _told(limit, now, 0)

    # ---- fetching

    def refuse_without(self, chunk: Chunk, session: Session, now: int) -> None:
        """Raise NotAllowed for a session that has no claim on this item."""
        if self._reserved(chunk, session, now) is None:
            raise NotAllowed(
                "this item may be fetched a number of times, and only by who has claimed one of them",
                hint="Claim a download first.",
            )

    async def metered(self, chunk: Chunk, body: Bytes, session: Session) -> AsyncIterator[Bytes]:
        """The body in pieces; once the transport has taken the last, the download counts."""
        reserved = self._reserved(chunk, session, self._now())
        for start in range(0, len(body), _PIECE):
            yield memoryview(body)[start : start + _PIECE]
        if chunk.limit is not None and reserved is not None:
            chunk.limit.count(reserved)
            if self._chunks.find(chunk.key[1:], self._now()) is chunk:
                self._chunks.amended(chunk)

    def _reserved(self, chunk: Chunk, session: Session, now: int) -> Reserved | None:
        claimant = self._proved.get(session, {}).get(chunk.key)
        if claimant is None or chunk.limit is None:
            return None
        return chunk.limit.of(claimant, now)

    # ----

    def _limited(self, item: bytes, session: Session) -> tuple[Chunk, Limit, int]:
        self._gate.admit(session, Right.READ)
        now = self._now()
        chunk = self._chunks.get(item, now)
        if chunk.limit is None:
            raise NotAllowed("this item may be fetched as often as anyone likes: it needs no claim")
        return chunk, chunk.limit, now

    async def _written(self, chunk: Chunk) -> None:
        """A reservation that could not be written still stands: it must not be given twice."""
        self._chunks.amended(chunk)
        await self._tier.settled()


def _check(request: Claim | GiveBack, session: Session) -> None:
    bound = session.connection.handshake_hash()
    statement = statements.claim_statement(ItemId(request.id), request.claimant, bound)
    statements.check(request.claimant, statement, request.signature)


def _told(limit: Limit, now: int, remaining: int) -> Claimed:
    return Claimed(remaining, *limit.tell(now))
