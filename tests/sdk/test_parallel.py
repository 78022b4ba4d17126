"""Jobs side by side, results in order, the first error for all."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

import pytest

from repram.errors import NotFound
from repram.sdk.parallel import behind_the_loop, in_order, in_thread, to_the_end
from tests.conftest import Run


async def from_list(
    jobs: list[Coroutine[Any, Any, int]],
) -> AsyncGenerator[Coroutine[Any, Any, int]]:
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


def test_never_more_than_a_few_are_under_way_nor_waiting_to_be_handed_over(run: Run[None]) -> None:
    async def main() -> None:
        started, done, consumed = 0, 0, 0
        most_at_work = most_in_memory = 0

        async def job(number: int) -> int:
            nonlocal done
            await asyncio.sleep(0)
            done += 1
            return number

        async def jobs() -> AsyncGenerator[Coroutine[Any, Any, int]]:
            nonlocal started, most_at_work, most_in_memory
            for number in range(50):
                started += 1
                most_at_work = max(most_at_work, started - done)
                most_in_memory = max(most_in_memory, started - consumed)
                yield job(number)

        async def consume(numbers: list[int]) -> None:
            nonlocal consumed
            await asyncio.sleep(0)
            consumed += len(numbers)

        await in_order(jobs(), consume, at_a_time=3)
        assert (started, done, consumed) == (50, 50, 50)
        assert most_at_work <= 3
        assert 3 < most_in_memory <= 6

    run(main())


def test_the_next_jobs_run_while_results_are_consumed(run: Run[None]) -> None:
    async def main() -> None:
        second = asyncio.Event()

        async def job(number: int) -> int:
            if number == 1:
                second.set()
            return number

        async def consume(numbers: list[int]) -> None:
            if 0 in numbers:
                await second.wait()

        await in_order(from_list([job(number) for number in range(3)]), consume, at_a_time=1)

    run(main())


def test_where_jobs_come_from_is_closed_when_one_fails(run: Run[None]) -> None:
    async def main() -> None:
        closed = False

        async def failing() -> int:
            raise NotFound("it is gone")

        async def jobs() -> AsyncGenerator[Coroutine[Any, Any, int]]:
            nonlocal closed
            try:
                while True:
                    yield failing()
            finally:
                closed = True

        async def consume(_numbers: list[int]) -> None:
            raise AssertionError

        with pytest.raises(NotFound):
            await in_order(jobs(), consume, at_a_time=1)
        assert closed

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


@pytest.mark.skipif(sys.platform != "linux", reason="a thread has no priority of its own")
def test_what_runs_behind_the_loop_leaves_the_processor_to_it(run: Run[None]) -> None:
    def priority() -> int:
        return os.getpriority(os.PRIO_PROCESS, 0)  # of this thread

    async def main() -> None:
        own = priority()
        behind = await behind_the_loop(priority)
        assert behind > own
        assert [await behind_the_loop(priority), await to_the_end(priority), priority()] == [
            behind,
            own,
            own,
        ]

    run(main())
