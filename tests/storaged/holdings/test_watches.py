"""Who is told of changes, and what happens to those who do not listen."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from repram.errors import Busy, RateLimited
from repram.storaged.holdings.watches import WAITING_MIN, WATCHERS_MAX, Watcher, Watches
from tests.conftest import Run

OWNER = b"o" * 32


def item(number: int) -> bytes:
    return number.to_bytes(32)


def test_each_id_waits_once_however_often_it_changes(run: Run[None]) -> None:
    async def main() -> None:
        watches, watcher = Watches(), Watcher((item(1), item(2)), b"")
        with watches.joined(watcher):
            for _ in range(10_000):
                for number in (1, 2, 3):
                    watches.changed(item(number), OWNER)
            assert await watcher.next(10) == [item(1), item(2)]
            watches.changed(item(2), OWNER)
            assert await watcher.next(10) == [item(2)]

    run(main())


def test_one_with_too_much_waiting_has_to_begin_again(run: Run[None]) -> None:
    async def main() -> None:
        watches, slow, quick = Watches(), Watcher((), OWNER), Watcher((item(7),), b"")
        with ExitStack() as joined:
            for _ in range(WATCHERS_MAX - 2):
                joined.enter_context(watches.joined(Watcher((item(0),), b"")))
            joined.enter_context(watches.joined(slow))
            joined.enter_context(watches.joined(quick))
            for number in range(WAITING_MIN + 1):
                watches.changed(item(number), OWNER)
            with pytest.raises(RateLimited):
                await slow.next(10)
            assert await quick.next(10) == [item(7)]

    run(main())


def test_there_are_only_so_many_and_nothing_is_left_of_those_who_went() -> None:
    watches = Watches()
    with ExitStack() as joined:
        for number in range(WATCHERS_MAX):
            joined.enter_context(watches.joined(Watcher((item(number),), OWNER)))
        with pytest.raises(Busy), watches.joined(Watcher((item(0),), b"")):
            pass
    assert (watches.count, watches._by) == (0, {})
