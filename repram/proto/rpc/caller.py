"""The side that asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final, Generic, NamedTuple

from repram.errors import StreamReset
from repram.proto.connection import SHORT_MAX
from repram.proto.endpoint import Session
from repram.proto.rpc.body import Body, Bytes, Incoming, send
from repram.proto.rpc.codec import REPLY_HEAD, Codec, P, Q, message_size
from repram.proto.rpc.deadlines import Deadlines
from repram.proto.rpc.failures import Code, DeadlinePassed, Malformed, Stalled, broken_off
from repram.proto.rpc.patience import PATIENCE, Patience
from repram.proto.stream import Exchange, Stream

TIMEOUT: Final = 60.0


class Answered(NamedTuple, Generic[P]):
    """A reply and the body that came with it."""

    reply: P
    body: Bytes


class Answering(NamedTuple, Generic[P]):
    """A reply whose body is still on its way."""

    reply: P
    body: Incoming


class Caller(Generic[Q, P]):
    """Asks the other side of a session: any number of calls at once, each on a stream of its own.

    The seconds `within` which a call is to be done travel with the request: when they are over the
    other side stops working, and DeadlinePassed is raised here. Without them a call may take as long
    as it moves fast enough not to use up the `patience`. Cancelling whoever awaits a call
    cancels it over there too.
    """

    def __init__(self, session: Session, codec: Codec[Q, P], *, patience: float = PATIENCE) -> None:
        self._session = session
        self._codec = codec
        self._patience = patience
        self._deadlines = Deadlines(session.endpoint.loop)

    async def ask(self, request: Q, *, within: float = TIMEOUT) -> P:
        """Asks what needs no body in either direction."""
        return (await self._short(self._codec.request(request, within), within, 0)).reply

    def begin(self, request: Q, *, within: float = TIMEOUT) -> Coroutine[Any, Any, P]:
        """Asks like `ask`, of which the rest is returned: the question is on its way already, if it is
        short and may be asked, and does not wait for what else is done in this turn of the loop."""
        question = self._codec.request(request, within)
        exchange = self._exchange(question)
        if exchange is not None:
            self._session.endpoint.flush()
        return self._begun(question, exchange, within)

    async def call(
        self, request: Q, *, body: Body = b"", max_body: int = 0, within: float | None = None
    ) -> Answered[P]:
        """Asks with a body, and takes at most `max_body` bytes of body with the reply."""
        if isinstance(body, AsyncIterable):
            async with self.stream(request, body=body, within=within) as answer:
                return Answered(answer.reply, await answer.body.take_rest(max_body))
        question = self._codec.request(request, within)
        if len(body) <= SHORT_MAX:
            return await self._short(question + body, within, max_body)
        return await self._slowly(question, within, max_body, body)

    @asynccontextmanager
    async def stream(
        self, request: Q, *, body: Body = b"", within: float | None = None
    ) -> AsyncIterator[Answering[P]]:
        """Asks with a body that goes out while the reply's is read piece by piece. Leaving before the
        end of that cancels the call."""
        due = self._after(within)
        with self._watched(await self._open(due), due) as stream:
            stream.write(self._codec.request(request, within))
            async with _sending(stream, body, self._patience):
                yield await self._reply(stream, Patience(self._patience))

    # ---- questions that go out in one piece

    async def _short(self, question: bytes, within: float | None, max_body: int) -> Answered[P]:
        return await self._answer(question, self._exchange(question), within, max_body)

    async def _begun(self, question: bytes, exchange: Exchange | None, within: float) -> P:
        return (await self._answer(question, exchange, within, 0)).reply

    def _exchange(self, question: bytes) -> Exchange | None:
        """None when it has to go another way."""
        if len(question) > SHORT_MAX:
            return None
        try:
            return self._session.exchange(question)
        except BlockingIOError:  # the peer allows no more streams for now
            return None

    async def _answer(
        self, question: bytes, exchange: Exchange | None, within: float | None, max_body: int
    ) -> Answered[P]:
        if exchange is None:
            return await self._slowly(question, within, max_body)
        if within is None:
            self._deadlines.add(exchange, self._patience, Stalled)
        else:
            self._deadlines.add(exchange, within, DeadlinePassed)
        try:
            came = await exchange.answer
        except StreamReset as error:
            raise broken_off(error) from None
        except asyncio.CancelledError:
            exchange.abandon(Code.CANCELLED)
            raise
        finally:
            due = self._deadlines.remove(exchange)
        if isinstance(came, bytes):
            return self._split(came, max_body)
        patience = Patience(self._patience, None)
        return await self._long(came, None if within is None else due, max_body, patience)

    async def _slowly(
        self, question: bytes, within: float | None, max_body: int, body: Bytes = b""
    ) -> Answered[P]:
        due = self._after(within)
        stream = await self._open(due)
        stream.finish(question, body)
        return await self._long(stream, due, max_body, Patience(self._patience))

    def _split(self, came: bytes, max_body: int) -> Answered[P]:
        reply, behind = self._codec.read_answer(came)
        if len(behind) > max_body:
            raise Malformed(f"more than the {max_body} bytes that were asked for came")
        return Answered(reply, behind)

    # ---- everything else

    async def _long(
        self, stream: Stream, due: float | None, max_body: int, patience: Patience
    ) -> Answered[P]:
        with self._watched(stream, due):
            answer = await self._reply(stream, patience)
            return Answered(answer.reply, await answer.body.take_rest(max_body))

    async def _open(self, due: float | None) -> Stream:
        if due is None:
            return await self._session.open_stream()
        try:
            async with asyncio.timeout_at(due):
                return await self._session.open_stream()
        except TimeoutError:
            raise DeadlinePassed from None

    @contextmanager
    def _watched(self, stream: Stream, due: float | None) -> Iterator[Stream]:
        """The stream is over at the end, one way or the other."""
        late = DeadlinePassed()
        loop = self._session.endpoint.loop
        timer = loop.call_at(due, stream.reset, Code.DEADLINE, late) if due is not None else None
        try:
            yield stream
        except BaseException as error:
            stream.reset(Code.STALLED if isinstance(error, Stalled) else Code.CANCELLED)
            raise
        finally:
            if timer is not None:
                timer.cancel()
            if not stream.over:
                stream.reset(Code.UNREAD)

    async def _reply(self, stream: Stream, patience: Patience) -> Answering[P]:
        body = Incoming(stream, patience)
        (head,) = REPLY_HEAD.unpack(await body.take_exactly(REPLY_HEAD.size))
        message = await body.take_exactly(message_size(head))
        return Answering(self._codec.read_reply(message), body)

    def _after(self, within: float | None) -> float | None:
        return None if within is None else self._session.endpoint.loop.time() + within


@asynccontextmanager
async def _sending(stream: Stream, body: Body, patience: float) -> AsyncIterator[None]:
    """The body goes out meanwhile: by a task of its own, if it has to be asked for."""
    if not isinstance(body, AsyncIterable):
        with suppress(StreamReset):  # the other side has answered already and reads no more of it
            stream.finish(body)
        yield
        return
    sender = asyncio.create_task(_send(stream, body, patience))
    try:
        yield
    finally:
        sender.cancel()
        await asyncio.wait([sender])


async def _send(stream: Stream, body: Body, patience: float) -> None:
    try:
        await send(stream, body, patience)
    except StreamReset:
        return  # the other side reads no more of it: its reply says why
    except Exception as error:  # noqa: BLE001  # whoever awaits the reply is told
        stream.reset(Code.CANCELLED, error)
