"""Calls over a session: one stream a call.

Each side sends one message and then, if it has one, a body until the end of the stream. A message is
preceded by four bytes, big-endian: the version of this framing (8 bits, now 1) and its length (24 bits).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, TypeAlias, TypeVar

from repram.errors import (
    Busy,
    IncompatibleVersion,
    LocalError,
    RepramError,
    SessionClosed,
    StreamReset,
    Unreachable,
)
from repram.proto import messages
from repram.proto.endpoint import Session, Stream
from repram.proto.messages import Code, Failure, Malformed, Reply, Request, Stalled

Bytes: TypeAlias = bytes | bytearray | memoryview
T = TypeVar("T")

VERSION: Final = 1
MAX_MESSAGE: Final = 1 << 16
MAX_BODY: Final = messages.CHUNK_MAX
PATIENCE: Final = 60.0  # seconds without any progress after which a call is given up
CONCURRENCY: Final = 64  # calls of one session that a node answers at a time: its `max_streams`
_HEADER_SIZE: Final = 4
_PIECE: Final = 1 << 16

_log = logging.getLogger(__name__)


class Answer(NamedTuple):
    """A reply and the body that follows it."""

    reply: Reply
    body: Bytes = b""


class Incoming:
    """A body on its way in; nothing is buffered until it is asked for."""

    def __init__(self, stream: Stream, patience: float = PATIENCE) -> None:
        self._stream = stream
        self._patience = patience

    async def take(self, size: int) -> bytearray:
        """All of a body of exactly `size` bytes; the caller has checked that it can hold them."""
        body = bytearray(size)
        await self._fill(memoryview(body))
        if await self._read(1):
            raise Malformed(f"more than the {size} bytes that were announced came")
        return body

    async def take_rest(self, limit: int) -> bytearray:
        """Whatever comes until the end, if it is not more than `limit` bytes."""
        body = bytearray()
        while piece := await self._read(_PIECE):
            if len(body) + len(piece) > limit:
                raise Malformed(f"more than the {limit} bytes that were asked for came")
            body += piece
        return body

    async def take_message(self) -> bytes:
        """The message at the front; its length is checked before anything is kept for it."""
        header = bytearray(_HEADER_SIZE)
        await self._fill(memoryview(header))
        version, length = header[0], int.from_bytes(header[1:], "big")
        if version != VERSION:
            raise IncompatibleVersion(
                f"calls of version {version} came; this side speaks {VERSION}"
            )
        if length > MAX_MESSAGE:
            raise Malformed(f"a message of {length} bytes is longer than {MAX_MESSAGE}")
        data = bytearray(length)
        await self._fill(memoryview(data))
        return bytes(data)

    async def discard(self, limit: int) -> None:
        """Read on to the end and keep nothing, so that the other side can finish and see the reply."""
        while (piece := await self._read(_PIECE)) and limit > 0:
            limit -= len(piece)

    async def _fill(self, view: memoryview) -> None:
        while view:
            piece = await self._read(len(view))
            if not piece:
                raise Malformed(f"the stream ended {len(view)} bytes short")
            view[: len(piece)] = piece
            view = view[len(piece) :]

    async def _read(self, limit: int) -> bytes:
        return await _patiently(self._stream.read(min(limit, _PIECE)), self._patience)


async def call(
    session: Session,
    request: Request,
    *,
    body: Bytes = b"",
    max_body: int = 0,
    patience: float = PATIENCE,
) -> Answer:
    """Ask and await the answer; a failure reply is raised as the error that it stands for."""
    stream = await session.open_stream()
    try:
        await _send(stream, messages.encode(request), body, patience)
        answer = await _receive(stream, max_body, patience)
    except Stalled:
        stream.reset(Code.STALLED)
        raise Unreachable(
            f"the node stopped answering: nothing moved for {patience:.0f} s",
            hint="The line or the node is overloaded; try again.",
        ) from None
    except BaseException:
        stream.reset(Code.CANCELLED)
        raise
    return answer


Handler: TypeAlias = Callable[[Request, Incoming], Awaitable[Answer]]


class Server:
    """Answers the calls of any number of sessions, until it is drained."""

    def __init__(self, handle: Handler, *, patience: float = PATIENCE) -> None:
        self._handle = handle
        self._patience = patience
        self._running: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False

    async def attend(self, session: Session) -> None:
        """Answer the session's calls until it ends; what is then still under way is cancelled.

        No call waits for another one here: the bodies of those that wait would take the session's credit
        from those that are read. How many run at a time is for the endpoint's `max_streams` to say.
        """
        ours: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as calls:
            while True:
                try:
                    stream = await session.accept_stream()
                except SessionClosed:
                    break
                task = calls.create_task(self._answer(stream))
                ours.add(task)
                task.add_done_callback(ours.discard)
                self._count(task)
            for task in ours:
                task.cancel()

    async def drain(self) -> None:
        """Take no further calls and wait until those under way have their answer."""
        self._draining = True
        await self._idle.wait()

    def _count(self, task: asyncio.Task[None]) -> None:
        self._running.add(task)
        self._idle.clear()
        task.add_done_callback(self._uncount)

    def _uncount(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not self._running:
            self._idle.set()

    async def _answer(self, stream: Stream) -> None:
        """One call from its first byte to its last; whatever goes wrong concerns this stream alone."""
        incoming = Incoming(stream, self._patience)
        try:
            answer = await self._handled(incoming)
            await _send(stream, messages.encode(answer.reply), answer.body, self._patience)
            await incoming.discard(MAX_BODY)
        except Stalled:
            stream.reset(Code.STALLED)
        except (StreamReset, SessionClosed):
            stream.reset(Code.CANCELLED)

    async def _handled(self, incoming: Incoming) -> Answer:
        try:
            request = messages.decode_request(await incoming.take_message())
            if self._draining:
                raise Busy("it is shutting down")
            return await self._handle(request, incoming)
        except (StreamReset, SessionClosed, Stalled):
            raise
        except RepramError as error:
            return Answer(messages.failure_of(error))
        except Exception:  # noqa: BLE001  # a bug of ours must not end the session for all others
            _log.exception("a call failed")
            return Answer(Failure(Code.FAILED, "something went wrong inside the node"))


async def _receive(stream: Stream, max_body: int, patience: float) -> Answer:
    incoming = Incoming(stream, patience)
    reply = messages.decode_reply(await incoming.take_message())
    if isinstance(reply, Failure):
        raise messages.error_of(reply)
    return Answer(reply, await incoming.take_rest(max_body))


async def _send(stream: Stream, message: bytes, body: Bytes, patience: float) -> None:
    if len(message) > MAX_MESSAGE or len(body) > MAX_BODY:
        raise LocalError(f"{len(message)} and {len(body)} bytes are more than a call carries")
    stream.write(bytes([VERSION]) + len(message).to_bytes(3, "big") + message)
    view = memoryview(body)
    while view:
        stream.write(view[:_PIECE])
        view = view[_PIECE:]
        await _patiently(stream.drain(), patience)
    stream.send_eof()


async def _patiently(step: Awaitable[T], patience: float) -> T:
    try:
        async with asyncio.timeout(patience):
            return await step
    except TimeoutError:
        raise Stalled("nothing came or went for too long") from None
