"""A transfer as a program sees it: something to await, and to iterate over for what happens meanwhile.

    transfer = client.upload("report.pdf")
    async for event in transfer:
        ...
    link = await transfer

It begins when it is first awaited or iterated over. Cancelling whoever awaits or iterates cancels it, and
waits until nothing of it is left.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Generic, Self, TypeAlias, TypeVar

from repram.sdk.events import Event, Moved

T_co = TypeVar("T_co", covariant=True)
Report: TypeAlias = Callable[[Event], None]


class Transfer(Awaitable[T_co], Generic[T_co]):
    """One upload or download. The iteration ends with it, and raises what made it fail."""

    def __init__(self, main: Callable[[Report], Coroutine[Any, Any, T_co]]) -> None:
        self._main = main
        self._task: asyncio.Task[T_co] | None = None
        self._events: deque[Event] = deque()
        self._news = asyncio.Event()

    def __await__(self) -> Generator[Any, None, T_co]:
        return self._started().__await__()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        task = self._started()
        while not self._events:
            if task.done():
                await task
                raise StopAsyncIteration
            self._news.clear()
            try:
                await self._news.wait()
            except asyncio.CancelledError:
                await self.aclose()
                raise
        return self._events.popleft()

    async def aclose(self) -> None:
        """Cancel it, if it is still under way, and wait until nothing of it is left."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            if not self._task.cancelled():
                self._task.exception()  # told to whoever awaits; nobody has to

    def _started(self) -> asyncio.Task[T_co]:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._main(self._tell))
            self._task.add_done_callback(lambda _task: self._news.set())
        return self._task

    def _tell(self, event: Event) -> None:
        """Of the bytes that have moved only the last count waits: nobody needs those before."""
        if isinstance(event, Moved) and self._events and isinstance(self._events[-1], Moved):
            self._events.pop()
        self._events.append(event)
        self._news.set()
