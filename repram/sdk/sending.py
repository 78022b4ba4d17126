"""One attempt at an upload: what is missing of it on each host, and at last the head.

Each item is sealed once and goes to all hosts side by side. One that fails is done without, as long as
another goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Final

from repram.content.padding import padme
from repram.content.refs import Body, Ref
from repram.crypto.statements import Signer
from repram.crypto.xchacha import Bytes
from repram.errors import RemoteError, RepramError, cause_of
from repram.ids import ItemId, NodeAddress
from repram.proto.messages import Put
from repram.sdk.batches import Batches, Sealed
from repram.sdk.copies import ASKED_AT_ONCE, Copy
from repram.sdk.events import Began, Moved
from repram.sdk.journal import Journal, Plan
from repram.sdk.leasing import Leasing
from repram.sdk.parallel import Run, behind_the_loop, give_up, in_order, in_thread
from repram.sdk.source import Content
from repram.sdk.storage import Storage
from repram.sdk.transfer import Report

IN_FLIGHT: Final = (
    16  # items; with a batch that waits and one that is being sealed that is what is in memory
)
PASSES: Final = 3  # over the content, when hosts lose again and again what they held
GOODBYE: Final = 3.0  # seconds for having the hosts forget what is given up
_PATIENCE_WITH_ONE_OF_SEVERAL: Final = 5.0


class Sending:
    """What stands in one journal, on its way to the hosts that answer."""

    def __init__(
        self,
        journal: Journal,
        plan: Plan,
        storages: Sequence[Storage],
        patience: float,
        tell: Report,
    ) -> None:
        if len(storages) > 1:
            patience = min(patience, _PATIENCE_WITH_ONE_OF_SEVERAL)
        self._journal = journal
        self._leasing = Leasing.of(plan)
        self._copies = [Copy(each, self._leasing, patience, tell) for each in storages]
        self._tell = tell
        self._total: int | None = None
        self._done = 0

    @property
    def signer(self) -> Signer:
        """The key that ends the upload."""
        return self._leasing.end_signer

    @property
    def living(self) -> list[Copy]:
        """The hosts that have not failed."""
        return [copy for copy in self._copies if copy.failure is None]

    @property
    def was_interrupted(self) -> bool:
        """Whether a session was lost and made anew, since what the hosts hold was last asked for."""
        return any(copy.interrupted for copy in self._copies)

    async def content(self, content: Content, reopen: Callable[[], Content]) -> tuple[Body, int]:
        """Send all of it; where it begins, and its size. When a host was lost for a moment it is asked
        what it still holds, and given the rest again."""
        self._total = None if content.size is None else padme(content.size)
        resumed = await self._look()
        self._tell(
            Began(self._total, resumed if self._total is None else min(resumed, self._total))
        )
        batches = await self._pass(content)
        for _ in range(PASSES):
            if not self.was_interrupted or not await self._lost():
                return batches.finished(), batches.size
            if not content.repeatable:
                break
            again = await in_thread(reopen)  # a path: it does not block for ever
            try:
                batches = await self._pass(again)
            finally:
                again.close()
        raise RemoteError(
            "the host lost what it said it holds", hint="Ask its owner, or store on another host."
        )

    async def head(self, item: ItemId, sealed: Bytes, downloads: int) -> NodeAddress:
        """Put what the link names; where it is. Every host has it, but the first alone when downloads
        are counted: two would count apart."""
        (put,) = self._leasing.puts([(item, len(sealed))], downloads=downloads)
        await self._to_all(
            self.living[:1] if downloads else self.living, lambda copy: copy.put(put, sealed)
        )
        return self.living[0].host.address

    async def end(self) -> None:
        """Have the hosts forget what came; those that do not answer forget it when its time is over."""
        await self._end(self._copies)

    async def end_failed(self) -> None:
        """Have those that failed forget it."""
        await self._end([copy for copy in self._copies if copy.failure is not None])

    async def _end(self, copies: Sequence[Copy]) -> None:
        with suppress(TimeoutError, RepramError):
            async with asyncio.timeout(GOODBYE):
                await asyncio.gather(*(copy.end() for copy in copies))

    # ---- what an earlier attempt brought

    async def _look(self) -> int:
        """Ask each host what it holds of what the journal has; how many bytes all of them do."""
        items = (ref for batch in self._journal.batches() for ref in batch)
        everywhere = 0
        for copy in self._copies:
            copy.held.clear()
            copy.interrupted = False
        while some := list(islice(items, ASKED_AT_ONCE)):
            await self._to_all(self.living, lambda copy: _look(copy, some))  # awaited here
            start = len(self.living[0].held) - len(some)
            everywhere += sum(
                ref.length
                for number, ref in enumerate(some, start)
                if all(copy.holds(number) for copy in self.living)
            )
        return everywhere

    async def _lost(self) -> bool:
        await self._look()
        return any(not all(copy.held) for copy in self.living)

    # ---- sending

    async def _pass(self, content: Content) -> Batches:
        batches = Batches(content.source, self._journal)
        self._done = 0
        read: Run = behind_the_loop if content.repeatable else in_thread
        await in_order(self._jobs(batches, read), self._count, at_a_time=IN_FLIGHT)
        return batches

    async def _jobs(self, batches: Batches, read: Run) -> AsyncGenerator[Coroutine[Any, Any, int]]:
        """A batch is sealed while the one before goes out."""
        number, ahead = 0, asyncio.ensure_future(read(batches.next))
        try:
            while batch := await ahead:
                ahead = asyncio.ensure_future(read(batches.next))
                puts = self._leasing.puts([(ItemId(each.ref.id), len(each.body)) for each in batch])
                for sealed, put in zip(batch, puts, strict=True):
                    yield self._put(number, put, sealed)
                    number += 1
                batch.clear()
        finally:
            await give_up(ahead)

    async def _put(self, number: int, put: Put, sealed: Sealed) -> int:
        wanting = [copy for copy in self.living if not copy.holds(number)]
        await self._to_all(wanting, lambda copy: copy.put(put, sealed.body))
        return sealed.content

    async def _count(self, contents: list[int]) -> None:
        self._done += sum(contents)
        self._tell(Moved(self._done, self._total))

    async def _to_all(
        self, copies: Sequence[Copy], act: Callable[[Copy], Awaitable[object]]
    ) -> None:
        if len(copies) == 1:
            await self._to_one(copies[0], act)
            return
        try:
            async with asyncio.TaskGroup() as group:
                for copy in copies:
                    group.create_task(self._to_one(copy, act))
        except BaseExceptionGroup as errors:
            raise cause_of(errors) from None

    async def _to_one(self, copy: Copy, act: Callable[[Copy], Awaitable[object]]) -> None:
        """A failure is the host's own, unless nobody is left to go on."""
        try:
            await act(copy)
        except RepramError as error:
            if self.living in ([copy], []):
                raise
            copy.fail(error)


async def _look(copy: Copy, refs: Sequence[Ref]) -> None:
    remaining = await copy.look([ItemId(ref.id) for ref in refs])
    copy.held += bytes(each > 0 for each in remaining)
