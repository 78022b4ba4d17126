"""The side that answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import perf_counter_ns
from typing import Any, Final, Generic, NamedTuple, TypeAlias, TypeVar

import msgspec

from repram.errors import Busy, RepramError, SessionClosed, StreamReset
from repram.proto.endpoint import Session
from repram.proto.rpc.body import Body, Incoming, drain, send
from repram.proto.rpc.codec import REQUEST_HEAD, Codec, P, Q, message_size
from repram.proto.rpc.failures import (
    Code,
    DeadlinePassed,
    Failure,
    Malformed,
    UnknownRequest,
    failure_of,
)
from repram.proto.rpc.patience import PATIENCE, Patience
from repram.proto.rpc.slots import Slots, Waiting
from repram.proto.stream import Stream

M = TypeVar("M", bound=msgspec.Struct)
R_co = TypeVar("R_co", bound=msgspec.Struct, covariant=True)

AT_ONCE: Final = 1024
_SHORT: Final = 4096  # an answer of at most so many bytes goes out in one piece

_DRAINING: Final = "it is shutting down"

_log = logging.getLogger(__name__)


class Answer(NamedTuple, Generic[R_co]):
    """A reply and the body that goes with it."""

    reply: R_co
    body: Body = b""


Plain: TypeAlias = Callable[[Any, Session], Any]
Task: TypeAlias = Callable[[Any, Incoming], Awaitable[Any]]
# Told of each answer: the kind of request (None: it could not be read), the code (0: it was done), and
# the nanoseconds from the request's arrival until its answer was ready.
Witness: TypeAlias = Callable[[type | None, int, int], None]


class Server(Generic[Q, P]):
    """Answers the calls of any number of sessions.

    A kind of request is answered by a plain function, at once and without a task, or by a coroutine
    in a task of its own, of which `at_once` run at a time while others wait their turn. A kind may have
    both: then the function answers what came in one piece and without a body. How many calls one
    session may have under way is its endpoint's `max_streams`; its other calls wait at the caller.
    """

    def __init__(
        self,
        codec: Codec[Q, P],
        *,
        at_once: int = AT_ONCE,
        patience: float = PATIENCE,
        witness: Witness | None = None,
    ) -> None:
        self.codec = codec
        self.patience = patience
        self.witness = witness
        self.slots = Slots(at_once)
        self.plain: dict[type, Plain] = {}
        self.tasks: dict[type, Task] = {}
        self.draining = False
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def on(self, kind: type[M], handler: Callable[[M, Session], P | Answer[P]]) -> None:
        """Requests of this kind have no body, and are answered by a function that does not wait."""
        self.plain[kind] = handler

    def on_task(
        self, kind: type[M], handler: Callable[[M, Incoming], Awaitable[P | Answer[P]]]
    ) -> None:
        """Requests of this kind are answered by a coroutine, which may read their body. It is cancelled
        when the caller has given up, the time is over or the session ends."""
        self.tasks[kind] = handler

    async def attend(self, session: Session) -> None:
        """Answers the session's calls until it ends; what is then under way is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            calls = _Calls(self, session, tasks)
            session.on_whole = calls.whole
            try:
                while True:
                    calls.start(await session.accept_stream())
            except SessionClosed:
                return
            finally:
                session.on_whole = None

    async def drain(self) -> None:
        """Takes no further calls and waits for those under way."""
        self.draining = True
        await self._idle.wait()

    def begin(self) -> None:
        """A call is under way: `drain` waits for it."""
        self._under_way += 1
        self._idle.clear()

    def end(self) -> None:
        """It is not any more."""
        self._under_way -= 1
        if not self._under_way:
            self._idle.set()


class _Calls(Generic[Q, P]):
    """The calls of one session; whatever goes wrong in one concerns its stream alone."""

    def __init__(self, server: Server[Q, P], session: Session, tasks: asyncio.TaskGroup) -> None:
        self._server = server
        self._codec = server.codec
        self._session = session
        self._tasks = tasks
        self._waiting: Waiting = set()

    # ---- without a task

    def whole(self, stream: int, data: bytes) -> None:
        """A call has come in one piece."""
        began, kind = perf_counter_ns(), None
        try:
            request, left, behind = self._codec.read_call(data)
            kind = type(request)
            handler = self._server.plain.get(kind)
            if handler is None or (behind and kind in self._server.tasks):
                calling = self._session.came_whole(stream, behind)
                self._spawn(calling, lambda stream: self._run(stream, request, left, began))
                return
            reply, body = self._encoded(self._plainly(handler, request, behind), kind, began)
        except Exception as error:  # noqa: BLE001  # the caller is told, or it is logged
            reply, body = self._failure(error, kind, began), b""
        self._send_at_once(stream, reply, body)

    def _send_at_once(self, stream: int, reply: bytes, body: Body) -> None:
        if not isinstance(body, bytes) or len(body) > _SHORT:
            answering = self._session.came_whole(stream)
            self._spawn(answering, lambda stream: self._respond(stream, reply, body))
        elif unsent := self._session.answer(stream, reply + body if body else reply):
            self._spawn(unsent, self._drain)

    def _plainly(self, handler: Plain, request: Q, behind: bytes) -> P | Answer[P]:
        if behind:
            raise Malformed("bytes came behind a request that has no body")
        if self._server.draining:
            raise Busy(_DRAINING)
        answer: P | Answer[P] = handler(request, self._session)
        return answer

    # ---- in a task

    def start(self, stream: Stream) -> None:
        """Answers the call that comes by this stream."""
        self._spawn(stream, self._call)

    def _spawn(self, stream: Stream, work: Callable[[Stream], Awaitable[None]]) -> None:
        task = self._tasks.create_task(self._attend(stream, work))
        task.add_done_callback(lambda _: _leave(stream))  # even if it never started
        stream.on_lost = task.cancel
        if stream.given_up:
            task.cancel()

    async def _attend(self, stream: Stream, work: Callable[[Stream], Awaitable[None]]) -> None:
        try:
            await work(stream)
            stream.stop(Code.UNREAD)
        except (StreamReset, SessionClosed):
            return
        except RepramError as error:
            stream.reset(failure_of(error).code)
        except Exception:  # noqa: BLE001  # a bug of ours must not end the session for all others
            _log.exception("a call failed in the middle of its answer")
            stream.reset(Code.FAILED)

    async def _call(self, stream: Stream) -> None:
        """A call that comes piece by piece."""
        began = perf_counter_ns()
        incoming = Incoming(stream, Patience(self._server.patience, None))
        try:
            head, left = REQUEST_HEAD.unpack(await incoming.take_exactly(REQUEST_HEAD.size))
            message = await incoming.take_exactly(message_size(head))
            request = self._codec.read_request(message)
        except (StreamReset, SessionClosed):
            raise
        except RepramError as error:
            await self._respond(stream, self._failure(error, None, began), b"")
            return
        kind = type(request)
        plain = self._server.plain.get(kind)
        if plain is not None and kind not in self._server.tasks:
            late = self._late(plain, request, incoming)
            await self._respond(stream, *await self._outcome(stream, late, kind, began))
        else:
            await self._run(stream, request, left, began)

    async def _late(self, plain: Plain, request: Q, incoming: Incoming) -> P | Answer[P]:
        return self._plainly(plain, request, await incoming.read(1))

    async def _run(self, stream: Stream, request: Q, left: int, began: int) -> None:
        """Asks the handler and sends what it answers, within the milliseconds that are left."""
        answer, deadline = None, asyncio.timeout(left / 1000 if left else None)
        kind = type(request)
        try:
            handler = self._handler(request)
            self._server.begin()
        except RepramError as error:
            await self._respond(stream, self._failure(error, kind, began), b"")
            return
        try:
            async with deadline:
                await self._server.slots.take(self._waiting)
                incoming = Incoming(stream, Patience(self._server.patience, None), self._starved)
                try:
                    answering = handler(request, incoming)
                    answer = await self._outcome(stream, answering, kind, began)
                    await self._respond(stream, *answer)
                finally:
                    self._server.slots.give()
                    await incoming.held.aclose()
        except TimeoutError:
            if not deadline.expired():
                raise
            if answer is not None:
                raise DeadlinePassed from None
            await self._respond(stream, self._failure(DeadlinePassed(), kind, began), b"")
        finally:
            self._server.end()

    def _handler(self, request: Q) -> Task:
        if self._server.draining:
            raise Busy(_DRAINING)
        handler = self._server.tasks.get(type(request))
        if handler is None:
            raise UnknownRequest("this node does not answer this kind of request")
        return handler

    async def _outcome(
        self, stream: Stream, answering: Awaitable[P | Answer[P]], kind: type, began: int
    ) -> tuple[bytes, Body]:
        """What to send for what a handler returns, or raises."""
        try:
            return self._encoded(await answering, kind, began)
        except Exception as error:
            if stream.given_up:
                raise
            return self._failure(error, kind, began), b""

    async def _respond(self, stream: Stream, reply: bytes, body: Body) -> None:
        self._server.begin()
        try:
            stream.write(reply)
            await send(stream, body, self._server.patience)
        finally:
            self._server.end()

    async def _drain(self, stream: Stream) -> None:
        self._server.begin()
        try:
            await drain(stream, self._server.patience)
        finally:
            self._server.end()

    def _starved(self) -> None:
        self._server.slots.admit_all(self._waiting)

    # ----

    def _encoded(self, answer: P | Answer[P], kind: type, began: int) -> tuple[bytes, Body]:
        if isinstance(answer, Answer):
            out = self._codec.reply(answer.reply), answer.body
        else:
            out = self._codec.reply(answer), b""
        self._tell(kind, 0, began)
        return out

    def _failure(self, error: Exception, kind: type | None, began: int) -> bytes:
        if isinstance(error, RepramError):
            failure = failure_of(error)
        else:
            _log.error("a call failed", exc_info=error)
            failure = Failure(Code.FAILED, "something went wrong inside the node")
        self._tell(kind, failure.code, began)
        return self._codec.reply(failure)

    def _tell(self, kind: type | None, code: int, began: int) -> None:
        if self._server.witness is not None:
            self._server.witness(kind, code, perf_counter_ns() - began)


def _leave(stream: Stream) -> None:
    stream.on_lost = None
    if not stream.over:
        stream.reset(Code.CANCELLED)
