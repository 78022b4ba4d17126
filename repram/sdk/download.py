"""A download: the chunks side by side, verified and opened in threads, handed over in order."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, Final, NamedTuple

from repram.content import refs
from repram.content.chunker import CHUNK_SIZE, Source
from repram.content.head import Head
from repram.content.refs import Ref
from repram.crypto import sealing
from repram.crypto.sealing import CHUNK_OVERHEAD
from repram.crypto.xchacha import Bytes
from repram.errors import Changed, IntegrityFailure, NotFound, RepramError
from repram.ids import ItemId
from repram.sdk.events import Began, Moved
from repram.sdk.holders import Holder, Holders
from repram.sdk.parallel import Run, in_order, to_the_end
from repram.sdk.transfer import Report

IN_FLIGHT: Final = 8  # chunks; in memory are at most these and as many that are being opened
_COMPARED_AT_ONCE: Final = 16
_PAGES_KEPT: Final = 4


class _Fetched(NamedTuple):
    ref: Ref
    sealed: Bytes
    holder: Holder


class Download:
    """The content behind one head."""

    def __init__(self, holders: Holders, head: Head, tell: Report) -> None:
        self._holders = holders
        self._head = head
        self._tell = tell
        self._done = 0
        self._pages: OrderedDict[bytes, Bytes] = OrderedDict()

    async def verified(self, there: Source) -> int:
        """How many bytes of what an earlier attempt left are those of the content, from its beginning on
        and in whole chunks: sealed again, they have the ids that they should have."""
        number = 0
        some: list[Ref] = []
        async for ref in refs.walk(self._head.body, self._head.size, self._page):
            some.append(ref)
            if len(some) == _COMPARED_AT_ONCE:
                same = await to_the_end(lambda: _same(some, there))  # noqa: B023  # awaited here
                number += same
                if same < len(some):
                    return number * CHUNK_SIZE
                some = []
        number += await to_the_end(lambda: _same(some, there))
        return number * CHUNK_SIZE

    async def content(
        self, write: Callable[[Bytes], None], *, run: Run = to_the_end, start: int = 0
    ) -> None:
        """Hand over the content from `start`, a chunk's beginning, on; what does not verify is never
        handed over. `run` is how to run what may block."""
        self._done = start
        self._tell(Began(self._head.size, start))

        async def consume(fetched: list[_Fetched]) -> None:
            while fetched:
                error = await run(lambda: self._open(fetched, write))
                self._tell(Moved(self._done, self._head.size))
                if error is not None:
                    fetched[0] = await self._elsewhere(fetched[0], error)

        await in_order(self._jobs(start // CHUNK_SIZE), consume, at_a_time=IN_FLIGHT)

    async def chunk(self, number: int) -> Bytes:
        """The plaintext of one chunk, with what pads it."""
        async for ref in refs.walk(self._head.body, self._head.size, self._page, first=number):
            return await self._opened(ref)
        return b""

    # ---- fetching

    async def _jobs(self, first: int) -> AsyncGenerator[Coroutine[Any, Any, _Fetched]]:
        async for ref in refs.walk(self._head.body, self._head.size, self._page, first=first):
            yield self._fetch(ref)

    async def _fetch(self, ref: Ref) -> _Fetched:
        return _Fetched(ref, *await self._holders.get(lambda holder: _get(holder, ref), {}))

    async def _elsewhere(self, fetched: _Fetched, error: IntegrityFailure) -> _Fetched:
        """The same chunk from somebody who does not lie."""
        ref, _, liar = fetched
        refused: dict[Holder, RepramError] = {}
        self._holders.gave_nothing(liar, error, refused)

        def verify(sealed: Bytes) -> Bytes:
            sealing.check_id(ItemId(ref.id), sealed)
            return sealed

        sealed = await self._holders.verified(verify, lambda holder: _get(holder, ref), refused)
        return _Fetched(ref, sealed, liar)

    async def _page(self, ref: Ref) -> Bytes:
        if ref.id not in self._pages:
            self._pages[ref.id] = await self._opened(ref)
            if len(self._pages) > _PAGES_KEPT:
                self._pages.popitem(last=False)
        return self._pages[ref.id]

    async def _opened(self, ref: Ref) -> Bytes:
        return await self._holders.verified(
            lambda sealed: sealing.open_chunk(ref.key, ItemId(ref.id), sealed),
            lambda holder: _get(holder, ref),
        )

    # ---- in a thread

    def _open(
        self, fetched: list[_Fetched], write: Callable[[Bytes], None]
    ) -> IntegrityFailure | None:
        """Hand over and take off the list one by one; what is wrong with the first that is left."""
        while fetched:
            ref, sealed, _ = fetched[0]
            try:
                block = sealing.open_chunk(ref.key, ItemId(ref.id), sealed)
            except IntegrityFailure as error:
                return error
            wanted = min(len(block), self._head.size - self._done)
            write(block if wanted == len(block) else memoryview(block)[:wanted])
            self._done += wanted
            del fetched[0]
        return None


async def _get(holder: Holder, ref: Ref) -> Bytes:
    try:
        sealed = await holder.get(ItemId(ref.id), ref.length + CHUNK_OVERHEAD)
    except NotFound:
        raise NotFound("a part of this has expired, or the node lost it") from None
    if len(sealed) != ref.length + CHUNK_OVERHEAD:
        raise IntegrityFailure("the node sent fewer bytes than were put there")
    return sealed


def _same(some: list[Ref], there: Source) -> int:
    """How many of these chunks are what comes next."""
    for place, ref in enumerate(some):
        block = bytearray()
        while len(block) < ref.length and (piece := there.read(ref.length - len(block))):
            block += piece
        try:
            sealing.seal_again(ref.key, ItemId(ref.id), block)
        except Changed:
            return place
    return len(some)
