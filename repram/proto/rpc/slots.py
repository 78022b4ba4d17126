"""So many at a time, whoever came first goes first."""

from __future__ import annotations

import asyncio
from typing import TypeAlias

Waiting: TypeAlias = set[asyncio.Future[None]]  # of one session


class Slots:
    """A semaphore that can let somebody in above its bound."""

    def __init__(self, count: int) -> None:
        self._free = count  # below zero while there are more inside than the bound
        self._line: dict[asyncio.Future[None], Waiting] = {}

    async def take(self, waiting: Waiting) -> None:
        """Waits for a slot among those of the same session."""
        if self._free > 0:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._line[turn] = waiting
        waiting.add(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._leave(turn)
            else:
                self.give()  # it was let in at the same moment
            raise

    def give(self) -> None:
        """Leaves the slot to the next."""
        self._free += 1
        while self._free > 0 and self._line:
            self._admit(next(iter(self._line)))

    def admit_all(self, waiting: Waiting) -> None:
        """Lets in all that wait there, whatever the bound says."""
        for turn in tuple(waiting):
            self._admit(turn)

    def _admit(self, turn: asyncio.Future[None]) -> None:
        self._leave(turn)
        if not turn.done():
            self._free -= 1
            turn.set_result(None)

    def _leave(self, turn: asyncio.Future[None]) -> None:
        waiting = self._line.pop(turn, None)
        if waiting is not None:
            waiting.discard(turn)
