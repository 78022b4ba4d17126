"""A file to one node and back: seal, put; get, verify, open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, NamedTuple, TypeAlias

from repram.content import refs
from repram.content.chunker import Chunker
from repram.content.head import Head
from repram.content.head import decode as decode_head
from repram.content.refs import Body, BodyBuilder, Ref
from repram.crypto import locks, sealing
from repram.crypto.statements import BATCH_MAX
from repram.crypto.xchacha import Bytes
from repram.errors import IntegrityFailure, NotFound, RemoteError
from repram.ids import ItemId
from repram.proto.endpoint import Session
from repram.proto.messages import STORAGE, Found, Get, Held, Put
from repram.proto.rpc import Caller, Malformed
from repram.sdk.leasing import Leasing
from repram.sdk.parallel import in_order, in_thread

CHUNKS_IN_FLIGHT: Final = 8


@dataclass(frozen=True, slots=True)
class Progress:
    """How many bytes have gone, of how many when that is known."""

    done: int
    total: int | None


Report: TypeAlias = Callable[[Progress], None]


class _Sealed(NamedTuple):
    ref: Ref
    body: Bytes


class Upload:
    """One file on its way to one node."""

    def __init__(
        self, session: Session, leasing: Leasing, report: Report, total: int | None
    ) -> None:
        self._session = session
        self._node = Caller(session, STORAGE)
        self._leasing = leasing
        self._report = report
        self._total = total
        self._pages: list[_Sealed] = []
        self._body = BodyBuilder(self._seal_page)
        self._done = 0

    async def body(self, chunker: Chunker) -> Body:
        """Seal and put every block, and the pages that list them."""
        await in_order(self._jobs(chunker), self._count, at_a_time=CHUNKS_IN_FLIGHT)
        body = self._body.finish()
        await self._put_pages()
        return body

    async def put(self, sealed: Bytes) -> ItemId:
        """Have the node hold the bytes until the deadline, under a lease of their own."""
        item = sealing.id_of(sealed)
        await self._put(self._leasing.puts([(item, len(sealed))])[0], sealed)
        return item

    async def _jobs(self, chunker: Chunker) -> AsyncIterator[Coroutine[Any, Any, Ref]]:
        """Sealed and leased batch by batch: a lease names all that it holds before the first is put."""
        blocks = iter(chunker)
        while batch := await in_thread(lambda: list(islice(blocks, BATCH_MAX))):
            refs.check_size(chunker.size)
            sealed = [await asyncio.to_thread(_sealed, block) for block in batch]
            puts = self._leasing.puts([(ItemId(each.ref.id), len(each.body)) for each in sealed])
            batch.clear()
            for each, put in zip(sealed, puts, strict=True):
                yield self._put_chunk(each.ref, put, each.body)
            sealed.clear()

    async def _put_chunk(self, ref: Ref, put: Put, sealed: Bytes) -> Ref:
        await self._put(put, sealed)
        return ref

    async def _put(self, put: Put, sealed: Bytes) -> None:
        self._leasing.refuse_late(self._session.peer_time)
        answer = await self._node.call(put, body=memoryview(sealed).toreadonly())
        if not isinstance(answer.reply, Held):
            raise RemoteError("the node did not say that it holds what it was sent")

    async def _count(self, chunk: Ref) -> None:
        self._body.add(chunk)
        await self._put_pages()
        self._done += chunk.length
        self._report(Progress(self._done, self._total))

    def _seal_page(self, page: bytes) -> Ref:
        self._pages.append(_sealed(page))
        return self._pages[-1].ref

    async def _put_pages(self) -> None:
        for page in self._pages:
            await self.put(page.body)
        self._pages.clear()


class Download:
    """One file on its way from one node."""

    def __init__(self, session: Session, report: Report) -> None:
        self._node = Caller(session, STORAGE)
        self._report = report

    async def head(self, item: ItemId, secret: bytes) -> Head:
        """Fetch, verify and open what the link names."""
        try:
            sealed = await self._get(item, locks.ITEM_SIZE)
        except NotFound:
            raise NotFound("what this link names has expired, or was never on this node") from None
        return await asyncio.to_thread(lambda: decode_head(locks.unlock(item, sealed, secret).head))

    async def content(self, head: Head, write: Callable[[Bytes], Awaitable[None]]) -> None:
        """Hand over the plaintext in order; what does not verify is never handed over."""
        done = 0

        async def consume(block: Bytes) -> None:
            nonlocal done
            wanted = min(len(block), head.size - done)
            await write(block if wanted == len(block) else memoryview(block)[:wanted])
            done += wanted
            self._report(Progress(done, head.size))

        await in_order(self._jobs(head), consume, at_a_time=CHUNKS_IN_FLIGHT)

    async def _jobs(self, head: Head) -> AsyncIterator[Coroutine[Any, Any, Bytes]]:
        async for ref in refs.walk(head.body, head.size, self._fetch):
            yield self._fetch(ref)

    async def _fetch(self, ref: Ref) -> Bytes:
        item = ItemId(ref.id)
        try:
            sealed = await self._get(item, ref.length + sealing.CHUNK_OVERHEAD)
        except NotFound:
            raise NotFound("a part of this file has expired, or the node lost it") from None
        block = await asyncio.to_thread(sealing.open_chunk, ref.key, item, sealed)
        if len(block) != ref.length:
            raise IntegrityFailure("a chunk is not as long as the list of chunks says")
        return block

    async def _get(self, item: ItemId, limit: int) -> Bytes:
        try:
            answer = await self._node.call(Get(item.raw), max_body=limit)
        except Malformed as error:
            raise IntegrityFailure(f"the node answered what it should not: {error}") from None
        if not isinstance(answer.reply, Found) or answer.reply.size != len(answer.body):
            raise IntegrityFailure("the node announced other bytes than it sent")
        return answer.body


def _sealed(block: Bytes) -> _Sealed:
    key, sealed = sealing.seal_chunk(block)
    return _Sealed(Ref(sealing.id_of(sealed).raw, key, len(block)), sealed)
