"""How long one waits for the other side of a call: for who moves on, not for who only goes on moving."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from repram.proto.connection import SLOWEST
from repram.proto.rpc.failures import Stalled
from repram.proto.stream import Stream

PATIENCE: Final = 60.0  # seconds
_STARVED: Final = 0.5  # seconds; see `patiently`
_MOMENT: Final = (
    0.05  # seconds; shorter waits are added up: to ask what has moved takes longer than they do
)


class Patience:
    """So many seconds of waiting; each SLOWEST bytes that move win one back, but it never grows beyond.
    What moved before the first is counted does not matter when `moved` is None."""

    __slots__ = ("_most", "_moved", "_waited", "left")

    def __init__(self, seconds: float, moved: int | None = 0) -> None:
        self.left = self._most = seconds
        self._moved = moved
        self._waited = 0.0

    def wait(self, seconds: float, stream: Stream) -> None:
        """One has waited for what moves on with the stream."""
        self._waited += seconds
        if self._waited >= _MOMENT:
            self.spend(self._waited, stream.moved)
            self._waited = 0.0

    def spend(self, seconds: float, moved: int) -> None:
        """One has waited, and so many bytes have moved in all."""
        won = 0.0 if self._moved is None else (moved - self._moved) / SLOWEST
        self.left = min(self._most, self.left - seconds + won)
        self._moved = moved

    def refuse(self) -> None:
        """Stalled when it is used up."""
        if self.left <= 0:
            raise Stalled(f"less than {SLOWEST} bytes a second moved, for {self._most:.0f} s")


async def patiently(
    wait: Callable[[], asyncio.Future[bool]],
    stream: Stream,
    patience: Patience,
    starved: Callable[[], None] | None = None,
) -> None:
    """Waits for what moves on with the stream, as long as the patience lasts. `starved` is called when it
    has been waited for a while. An asyncio.timeout each would cost as much as all else of a short wait."""
    loop = stream.session.endpoint.loop
    while True:
        began, most = loop.time(), min(patience.left, _STARVED) if starved else patience.left
        waiting = wait()
        timer = loop.call_later(most, _in_vain, waiting)
        try:
            if await waiting:
                return
        finally:
            timer.cancel()
            patience.wait(loop.time() - began, stream)
        if starved is not None:
            starved()
            starved = None
        patience.refuse()


def _in_vain(waiting: asyncio.Future[bool]) -> None:
    if not waiting.done():
        waiting.set_result(False)
