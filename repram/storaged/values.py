"""What a node answers about records: requests in, replies out. Each passes the gate once.

Chunks and feeds are answered beside it, on the same server.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Final

from repram.crypto import statements
from repram.errors import NotFound, UsageError
from repram.ids import ItemId, format_size
from repram.proto.endpoint import Session
from repram.proto.messages import (
    INLINE_MAX,
    RECORD_MAX,
    Changed,
    Done,
    GetRecord,
    ListRecords,
    Own,
    PutRecords,
    Record,
    Reply,
    Request,
    Row,
    Rows,
    Unchanged,
    Watch,
)
from repram.proto.messages import Outcomes as OutcomesReply
from repram.proto.rpc import Answer, Incoming, Server, framed
from repram.storaged.access.gate import Gate, Right
from repram.storaged.access.owners import Owners
from repram.storaged.holdings.book import Book
from repram.storaged.holdings.records import Records
from repram.storaged.holdings.versions import RecordEntry, told
from repram.storaged.holdings.watches import Watcher, Watches
from repram.storaged.tier import Bytes

_AT_ONCE: Final = 256  # ids that are looked at before others get their turn


class Values:
    """Records. `now` is the node's time in milliseconds."""

    def __init__(self, book: Book, gate: Gate, owners: Owners, now: Callable[[], int]) -> None:
        self._book = book
        self._gate = gate
        self._owners = owners
        self._now = now
        self.watches = Watches()
        self.records = Records(book, gate, self.watches.changed)

    def answer_on(self, server: Server[Request, Reply]) -> None:
        """Have a server ask here; every error is the caller's to be told."""
        if self._book.tier.prompt and not self._gate.consults:
            server.on(PutRecords, self.put_inline)
        server.on_task(PutRecords, self.put)
        server.on(GetRecord, self.get)
        server.on(Own, self.own)
        server.on_task(ListRecords, self.list)
        server.on_task(Watch, self.watch)

    # ---- putting

    def put_inline(self, request: PutRecords, session: Session) -> OutcomesReply:
        """Keep versions whose values are in the message, in memory: nothing has to be waited for."""
        account = self._gate.admit(session, Right.STORE)
        if request.size:
            raise UsageError(f"a value of {request.size} bytes was announced, and none came")
        values = [each.value for each in request.records]
        outcomes, kept = self.records.put(request, values, account, self._now())
        self._tell(kept)
        return OutcomesReply(tuple(outcomes))

    async def put(self, request: PutRecords, incoming: Incoming) -> OutcomesReply:
        """Keep versions; what is said to be held has been settled."""
        account = self._gate.admit(incoming.session, Right.STORE)
        _check_size(request)
        await self._consult(request)
        await incoming.held.enter_async_context(self._book.passing.room(2 * request.size))
        with self._book.room(request.size, self._now()):
            body = bytes(await incoming.take(request.size))
        values: list[Bytes] = [body] if body else [each.value for each in request.records]
        outcomes, kept = self.records.put(request, values, account, self._now())
        await self._book.settled(lambda: self._written(kept))
        return OutcomesReply(tuple(outcomes))

    async def _consult(self, request: PutRecords) -> None:
        if not self._gate.consults:
            return
        for record in request.records:
            item = statements.record_id(request.owner, record.label)
            size = request.size or len(record.value)
            await self._gate.consult("put", item.raw, size, request.owner)

    def _written(self, kept: Sequence[RecordEntry]) -> None:
        self.records.settle(kept, self._now())
        self._tell(kept)

    def _tell(self, kept: Sequence[RecordEntry]) -> None:
        for entry in kept:
            self.watches.changed(entry.key[1:], entry.batch.owner)

    # ---- reading

    def get(self, request: GetRecord, session: Session) -> Unchanged | Record | Answer[Record]:
        """The newest version, with what proves it."""
        self._gate.admit(session, Right.READ)
        now = self._now()
        found = self.records.get(request.id, now)
        if found is None:
            raise NotFound(f"{ItemId(request.id)} is not here, or it has expired")
        entry, version = found
        self._gate.refuse_denied(request.id, entry.batch.owner)
        if version.version == request.known:
            return Unchanged(version.version, version.over - now)
        bare = request.bare and not version.removed
        if entry.size <= INLINE_MAX:
            return told(entry, version, self.records.value(entry), now, bare=bare)
        body = self._read(entry) if self._book.tier.durable else self.records.value(entry)
        return Answer(told(entry, version, b"", now, bare=bare), body)

    async def _read(self, entry: RecordEntry) -> AsyncIterator[Bytes]:
        async with self._book.passing.room(2 * entry.size):
            yield await asyncio.to_thread(self.records.value, entry)

    # ---- what is the owner's alone

    def own(self, request: Own, session: Session) -> Done:
        """From now on this session is that owner's."""
        self._gate.admit(session, Right.OWN)
        self._owners.prove(session, request.owner, request.signature)
        return Done(0)

    async def list(self, request: ListRecords, incoming: Incoming) -> Rows:
        """A page of what the owner has."""
        self._gate.admit(incoming.session, Right.OWN)
        self._owners.require(incoming.session, request.owner)
        rows: list[Row] = []
        after = request.after
        while ids := self.records.after(request.owner, after, _AT_ONCE):
            now = self._now()
            for item in ids:
                row = self.records.row(item, now)
                if row is not None and len(rows) == request.limit:
                    return Rows(tuple(rows), more=True)
                if row is not None:
                    rows.append(row)
            after = ids[-1]
            await asyncio.sleep(0)  # many may be over and not swept yet
        return Rows(tuple(rows))

    # ---- watching

    async def watch(self, request: Watch, incoming: Incoming) -> Answer[Done]:
        """Tell what is there, and from then on what changes."""
        self._gate.admit(incoming.session, Right.OWN if request.owner else Right.READ)
        if request.owner:
            self._owners.require(incoming.session, request.owner)
        elif not request.ids:
            raise UsageError("there is nothing to watch: neither ids nor an owner are named")
        self.watches.refuse_more()
        watcher = Watcher(request.ids, request.owner)
        return Answer(Done(len(watcher.ids)), self._changes(watcher))

    async def _changes(self, watcher: Watcher) -> AsyncIterator[bytes]:
        with self.watches.joined(watcher):
            yield self._present(watcher.ids)
            after = b""
            while ids := self.records.after(watcher.owner, after, _AT_ONCE):
                yield self._present(ids)
                after = ids[-1]
            while True:
                ids = await watcher.next(_AT_ONCE)
                now = self._now()
                yield b"".join(self._changed(item, now) for item in ids)

    def _present(self, ids: Iterable[bytes]) -> bytes:
        now = self._now()
        return b"".join(self._changed(item, now) for item in ids if self._there(item, now))

    def _there(self, item: bytes, now: int) -> bool:
        found = self.records.get(item, now)
        return found is not None and not found[1].removed

    def _changed(self, item: bytes, now: int) -> bytes:
        found = self.records.get(item, now)
        if found is None:
            return framed(Changed(item, 0))
        version = found[1]
        return framed(Changed(item, version.version, version.removed, version.over - now))


def _check_size(request: PutRecords) -> None:
    if not request.size:
        return
    if request.size > RECORD_MAX:
        raise UsageError(
            f"a record's value has at most {format_size(RECORD_MAX)}, "
            f"and {request.size} bytes were announced"
        )
    if len(request.records) != 1 or request.records[0].value:
        raise UsageError("with a value behind the message there is one record, without one inside")
