"""A file to one node and back: seal, put; get, verify, open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from itertools import islice
from typing import Any, Final, NamedTuple

from repram.content import manifest as manifests
from repram.content.chunker import Chunker
from repram.content.manifest import ChunkRef, Manifest
from repram.crypto import sealing
from repram.crypto.statements import BATCH_MAX
from repram.crypto.xchacha import Bytes
from repram.errors import IntegrityFailure, NotFound, RemoteError
from repram.ids import ItemId
from repram.proto.endpoint import Session
from repram.proto.messages import STORAGE, Found, Get, Held, Put
from repram.proto.rpc import Caller, Malformed
from repram.sdk.events import Moved
from repram.sdk.leasing import Leasing
from repram.sdk.parallel import in_order, in_thread
from repram.sdk.transfer import Report

CHUNKS_IN_FLIGHT: Final = 8


class _Sealed(NamedTuple):
    ref: ChunkRef
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
        self._chunks: list[ChunkRef] = []
        self._done = 0

    async def chunks(self, chunker: Chunker) -> tuple[ChunkRef, ...]:
        """Seal and put every block; the chunks in order."""
        await in_order(self._jobs(chunker), self._count, at_a_time=CHUNKS_IN_FLIGHT)
        return tuple(self._chunks)

    async def put(self, sealed: Bytes) -> ItemId:
        """Have the node hold the bytes until the deadline, under a lease of their own."""
        item = sealing.id_of(sealed)
        await self._put(self._leasing.puts([(item, len(sealed))])[0], sealed)
        return item

    async def _jobs(self, chunker: Chunker) -> AsyncIterator[Coroutine[Any, Any, ChunkRef]]:
        """Sealed and leased batch by batch: a lease names all that it holds before the first is put."""
        blocks = iter(chunker)
        while batch := await in_thread(lambda: list(islice(blocks, BATCH_MAX))):
            manifests.check_size(chunker.size)
            sealed = [await asyncio.to_thread(_sealed, block) for block in batch]
            puts = self._leasing.puts([(ItemId(each.ref.id), len(each.body)) for each in sealed])
            batch.clear()
            for each, put in zip(sealed, puts, strict=True):
                yield self._put_chunk(each.ref, put, each.body)
            sealed.clear()

    async def _put_chunk(self, ref: ChunkRef, put: Put, sealed: Bytes) -> ChunkRef:
        await self._put(put, sealed)
        return ref

    async def _put(self, put: Put, sealed: Bytes) -> None:
        self._leasing.refuse_late(self._session.peer_time)
        answer = await self._node.call(put, body=memoryview(sealed).toreadonly())
        if not isinstance(answer.reply, Held):
            raise RemoteError("the node did not say that it holds what it was sent")

    async def _count(self, chunk: ChunkRef) -> None:
        self._chunks.append(chunk)
        self._done += chunk.length
        self._report(Moved(self._done, self._total))


class Download:
    """One file on its way from one node."""

    def __init__(self, session: Session, report: Report) -> None:
        self._node = Caller(session, STORAGE)
        self._report = report

    async def manifest(self, item: ItemId, secret: bytes) -> Manifest:
        """Fetch, verify and open what the link names."""
        try:
            sealed = await self._get(item, manifests.max_sealed_size())
        except NotFound:
            raise NotFound("what this link names has expired, or was never on this node") from None
        return await asyncio.to_thread(manifests.open_sealed, item, sealed, secret)

    async def content(self, manifest: Manifest, write: Callable[[Bytes], Awaitable[None]]) -> None:
        """Hand over the plaintext in order; what does not verify is never handed over."""
        done = 0

        async def consume(block: Bytes) -> None:
            nonlocal done
            wanted = min(len(block), manifest.size - done)
            await write(block if wanted == len(block) else memoryview(block)[:wanted])
            done += wanted
            self._report(Moved(done, manifest.size))

        await in_order(self._jobs(manifest), consume, at_a_time=CHUNKS_IN_FLIGHT)

    async def _jobs(self, manifest: Manifest) -> AsyncIterator[Coroutine[Any, Any, Bytes]]:
        for chunk in manifest.chunks:
            yield self._fetch(chunk)

    async def _fetch(self, chunk: ChunkRef) -> Bytes:
        item = ItemId(chunk.id)
        try:
            sealed = await self._get(item, chunk.length + sealing.CHUNK_OVERHEAD)
        except NotFound:
            raise NotFound("a part of this file has expired, or the node lost it") from None
        block = await asyncio.to_thread(sealing.open_chunk, chunk.key, item, sealed)
        if len(block) != chunk.length:
            raise IntegrityFailure("a chunk is not as long as the manifest says")
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
    return _Sealed(ChunkRef(sealing.id_of(sealed).raw, key, len(block)), sealed)
