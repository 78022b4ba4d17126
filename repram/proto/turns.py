"""Whose call is next: one of each session in turn, and only so many before what was answered goes out."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from repram.proto.connection import Whole

ALONE: Final = 64  # short streams in one go while there is no other session to wait for it
SLICE: Final = 0.00015  # seconds that one go takes otherwise, with what is done for it
_SHARE: Final = 1 / 8  # of what one stream takes on the average, that the last go decides


class Turns:
    """Short streams that peers have opened and that are not handed out yet."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[int, OrderedDict[int, Whole]] = OrderedDict()  # by session
        self._takes = SLICE / 4  # seconds for one stream
        self._began = 0.0
        self._gone = 0  # streams in the last go

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def waits(self, session: int) -> bool:
        """Whether something of this session does."""
        return session in self._waiting

    def add(self, whole: Whole) -> None:
        """It is the last of its session."""
        self._waiting.setdefault(whole.handle, OrderedDict())[whole.stream] = whole

    def drop(self, session: int, stream: int) -> bool:
        """Nobody waits for its answer any more; whether it waited here."""
        wholes = self._waiting.get(session)
        if wholes is None or wholes.pop(stream, None) is None:
            return False
        if not wholes:
            del self._waiting[session]
        return True

    def drop_all(self, session: int) -> Iterable[Whole]:
        """The session is over."""
        return self._waiting.pop(session, {}).values()

    def go(self, *, alone: bool) -> Iterator[Whole]:
        """As many as one go may have."""
        self._began, self._gone = time.perf_counter(), 0
        at_once = ALONE if alone else max(1, int(SLICE / self._takes))
        while self._waiting and self._gone < at_once:
            session, wholes = self._waiting.popitem(last=False)
            _, whole = wholes.popitem(last=False)
            if wholes:
                self._waiting[session] = wholes
            self._gone += 1
            yield whole

    def gone(self) -> None:
        """The last go, which left some, has been worked on, as far as that goes without waiting."""
        took = (time.perf_counter() - self._began) / self._gone
        self._takes += (took - self._takes) * _SHARE
