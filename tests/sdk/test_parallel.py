"""Jobs side by side, results in order, the first error for all."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest

from repram.errors import NotFound
from repram.sdk.parallel import in_order, in_thread
from tests.conftest import Run


async def from_list(
    jobs: list[Coroutine[Any, Any, int]],
) -> AsyncIterator[Coroutine[Any, Any, int]]:
    for job in jobs:
        yield job


def test_results_come_in_order_whichever_job_ends_first(run: Run[None]) -> None:
    async def main() -> None:
        gates = [asyncio.Event() for _ in range(4)]
        seen: list[int] = []

        async def job(number: int) -> int:
            for later in gates[number + 1 :]:
                await later.wait()
            gates[number].set()
            return number

        async def consume(numbers: list[int]) -> None:
            seen.extend(numbers)

        await in_order(from_list([job(number) for number in range(4)]), consume, at_a_time=4)
        assert seen == [0, 1, 2, 3]

    run(main())


def test_never_more_than_a_few_are_under_way(run: Run[None]) -> None:
    async def main() -> None:
        started, finished, most = 0, 0, 0

        async def job(number: int) -> int:
            await asyncio.sleep(0)
            return number

        async def jobs() -> AsyncIterator[Coroutine[Any, Any, int]]:
            nonlocal started, most
            for number in range(50):
                started += 1
                most = max(most, started - finished)
                yield job(number)

        async def consume(numbers: list[int]) -> None:
            nonlocal finished
            finished += len(numbers)

        await in_order(jobs(), consume, at_a_time=3)
        assert (started, finished, most) == (50, 50, 3)

    run(main())


def test_the_first_error_is_raised_bare_and_ends_the_rest(run: Run[None]) -> None:
    async def main() -> None:
        ended = asyncio.Event()

        async def waiting() -> int:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            return 0

        async def failing() -> int:
            raise NotFound("it is gone")

        async def consume(_numbers: list[int]) -> None:
            raise AssertionError

        with pytest.raises(NotFound, match="it is gone"):
            await in_order(from_list([waiting(), failing()]), consume, at_a_time=2)
        assert ended.is_set()

    run(main())


def test_a_thread_gives_its_result_or_its_error(run: Run[None]) -> None:
    async def main() -> None:
        assert await in_thread(lambda: 7) == 7
        with pytest.raises(ZeroDivisionError):
            await in_thread(lambda: 1 // 0)

    run(main())


def test_a_thread_that_blocks_for_ever_holds_up_nobody(run: Run[None]) -> None:
    gate = threading.Event()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await in_thread(gate.wait)

    run(main())
    gate.set()
