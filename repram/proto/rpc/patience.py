"""How long one waits for the other side of a call: for who moves on, not for who only goes on moving."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from repram.proto.connection import SLOWEST
from repram.proto.rpc.failures import Stalled
from repram.proto.stream import Stream

T = TypeVar("T")

PATIENCE: Final = 60.0  # seconds
_STARVED: Final = 0.5  # seconds; see `patiently`


class Patience:
    """So many seconds of waiting; each SLOWEST bytes that move win one back, but it never grows beyond."""

    __slots__ = ("_most", "_moved", "left")

    def __init__(self, seconds: float, moved: int = 0) -> None:
        self.left = self._most = seconds
        self._moved = moved

    def spend(self, seconds: float, moved: int) -> None:
        """One has waited, and so many bytes have moved in all."""
        won = (moved - self._moved) / SLOWEST
        self.left = min(self._most, self.left - seconds + won)
        self._moved = moved

    def refuse(self) -> None:
        """Stalled when it is used up."""
        if self.left <= 0:
            raise Stalled(f"less than {SLOWEST} bytes a second moved, for {self._most:.0f} s")


async def patiently(
    stream: Stream,
    step: Callable[[], Awaitable[T]],
    patience: Patience,
    starved: Callable[[], None] | None = None,
) -> T:
    """Awaits what moves on with the stream, as long as the patience lasts. `starved` is called when it
    has been waited for a while."""
    clock = stream.session.endpoint.loop.time
    while True:
        began, wait = clock(), min(patience.left, _STARVED) if starved else patience.left
        try:
            async with asyncio.timeout(wait):
                return await step()
        except TimeoutError:
            if starved is not None:
                starved()
                starved = None
        finally:
            patience.spend(clock() - began, stream.moved)
        patience.refuse()
