"""Many jobs at a time, their results in order, never more than a few in memory."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from typing import Any, Final, Protocol, TypeVar

from repram.errors import cause_of

T = TypeVar("T")

_NICER: Final = 10


class Run(Protocol):
    """A way to run what blocks: `in_thread`, `to_the_end`, or `behind_the_loop`."""

    def __call__(self, function: Callable[[], T], /) -> Coroutine[Any, Any, T]:
        """What the function returns or raises."""


async def in_order(
    jobs: AsyncGenerator[Coroutine[Any, Any, T]],
    consume: Callable[[list[T]], Coroutine[Any, Any, None]],
    *,
    at_a_time: int,
) -> None:
    """Run the jobs side by side and hand over the results in order, as many as there are by then, while the
    next jobs run: so many of them, and of results no more. The first error ends all of it."""
    under_way: deque[asyncio.Task[T]] = deque()
    try:
        async with aclosing(jobs), asyncio.TaskGroup() as group:
            consuming: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            consuming.set_result(None)
            async for job in jobs:
                under_way.append(group.create_task(job))
                if len(under_way) == at_a_time:
                    await consuming
                    consuming = group.create_task(consume(await _results(under_way)))
            while under_way:
                await consuming
                consuming = group.create_task(consume(await _results(under_way)))
    except BaseExceptionGroup as errors:
        raise cause_of(errors) from None


async def _results(under_way: deque[asyncio.Task[T]]) -> list[T]:
    """Of the first and of those behind it that are done, too."""
    results = [await under_way.popleft()]
    while under_way and under_way[0].done():
        results.append(under_way.popleft().result())
    return results


async def give_up(work: asyncio.Future[Any]) -> None:
    """Nobody wants what comes of it; it is over when this returns."""
    work.cancel()
    await _over(work)


async def _over(work: asyncio.Future[Any]) -> None:
    await asyncio.wait([work])
    if not work.cancelled():
        work.exception()  # nobody is left to be told


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


async def to_the_end(function: Callable[[], T]) -> T:
    """Run what takes a moment in a thread; whoever is cancelled waits until it is over, so that it uses
    nothing that has been closed meanwhile."""
    return await _awaited(asyncio.ensure_future(asyncio.to_thread(function)))


async def behind_the_loop(function: Callable[[], T]) -> T:
    """Run what takes a while, like `to_the_end`, in a thread that leaves the processor to the loop whenever
    that has something to do: while the loop waits, nothing goes out and the other side stands still."""
    return await _awaited(asyncio.get_running_loop().run_in_executor(_behind, function))


async def _awaited(work: asyncio.Future[T]) -> T:
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await _over(work)
        raise


def _give_way() -> None:
    if sys.platform == "linux":  # where this is for the one thread, and not for all of the process
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) + _NICER)


_behind: Final = ThreadPoolExecutor(thread_name_prefix="repram", initializer=_give_way)
