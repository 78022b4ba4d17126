"""Transfers as programs see them: awaited, iterated over, cancelled."""

from __future__ import annotations

import asyncio

import pytest

from repram.errors import DeadAddress, NotFound, RepramError, WrongKey
from repram.sdk.events import Began, Finished, Moved
from repram.sdk.patience import persistent
from repram.sdk.transfer import Report, Transfer
from tests.conftest import Run


async def moving(tell: Report) -> str:
    tell(Began(3, 0))
    for done in range(4):
        tell(Moved(done, 3))
    tell(Finished(3))
    return "result"


async def failing(tell: Report) -> str:
    tell(Began(3, 0))
    raise NotFound("it is gone")


def test_it_is_awaited_with_or_without_looking_and_more_than_once(run: Run[None]) -> None:
    async def main() -> None:
        transfer = Transfer(moving)
        assert [await transfer, await transfer] == ["result", "result"]
        transfer = Transfer(moving)
        events = [event async for event in transfer]
        assert events == [Began(3, 0), Moved(3, 3), Finished(3)]  # of counts the last is enough
        assert await transfer == "result"

    run(main())


def test_what_makes_it_fail_is_raised_to_whoever_looks_and_whoever_awaits(run: Run[None]) -> None:
    async def main() -> None:
        transfer = Transfer(failing)
        assert await anext(transfer) == Began(3, 0)
        with pytest.raises(NotFound):
            await anext(transfer)
        with pytest.raises(NotFound):
            await transfer

    run(main())


@pytest.mark.parametrize("looks", [True, False])
def test_cancelling_whoever_waits_cancels_it_and_waits_for_its_end(
    run: Run[None], looks: bool
) -> None:
    async def main() -> None:
        begun, ended = asyncio.Event(), False

        async def stuck(_tell: Report) -> None:
            nonlocal ended
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                ended = True

        transfer = Transfer(stuck)

        async def wait() -> None:
            if looks:
                await anext(transfer)
            await transfer

        waiting = asyncio.ensure_future(wait())
        await begun.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert ended

    run(main())


class Trying:
    def __init__(self, patience: float, *errors: RepramError) -> None:
        self.patience = patience
        self.errors = list(errors)
        self.told: list[RepramError] = []

    def troubled(self, error: RepramError) -> None:
        self.told.append(error)

    @persistent
    async def act(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def test_what_cannot_be_reached_is_tried_again_for_a_while(run: Run[None]) -> None:
    async def main() -> None:
        errors = [DeadAddress("one"), DeadAddress("two")]
        trying = Trying(30, *errors)
        assert await trying.act() == "done"
        assert trying.told == errors
        trying = Trying(0, *errors)
        with pytest.raises(DeadAddress):
            await trying.act()
        for error in (WrongKey(), NotFound()):
            trying = Trying(30, error)
            with pytest.raises(type(error)):
                await trying.act()
            assert trying.told == []

    run(main())
