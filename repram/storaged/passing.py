"""Memory for bodies that only pass through, between network and disk: so much at one time, and in turn."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from repram.errors import Busy

# Seconds. What waits may hold the credit that others of its session need to come to an end.
_PATIENCE: Final = 2.0


class Passing:
    """So many bytes at most; with None there is no bound."""

    def __init__(self, most: int | None, patience: float = _PATIENCE) -> None:
        self._most = most
        self._patience = patience
        self._taken = 0
        self._line: deque[tuple[asyncio.Future[None], int]] = deque()

    @asynccontextmanager
    async def room(self, size: int) -> AsyncIterator[None]:
        """Wait for so much, and have it until the end; Busy when it takes too long."""
        if self._most is None:
            yield
            return
        if self._line or not self._fits(size):
            await self._turn(size)
        else:
            self._taken += size
        try:
            yield
        finally:
            self._give(size)

    def _fits(self, size: int) -> bool:
        return self._most is None or not self._taken or self._taken + size <= self._most

    async def _turn(self, size: int) -> None:
        waiting = asyncio.get_running_loop().create_future(), size
        self._line.append(waiting)
        try:
            async with asyncio.timeout(self._patience):
                await waiting[0]
        except TimeoutError:
            self._leave(waiting)
            raise Busy("others take all the memory that this node has for bodies") from None
        except BaseException:
            self._leave(waiting)
            raise

    def _leave(self, waiting: tuple[asyncio.Future[None], int]) -> None:
        """It does not wait any longer, or has got its turn at the same moment."""
        if waiting in self._line:
            self._line.remove(waiting)
            self._give(0)
        else:
            self._give(waiting[1])

    def _give(self, size: int) -> None:
        self._taken -= size
        while self._line and self._fits(self._line[0][1]):
            turn, wanted = self._line.popleft()
            self._taken += wanted
            if not turn.done():
                turn.set_result(None)
