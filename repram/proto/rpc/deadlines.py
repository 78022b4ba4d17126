"""When to give up waiting for answers: one timer, however many wait."""

from __future__ import annotations

import asyncio
import math
from typing import Final

from repram.errors import RepramError
from repram.proto.rpc.failures import Code
from repram.proto.stream import Exchange

_GIVEN_UP: Final = (0.0, RepramError)


class Deadlines:
    """Exchanges under way and when each is given up, with which error.

    A timer each would cost more than the rest of a call. The number of entries is bounded by the
    streams that a session may have, so looking at all of them when the timer fires costs little.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due: dict[Exchange, tuple[float, type[RepramError]]] = {}
        self._next = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def add(self, exchange: Exchange, seconds: float, error: type[RepramError]) -> None:
        """Gives the exchange up so many seconds from now."""
        due = self._loop.time() + seconds
        self._due[exchange] = due, error
        if due < self._next:
            self._arm(due)

    def remove(self, exchange: Exchange) -> float:
        """It has been answered, or given up; when it was due."""
        due, _ = self._due.pop(exchange, _GIVEN_UP)
        return due

    def _arm(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = due
        self._timer = self._loop.call_at(due, self._expire)

    def _expire(self) -> None:
        now, self._timer, self._next = self._loop.time(), None, math.inf
        over = [exchange for exchange, (due, _) in self._due.items() if due <= now]
        for exchange in sorted(over, key=lambda each: self._due[each][0]):
            _, error = self._due.pop(exchange)
            exchange.end(error())
            exchange.abandon(Code.DEADLINE)
        if self._due:
            self._arm(min(due for due, _ in self._due.values()))
