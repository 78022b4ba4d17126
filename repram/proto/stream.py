"""One stream of a session, as a program uses it: piece by piece, or as a short question and its answer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from repram.errors import LocalError, RepramError, SessionClosed, StreamReset
from repram.proto.connection import Event, EventKind

if TYPE_CHECKING:
    from repram.proto.endpoint import Session


class Stream:
    """One bidirectional stream; `read` and `write` like asyncio's."""

    __slots__ = (
        "_connection",
        "_fin",
        "_head",
        "_in_over",
        "_moved",
        "_out_over",
        "_pending",
        "_read_error",
        "_reader",
        "_write_error",
        "_writer",
        "id",
        "on_lost",
        "session",
    )

    def __init__(self, session: Session, stream: int, *, written: bool = False) -> None:
        self.id = stream
        self.session = session
        self.on_lost: Callable[[], object] | None = (
            None  # called once: the peer gave up, or is gone
        )
        self._connection = session.connection
        self._reader: asyncio.Future[bool] | None = None
        self._writer: asyncio.Future[bool] | None = None
        self._head = b""  # has come, and is no longer in the core
        self._pending: deque[memoryview] = deque()  # written, not yet taken by the core
        self._fin = written  # the end is to be sent behind what is pending
        self._out_over = written  # the core wants nothing more from us
        self._in_over = False  # nor has it more for us
        self._moved = 0
        self._read_error: Exception | None = None
        self._write_error: Exception | None = None

    # ---- reading

    async def read(self, limit: int = 65536) -> bytes:
        """Some bytes as soon as there are any; b"" at the end."""
        while (data := self.read_now(limit)) is None:
            await self.coming()
        return data

    def coming(self) -> asyncio.Future[bool]:
        """Done when there may be something to read: after `read_now` had nothing."""
        self._reader = self._waiter(self._reader)
        return self._reader

    def read_now(self, limit: int = 65536) -> bytes | None:
        """What is there, b"" at the end; None while one has to wait."""
        if self._head:
            data, self._head = self._head[:limit], self._head[limit:]
            return data
        if self._ended():
            return b""
        try:
            data, ended = self._connection.read(self.id, limit)
        except SessionClosed:
            return None  # the event that says why is on its way
        self._took(len(data), ended)
        return data if data or ended else None

    async def read_into(self, into: bytearray | memoryview) -> int:
        """Like `read`, into memory of the caller's: how many bytes have come; 0 at the end."""
        while (size := self.read_into_now(into)) is None:
            await self.coming()
        return size

    def read_into_now(self, into: bytearray | memoryview) -> int | None:
        """Like `read_now`, into memory of the caller's."""
        if self._head:
            data = self.read_now(len(into)) or b""
            into[: len(data)] = data
            return len(data)
        if self._ended():
            return 0
        try:
            size, ended = self._connection.read_into(self.id, into)
        except SessionClosed:
            return None
        self._took(size, ended)
        return size if size or ended else None

    def _ended(self) -> bool:
        if self._read_error is not None:
            raise self._read_error
        return self._in_over

    def _took(self, size: int, ended: bool) -> None:
        if size:
            self.session.endpoint.wake()  # credit may be due
        if ended:
            self._in_over = True
            self._settle()

    async def readexactly(self, size: int) -> bytes:
        """Exactly this many bytes, or asyncio.IncompleteReadError at a short end."""
        parts: list[bytes] = []
        missing = size
        while missing:
            data = await self.read(missing)
            if not data:
                raise asyncio.IncompleteReadError(b"".join(parts), size)
            parts.append(data)
            missing -= len(data)
        return b"".join(parts)

    # ---- writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Queues bytes; await `drain` before writing much more."""
        self._queue(data)
        self._push()

    def finish(self, *data: bytes | bytearray | memoryview) -> None:
        """Queues the last bytes, and the end behind them."""
        for piece in data:
            self._queue(piece)
        self.send_eof()

    def _queue(self, data: bytes | bytearray | memoryview) -> None:
        if self._write_error is not None:
            raise self._write_error
        if self._fin:
            raise LocalError("write after send_eof")
        self._pending.append(memoryview(data))

    @property
    def backlogged(self) -> bool:
        """Whether something written waits for the transport to take it."""
        return bool(self._pending)

    async def drain(self) -> None:
        """Waits until the transport has taken all that was written."""
        while self._pending:
            await self.going()
        if self._write_error is not None:
            raise self._write_error

    def going(self) -> asyncio.Future[bool]:
        """Done when the transport has taken all that was written, or failed: while `backlogged`."""
        self._writer = self._waiter(self._writer)
        return self._writer

    def send_eof(self) -> None:
        """No more will be written."""
        if not self._fin:
            self._fin = True
            self._push()

    # ---- giving up

    @property
    def over(self) -> bool:
        """Whether nothing more can come or go."""
        return self._in_over and self._out_over

    @property
    def moved(self) -> int:
        """Bytes that the other side has acknowledged, or that have come from it without a gap."""
        with suppress(SessionClosed):
            self._moved = self._connection.moved(self.id)
        return self._moved

    @property
    def given_up(self) -> bool:
        """Whether the peer, or this side, has broken it off."""
        return self._read_error is not None or self._write_error is not None

    def stop(self, code: int = 0) -> None:
        """Reads no more of it; what was written still goes out."""
        if not self._in_over:
            self._abandon(self._connection.stop, code)
            self._fail_reading(StreamReset(code, "this side reads no more of it"))
            self._settle()

    def reset(self, code: int = 0, error: Exception | None = None) -> None:
        """Gives the stream up in both directions; whoever waits on it gets the error."""
        error = error or StreamReset(code, "the stream was given up on this side")
        self._abandon(self._connection.reset, code)
        self._abandon(self._connection.stop, code)
        self._fail_reading(error)
        self._fail_writing(error)
        self._settle()

    def _abandon(self, side: Callable[[int, int], None], code: int) -> None:
        if not self.session.closed:
            try:
                side(self.id, code)
            except SessionClosed:
                return  # that side of it was over already
            self.session.endpoint.wake()

    # ---- what the endpoint tells

    def handle(self, event: Event) -> None:
        """Something has happened to this stream."""
        match event.kind:
            case EventKind.READABLE:
                _wake(self._reader)
            case EventKind.WRITABLE:
                self._push()
            case EventKind.RESET:
                self._fail_reading(StreamReset(event.code))
                self._lose()
            case EventKind.STOPPED:
                self._fail_writing(StreamReset(event.code))
                self._lose()
        self._settle()

    def take_whole(self, data: bytes) -> None:
        """All that was still to come has come."""
        if not self._in_over:
            self._head += data
            self._in_over = True
            _wake(self._reader)
            self._settle()

    def end(self, error: RepramError) -> None:
        """The session is over."""
        self._fail_reading(error)
        self._fail_writing(error)
        self._lose()

    # ----

    def _push(self) -> None:
        """Hands the core what it takes; the rest waits for WRITABLE."""
        try:
            while self._pending:
                first = self._pending[0]
                last = self._fin and len(self._pending) == 1
                taken = self._connection.write(self.id, first, fin=last)
                if taken < len(first):
                    self._pending[0] = first[taken:]
                    break
                self._pending.popleft()
                self._out_over = last
            if self._fin and not self._pending and not self._out_over:
                self._connection.write(self.id, b"", fin=True)
                self._out_over = True
        except SessionClosed:
            return  # the event that says why is on its way
        self.session.endpoint.wake()
        if not self._pending:
            _wake(self._writer)
        self._settle()

    def _waiter(self, waiting: asyncio.Future[bool] | None) -> asyncio.Future[bool]:
        if waiting is not None and not waiting.done():
            raise LocalError("another task waits for the same side of this stream")
        return self.session.endpoint.loop.create_future()

    def _settle(self) -> None:
        if self._in_over and self._out_over:
            self.session.forget(self.id)

    def _fail_reading(self, error: Exception) -> None:
        if not self._in_over:
            self._in_over = True
            self._read_error = error
            _wake(self._reader)

    def _fail_writing(self, error: Exception) -> None:
        if not self._out_over:
            self._fin = self._out_over = True
            self._write_error = error
            self._pending.clear()
            _wake(self._writer)

    def _lose(self) -> None:
        on_lost, self.on_lost = self.on_lost, None
        if on_lost is not None:
            on_lost()


class Exchange:
    """A short question, sent whole on a stream of its own."""

    __slots__ = ("_session", "answer", "id")

    def __init__(self, session: Session, stream: int) -> None:
        self.id = stream
        self._session = session
        # All of the answer when it is short, otherwise the stream that it comes by.
        self.answer: asyncio.Future[bytes | Stream] = session.endpoint.loop.create_future()

    def abandon(self, code: int) -> None:
        """The answer is of no interest any more."""
        Stream(self._session, self.id, written=True).reset(code)

    def handle(self, event: Event) -> None:
        """The endpoint's: something has happened to this stream."""
        if event.kind is EventKind.READABLE:
            self._session.adopt(stream := Stream(self._session, self.id, written=True))
            if not self.answer.done():
                self.answer.set_result(stream)
        elif event.kind is EventKind.RESET:
            self.end(StreamReset(event.code))

    def take_whole(self, data: bytes) -> None:
        """The endpoint's: the answer has come."""
        self._session.forget(self.id)
        if not self.answer.done():
            self.answer.set_result(data)

    def end(self, error: RepramError) -> None:
        """The endpoint's: there will be no answer."""
        self._session.forget(self.id)
        if not self.answer.done():
            self.answer.set_exception(error)


def _wake(waiter: asyncio.Future[bool] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(True)
