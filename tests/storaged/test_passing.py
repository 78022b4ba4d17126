"""Memory for bodies on their way: never more than there is, and whoever came first has it first."""

from __future__ import annotations

import asyncio

import pytest

from repram.errors import Busy
from repram.storaged.passing import Passing
from tests.conftest import Run


def test_no_more_is_taken_than_there_is_and_each_has_its_turn(run: Run[None]) -> None:
    async def main() -> None:
        passing, taken, order = Passing(10), 0, list[int]()

        async def body(number: int, size: int) -> None:
            nonlocal taken
            async with passing.room(size):
                order.append(number)
                taken += size
                assert taken <= 10 or taken == size
                await asyncio.sleep(0)
                taken -= size

        async with asyncio.TaskGroup() as group:
            for number in range(200):
                group.create_task(body(number, number % 7 + 1 if number % 50 else 12))
        assert order == list(range(200))

    run(main())


def test_who_waits_too_long_is_told_so_and_who_leaves_keeps_nothing(run: Run[None]) -> None:
    async def main() -> None:
        passing = Passing(10, patience=0.05)
        async with passing.room(8):
            with pytest.raises(Busy):
                async with passing.room(3):
                    pass
            waiting = asyncio.create_task(passing.room(3).__aenter__())
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            async with passing.room(2):
                pass
        async with asyncio.timeout(1), passing.room(10):
            pass

    run(main())


def test_a_turn_that_comes_as_its_waiter_leaves_is_the_next_ones(run: Run[None]) -> None:
    async def main() -> None:
        passing, order = Passing(1), list[str]()

        async def enter(name: str) -> None:
            async with passing.room(1):
                order.append(name)

        async with passing.room(1):
            gone, stays = asyncio.create_task(enter("gone")), asyncio.create_task(enter("stays"))
            await asyncio.sleep(0)
        gone.cancel()
        await stays
        assert order == ["stays"]

    run(main())
