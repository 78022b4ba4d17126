"""Many jobs at a time, their results in order, never more than a few in memory."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from repram.errors import cause_of

T = TypeVar("T")


async def in_order(
    jobs: AsyncIterator[Coroutine[Any, Any, T]],
    consume: Callable[[T], Awaitable[None]],
    *,
    at_a_time: int,
) -> None:
    """Run the jobs side by side and hand over the results one by one; the first error ends all of it."""
    under_way: deque[asyncio.Task[T]] = deque()
    try:
        async with asyncio.TaskGroup() as group:
            async for job in jobs:
                under_way.append(group.create_task(job))
                if len(under_way) == at_a_time:
                    await consume(await under_way.popleft())
            while under_way:
                await consume(await under_way.popleft())
    except BaseExceptionGroup as errors:
        raise cause_of(errors) from None


async def in_thread(function: Callable[[], T]) -> T:
    """Run what may block for ever (a terminal, a pipe) in a thread that never holds up the exit."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def deliver(settle: Callable[[], None]) -> None:
        if not result.done():
            settle()

    def run() -> None:
        try:
            value = function()
        except BaseException as error:  # noqa: BLE001  # delivered to the one who waits
            failure = error
            settle = lambda: result.set_exception(failure)  # noqa: E731
        else:
            settle = lambda: result.set_result(value)  # noqa: E731
        with suppress(RuntimeError):  # the loop has gone, and with it the one who waited
            loop.call_soon_threadsafe(deliver, settle)

    threading.Thread(target=run, daemon=True).start()
    return await result
