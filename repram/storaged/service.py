"""What a node answers about chunks: requests in, replies out. Each passes the gate once.

Records and feeds are answered beside it, on the same server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from repram import __version__
from repram.crypto import statements
from repram.crypto.sealing import id_of
from repram.crypto.statements import EndTerms, LeaseTerms
from repram.errors import IntegrityFailure, UsageError
from repram.ids import ItemId, format_size
from repram.proto.endpoint import Session
from repram.proto.messages import (
    CHUNK_MAX,
    About,
    Done,
    End,
    Found,
    Get,
    Has,
    Held,
    Here,
    Node,
    Put,
    Renew,
    Reply,
    Request,
)
from repram.proto.rpc import Answer, Body, Incoming, Server
from repram.storaged.access.gate import Gate, Right
from repram.storaged.holdings import leases
from repram.storaged.holdings.book import Book
from repram.storaged.holdings.chunks import Chunk, Chunks
from repram.storaged.holdings.ends import Ends
from repram.storaged.holdings.leases import Signatures
from repram.storaged.memory import MemoryTier
from repram.storaged.reservations import Reservations
from repram.storaged.tier import Bytes

_COPIES: Final = 2  # of a body on its way to or from a disk: sealed once more, and not
_SMALL: Final = 4096  # what is kept as bytes goes out in one piece


class Service:
    """Chunks and their leases. `now` is the node's time in milliseconds."""

    def __init__(self, book: Book, gate: Gate, now: Callable[[], int]) -> None:
        self._book = book
        self._gate = gate
        self._now = now
        self._signatures = Signatures()
        self._ends = Ends(book, gate, started=now())
        self.chunks = Chunks(book, self._ends, gate)
        self._reservations = Reservations(self.chunks, gate, book.tier, now)

    def answer_on(self, server: Server[Request, Reply]) -> None:
        """Have a server ask here; every error is the caller's to be told."""
        server.on_task(Put, self.put)
        if isinstance(self._book.tier, MemoryTier):
            server.on(Get, self.get)
        else:
            server.on_task(Get, self.get_from_disk)
        server.on(Has, self.has)
        server.on_task(Renew, self.renew)
        server.on_task(End, self.end)
        server.on(About, self.about)
        self._reservations.answer_on(server)

    # ---- putting

    async def put(self, request: Put, body: Incoming) -> Held:
        """Hold the bytes that follow under the lease that comes with them."""
        account = self._gate.admit(body.session, Right.STORE)
        terms = self._checked(request)
        self._gate.refuse_denied(request.id, terms.end_pk)
        self.chunks.refuse_over_quota(
            request.id, terms, request.size, account=account, now=self._now()
        )
        await self._gate.consult("put", request.id, request.size, terms.end_pk)
        await body.held.enter_async_context(self._book.passing.room(_COPIES * request.size))
        with self._book.room(request.size, self._now()):
            sealed = await body.take(request.size, kept=True)
            self._check_id(request.id, sealed, body.session)
        now = self._now()
        leases.check_bounds(terms, now)  # the body may have taken its time
        kept = bytes(sealed) if len(sealed) <= _SMALL else sealed
        holding = self.chunks.hold(
            request.id, terms, kept, downloads=request.downloads, account=account, now=now
        )
        await self._book.settled(lambda: self.chunks.take_back(holding))
        chunk = holding.chunk
        return Held(chunk.created, chunk.ttl, _remaining(chunk, self._now()))

    def _checked(self, request: Put) -> LeaseTerms:
        """All that can be known before the body comes."""
        if not 0 < request.size <= CHUNK_MAX:
            raise UsageError(
                f"a chunk has 1 byte to {format_size(CHUNK_MAX)}, "
                f"and {request.size} bytes were announced"
            )
        terms, now = leases.terms_of(request.lease), self._now()
        leases.check_bounds(terms, now)
        leaf = statements.lease_leaf(ItemId(request.id), request.downloads)
        if statements.root_from(leaf, request.index, request.proof) != terms.root:
            raise IntegrityFailure("the lease does not cover this item: its proof leads elsewhere")
        self._signatures.made(terms, request.lease.signature)
        self._ends.check(terms, now, runs=self.chunks.runs(terms, now))
        return terms

    def _check_id(self, item: bytes, sealed: Bytes, session: Session) -> None:
        """At once: every byte was decrypted in the loop, too, and to hand it to a thread takes longer."""
        if id_of(sealed).raw != item:
            self._gate.blame(session)
            raise IntegrityFailure(f"the bytes that came are not those that {ItemId(item)} names")

    # ---- reading

    def get(self, request: Get, session: Session) -> Answer[Found]:
        """Give back what is held, from memory."""
        chunk, found = self._find(request, session)
        body = self._book.body(chunk)
        return Answer(found, self._metered(chunk, _behind(body, request.offset), session))

    async def get_from_disk(self, request: Get, incoming: Incoming) -> Answer[Found]:
        """Give back what is held; reading it may take a while."""
        chunk, found = self._find(request, incoming.session)
        await incoming.held.enter_async_context(self._book.passing.room(_COPIES * chunk.size))
        body = await asyncio.to_thread(self._book.body, chunk)
        if chunk.until <= self._now():  # meanwhile
            self.chunks.get(request.id, self._now())
        return Answer(found, self._metered(chunk, _behind(body, request.offset), incoming.session))

    def _find(self, request: Get, session: Session) -> tuple[Chunk, Found]:
        self._gate.admit(session, Right.READ)
        now = self._now()
        chunk = self.chunks.get(request.id, now)
        for batch in chunk.batches:
            self._gate.refuse_denied(request.id, batch.terms.end_pk)
        if chunk.limit is not None:
            self._reservations.refuse_without(chunk, session, now)
        if request.offset > chunk.size:
            raise UsageError(f"the item has {chunk.size} bytes, and none at {request.offset}")
        size = chunk.size - request.offset
        return chunk, Found(size, chunk.created, chunk.ttl, _remaining(chunk, now))

    def _metered(self, chunk: Chunk, body: Bytes, session: Session) -> Body:
        return body if chunk.limit is None else self._reservations.metered(chunk, body, session)

    def has(self, request: Has, session: Session) -> Here:
        """How long what is asked for is here still."""
        self._gate.admit(session, Right.READ)
        now = self._now()
        return Here(tuple(self._remains(each, now) for each in request.ids))

    def _remains(self, item: bytes, now: int) -> int:
        chunk = self.chunks.find(item, now)
        return 0 if chunk is None else _remaining(chunk, now)

    # ---- leases

    async def renew(self, request: Renew, incoming: Incoming) -> Done:
        """Every chunk of the lease that is here lives longer."""
        self._gate.admit(incoming.session, Right.STORE)
        terms, now = leases.terms_of(request.lease), self._now()
        leases.check_bounds(terms, now)
        if terms.serial == 0:
            raise UsageError("a lease of serial 0 is a new one, and comes with what it holds")
        self._signatures.renewed(terms, request.lease.signature)
        self._gate.refuse_denied(terms.root, terms.end_pk)
        renewal = self.chunks.renew(terms, now)
        await self._book.settled(lambda: self.chunks.take_back_renewal(renewal))
        return Done(len(renewal.chunks))

    async def end(self, request: End, incoming: Incoming) -> Done:
        """These leases are over, and none of them comes back; that is settled before it is said."""
        account = self._gate.admit(incoming.session, self._right_to_end(request, incoming.session))
        terms = EndTerms(request.root, request.end_pk, request.time)
        statements.check(terms.end_pk, terms.statement(), request.signature)
        ended, count = self.chunks.end(terms.root, terms.end_pk, account, self._now())
        await self._book.settled(lambda: self._book.take_back_if_undone(ended))
        return Done(count)

    def _right_to_end(self, request: End, session: Session) -> Right:
        """What is here may be ended even when nothing new is taken; an end of what is not takes room."""
        _, may_read = self._gate.rights(session)
        here = self.chunks.is_leased(request.root, request.end_pk)
        return Right.READ if may_read and here else Right.STORE

    # ---- the node itself

    def about(self, _request: About, session: Session) -> Node:
        """What this node is like, and what the caller may do here."""
        self._gate.admit(session, Right.READ)
        book = self._book
        rights, quota = self._gate.rights(session), self._gate.quota(session)
        return Node(
            __version__, self._now(), book.tier.name, book.capacity, book.used, *rights, *quota
        )


def _behind(body: Bytes, offset: int) -> Bytes:
    return memoryview(body)[offset:] if offset else body


def _remaining(chunk: Chunk, now: int) -> int:
    return max(0, chunk.until - now)
