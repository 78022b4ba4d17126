"""Bodies: bytes on their way in or out, never more of them in memory than somebody asked for."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Final, TypeAlias

from repram.buffers import unset
from repram.errors import StreamReset
from repram.proto.endpoint import Session
from repram.proto.rpc.failures import Malformed, broken_off
from repram.proto.rpc.patience import Patience, patiently
from repram.proto.stream import Stream

Bytes: TypeAlias = bytes | bytearray | memoryview
Body: TypeAlias = Bytes | AsyncIterable[Bytes]

PIECE: Final = 1 << 16


class Incoming:
    """A body on its way in; nothing is buffered until it is asked for.

    `starved` is called when nothing has come for a while: perhaps what waits behind this body holds
    the credit that it needs.
    """

    def __init__(
        self, stream: Stream, patience: Patience, starved: Callable[[], None] | None = None
    ) -> None:
        self.held = AsyncExitStack()  # what is entered there is left once the answer has gone
        self._stream = stream
        self._patience = patience
        self._starved = starved

    @property
    def session(self) -> Session:
        """Whose it is: `peer_key` and `secret_id` say what the other side has proved."""
        return self._stream.session

    async def read(self, limit: int = PIECE) -> bytes:
        """Some bytes as soon as there are any; b"" at the end."""
        try:
            while (data := self._stream.read_now(limit)) is None:
                await self._wait()
            return data
        except StreamReset as error:
            raise broken_off(error) from None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self.read():
            yield piece

    async def take(self, size: int, *, kept: bool = False) -> bytearray:
        """All of a body of exactly `size` bytes; the caller has checked that it can hold them."""
        body = unset(size, kept=kept)
        await self._fill(memoryview(body))
        if await self.read(1):
            raise Malformed(f"more than the {size} bytes that were announced came")
        return body

    async def take_rest(self, limit: int) -> bytearray:
        """Whatever comes until the end, if it is not more than `limit` bytes. What is kept for it grows with
        what has come, for the limit may be far away."""
        body, done = unset(min(limit, PIECE)), 0
        while done < limit:
            if done == len(body):
                grown = unset(min(limit, 4 * done))
                grown[:done] = body
                body = grown
            with memoryview(body)[done:] as free:
                size = await self._read_into(free)
            if not size:
                del body[done:]
                return body
            done += size
        if await self.read(1):
            raise Malformed(f"more than the {limit} bytes that were asked for came")
        return body

    async def take_exactly(self, size: int) -> bytes:
        """The next `size` bytes: of a message, which is short."""
        part = b""
        while missing := size - len(part):
            more = await self.read(missing)
            if not more:
                raise _short_by(missing)
            part += more
        return part

    async def _fill(self, view: memoryview) -> None:
        while view:
            size = await self._read_into(view)
            if not size:
                raise _short_by(len(view))
            view = view[size:]

    async def _read_into(self, view: memoryview) -> int:
        """Copied once, from the transport's pages to where it stays."""
        try:
            while (size := self._stream.read_into_now(view)) is None:
                await self._wait()
            return size
        except StreamReset as error:
            raise broken_off(error) from None

    async def _wait(self) -> None:
        await patiently(self._stream.coming, self._stream, self._patience, self._starved)


def _short_by(missing: int) -> Malformed:
    return Malformed(f"the stream ended {missing} bytes short")


async def send(stream: Stream, body: Body, patience: float) -> None:
    """Writes all of a body and the end behind it, as fast as the other side takes it and no faster."""
    if isinstance(body, AsyncIterable):
        await _send_pieces(stream, body, Patience(patience, stream.moved))
        stream.send_eof()
    else:
        stream.finish(body)  # not copied: the transport takes it piece by piece
    await drain(stream, patience)


async def drain(stream: Stream, patience: float) -> None:
    """Waits until the transport has taken all that was written."""
    if stream.backlogged:
        await _drain(stream, Patience(patience, stream.moved))


async def _drain(stream: Stream, patience: Patience) -> None:
    while stream.backlogged:
        await patiently(stream.going, stream, patience)
    await stream.drain()  # raises if it failed


async def _send_pieces(stream: Stream, body: AsyncIterable[Bytes], left: Patience) -> None:
    try:
        async for piece in body:
            stream.write(piece)
            await _drain(stream, left)
    finally:
        if isinstance(body, AsyncGenerator):
            await body.aclose()  # now, and not whenever it is collected
