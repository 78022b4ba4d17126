"""The transport on asyncio: an adapter without an opinion.

A wake-up is one call into the core's socket side: datagrams in, datagrams out, one timer set. The
timer is a descriptor of its own, because event-loop clocks are too coarse for pacing.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TextIO

from repram._core import ffi, lib
from repram.errors import DeadAddress, RepramError, SessionClosed
from repram.proto import trace
from repram.proto.connection import (
    DEFAULTS,
    ETHERNET,
    Address,
    Connection,
    Core,
    Event,
    EventKind,
    Secret,
    Settings,
    Stats,
    Whole,
    closing_error,
    pack_address,
    unpack_address,
)
from repram.proto.primitives import Pattern
from repram.proto.stream import Exchange, Stream
from repram.proto.turns import Turns

if TYPE_CHECKING:
    from repram._core import CData

ANY: Final = ("0.0.0.0", 0)  # a caller listens nowhere; a node says where
BACKLOG: Final = 1024  # sessions or streams that wait to be accepted
_LITTLE: Final = 1 << 16  # bytes that a peer may send ahead which is held back
_MUCH: Final = 1 << 60
FIRST: Final = 4  # sessions whose first call is handed out as soon as it comes, in one turn


def _largest_datagram(udp: CData) -> int:
    """So large that the socket still holds many: what the path carries is found out."""
    share: int = lib.rp_udp_receive_buffer(udp) // 16
    return max(ETHERNET, min(share, int(lib.RP_MAX_DATAGRAM)))


class Session:
    """A session with one peer: streams, in both directions."""

    def __init__(self, endpoint: Endpoint, connection: Connection) -> None:
        self.endpoint = endpoint
        self.connection = connection
        # Who answers a short stream of the peer's as soon as it has come; without, it is accepted.
        self.on_whole: Callable[[int, bytes], None] | None = None
        self._streams: dict[int, Stream | Exchange] = {}
        self._accepted: deque[Stream] = deque()
        self._arrived = asyncio.Event()
        self._stream_credit = asyncio.Event()
        self._datagrams = asyncio.Event()
        self._trace: TextIO | None = None
        self._up = asyncio.Event()
        self._error: RepramError | None = None
        self._held_back = False

    @property
    def peer_key(self) -> bytes | None:
        """The Ed25519 key that the peer has proved, if it has one."""
        return self.connection.peer_key

    @property
    def secret_id(self) -> bytes | None:
        """Which secret the peer has proved, if any."""
        return self.connection.secret_id

    @property
    def address(self) -> Address:
        """Where the peer is; it may move."""
        return self.connection.address

    @property
    def closed(self) -> bool:
        """Whether the session has ended, for whatever reason."""
        return self._error is not None

    def hold_back(self, on: bool = True) -> None:
        """Has the peer send little at once, however much it has to say; or as much as ever again."""
        if on != self._held_back and not self.closed:
            self._held_back = on
            with suppress(SessionClosed):
                self.connection.grant(_LITTLE if on else _MUCH)

    async def open_stream(self, priority: int = 4) -> Stream:
        """A new stream; waits while the peer allows no more at once."""
        while True:
            if self._error is not None:
                raise self._error
            try:
                stream = Stream(self, self.connection.open_stream(priority))
            except BlockingIOError:
                self._stream_credit.clear()
                await self._stream_credit.wait()
                continue
            self._streams[stream.id] = stream
            return stream

    def exchange(self, question: bytes, priority: int = 4) -> Exchange:
        """Sends a short question on a stream of its own; BlockingIOError while that cannot be: then
        open a stream, and wait."""
        if self._error is not None:
            raise self._error
        stream = self.connection.send(question, priority)
        exchange = self._streams[stream] = Exchange(self, stream)
        self.endpoint.wake()
        return exchange

    def answer(self, stream: int, answer: bytes) -> Stream | None:
        """All that is to be said on a stream that came whole; the stream, when it has not all gone yet."""
        try:
            taken = self.connection.write(stream, answer, fin=True)
        except SessionClosed:
            return None  # nobody waits for it any more
        self.endpoint.wake(answered=True)
        if taken == len(answer):
            return None
        rest = self.came_whole(stream)
        rest.finish(memoryview(answer)[taken:])
        return rest

    def came_whole(self, stream: int, data: bytes = b"") -> Stream:
        """A stream of the peer's of which all has come, for who wants to answer it piece by piece."""
        self.adopt(whole := Stream(self, stream))
        whole.take_whole(data)
        return whole

    async def accept_stream(self) -> Stream:
        """The next stream that the peer has opened."""
        while not self._accepted:
            if self._error is not None:
                raise self._error
            self._arrived.clear()
            await self._arrived.wait()
        return self._accepted.popleft()

    async def close(self, code: int = 0, reason: str = "") -> None:
        """Ends the session at once; what was not acknowledged may be lost."""
        if self._error is None:
            self.connection.close(code, reason, now=lib.rp_udp_now())
            self.endpoint.flush()

    @property
    def peer_time(self) -> int:
        """What the peer's wall clock says by now, in milliseconds, as it told when the session began."""
        return int(lib.rp_udp_now() + self.stats().clock_offset) // 1_000

    def stats(self) -> Stats:
        """How the session stands."""
        return self.connection.stats()

    def send_datagram(self, data: bytes) -> None:
        """Unreliable and unordered, at most one packet long."""
        if self._error is not None:
            raise self._error
        self.connection.send_datagram(data)
        self.endpoint.wake()

    async def receive_datagram(self) -> bytes:
        """The next datagram from the peer."""
        while True:
            if self._error is not None:
                raise self._error
            data = self.connection.read_datagram()
            if data is not None:
                return data
            self._datagrams.clear()
            await self._datagrams.wait()

    def trace_to(self, out: TextIO | None) -> None:
        """Writes what the session does to a file, one JSON object a line, until told None."""
        self.connection.trace(out is not None)
        self._trace = out
        self.endpoint.traced(self, out is not None)

    def write_trace(self) -> None:
        """The endpoint's: what was recorded since the last turn."""
        if self._trace is not None and self._error is None:
            trace.write(self.connection.trace_records(), self._trace)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def established(self) -> None:
        """Waits for the handshake to succeed, or raises why it did not."""
        await self._up.wait()
        if self._error is not None:
            raise self._error

    def adopt(self, stream: Stream) -> None:
        """What happens to the stream is to be told to this object."""
        self._streams[stream.id] = stream

    def forget(self, stream: int) -> None:
        """The stream is over on both sides."""
        self._streams.pop(stream, None)

    def take_whole(self, whole: Whole) -> None:
        """The endpoint's: a short stream has come to its end."""
        if not whole.opened:
            if found := self._streams.get(whole.stream):
                found.take_whole(whole.data)
        elif self.on_whole is not None:
            self.on_whole(whole.stream, whole.data)
        else:
            self._accepted.append(self.came_whole(whole.stream, whole.data))
            self._arrived.set()

    def handle(self, event: Event) -> None:
        """The endpoint's: something happened to this session or a stream of it."""
        match event.kind:
            case EventKind.CONNECTED | EventKind.ACCEPTED:
                self._up.set()
            case EventKind.OPENED:
                self.adopt(stream := Stream(self, event.stream))
                self._accepted.append(stream)
                self._arrived.set()
            case EventKind.DATAGRAM:
                self._datagrams.set()
            case EventKind.ADDRESS:
                pass  # the connection has taken note
            case EventKind.CLOSED:
                self.end(closing_error(event))
            case _:
                if event.kind is EventKind.WRITABLE:
                    self._stream_credit.set()  # the session's own carries stream 0, which may exist
                if found := self._streams.get(event.stream):
                    found.handle(event)

    def end(self, error: RepramError) -> None:
        """Everyone who waits on this session learns why it is over."""
        self._error = self._error or error
        for event in (self._up, self._arrived, self._stream_credit, self._datagrams):
            event.set()
        for stream in list(self._streams.values()):
            stream.end(self._error)
        self._streams.clear()


class Endpoint:
    """One UDP socket with any number of sessions on it."""

    def __init__(self, core: Core, udp: CData, address: Address) -> None:
        """Use `open`."""
        self.core = core
        self.key = core.key
        self.address = address
        self._udp: CData | None = udp
        self.loop = asyncio.get_running_loop()
        self._sessions: dict[int, Session] = {}  # by their connection's handle
        self._accepted: deque[Session] = deque()
        self._traced: set[Session] = set()
        self._arrived = asyncio.Event()
        self._turns = Turns()
        self._woken = self._telling = self._handing_out = self._writing = False
        self._answered = False  # a short stream, since something was sent last
        self._socket = lib.rp_udp_descriptor(udp)
        self._watch = lib.rp_udp_watch_descriptor(udp)
        self._timer = lib.rp_udp_timer_descriptor(udp)
        self._callers = lib.rp_udp_callers_descriptor(udp)
        self.loop.add_reader(self._watch, self.turn, lib.RP_TURN_READABLE)
        self.loop.add_reader(self._timer, self.turn, lib.RP_TURN_TIMER)
        if self._callers >= 0:
            self.loop.add_reader(self._callers, self.turn, lib.RP_TURN_CALLERS)

    @classmethod
    async def open(
        cls,
        address: Address = ANY,
        *,
        identity: bytes | None = None,
        listen: bool = False,
        settings: Settings = DEFAULTS,
        wall: int | None = None,
    ) -> Endpoint:
        """Binds a socket; with `listen`, answers whoever calls. `wall` is the time, in microseconds, that
        peers are told; the system's when it is not given."""
        out, bound = ffi.new("rp_udp **"), ffi.new("rp_address *")
        status = lib.rp_udp_open(pack_address(address), out, bound)
        if status != 0:
            why = os.strerror(-status)
            hint = "Another program uses this port." if -status == errno.EADDRINUSE else None
            raise RepramError(f"cannot open UDP {address[0]} port {address[1]}: {why}", hint=hint)
        if listen:
            lib.rp_udp_part_callers(out[0])  # where the kernel cannot, all come in one
        now = lib.rp_udp_now()
        try:
            core = Core(
                now=now,
                seed=os.urandom(32),
                identity=identity,
                listen=listen,
                settings=replace(settings, mtu=settings.mtu or _largest_datagram(out[0])),
                wall_offset=(time.time_ns() // 1000 if wall is None else wall) - now,
            )
        except BaseException:
            lib.rp_udp_close(out[0])
            raise
        return cls(core, out[0], unpack_address(bound))

    @property
    def kernel_drops(self) -> int:
        """Datagrams lost because the socket's buffer was full; known from the next that found room."""
        return 0 if self._udp is None else int(lib.rp_udp_drops(self._udp))

    def add_secret(self, secret: Secret) -> None:
        """Callers may now prove that they have it; their session's `secret_id` says so."""
        self.core.add_secret(secret)

    def remove_secret(self, secret_id: bytes) -> None:
        """It opens no further session; open ones go on."""
        self.core.remove_secret(secret_id)

    async def connect(
        self,
        address: tuple[str, int],
        key: bytes | None,
        *,
        secret: Secret | None = None,
        pattern: Pattern | None = None,
    ) -> Session:
        """A session with the node that has this key, or the error that says why not.

        With a secret, both sides prove that they have it. Without a key (XX) whoever answers is
        taken: compare `peer_key`, or the handshake hash, before trusting it.
        """
        numeric = await self._resolve(address)
        now = lib.rp_udp_now()
        connection = self.core.connect(numeric, key, now, pattern=pattern, secret=secret)
        session = self._sessions[connection.handle] = Session(self, connection)
        self.turn()
        try:
            await session.established()
        except DeadAddress:
            raise DeadAddress(f"nothing answers at {address[0]} port {address[1]}") from None
        except asyncio.CancelledError:
            await session.close()
            raise
        return session

    async def accept(self) -> Session:
        """The next session that a peer has opened."""
        while not self._accepted:
            if self._udp is None:
                raise SessionClosed(0, "this endpoint is closed")
            self._arrived.clear()
            await self._arrived.wait()
        return self._accepted.popleft()

    async def close(self) -> None:
        """Says goodbye to every peer and closes the socket."""
        if self._udp is None:
            return
        for session in list(self._sessions.values()):
            await session.close(lib.RP_CODE_DRAINED)
        self.loop.remove_reader(self._watch)
        self.loop.remove_reader(self._timer)
        if self._callers >= 0:
            self.loop.remove_reader(self._callers)
        if self._writing:
            self.loop.remove_writer(self._socket)
        lib.rp_udp_close(self._udp)
        self._udp = None
        self.core.close()
        self._arrived.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def wake(self, *, answered: bool = False) -> None:
        """Something was written or read: one turn at the end of this loop cycle sends it all. What
        answers a short stream may go sooner."""
        self._answered |= answered
        if not self._woken and not self._telling:
            self._woken = True
            self.loop.call_soon(self.flush)

    def turn(self, why: int = 0) -> None:
        """One wake-up. What it brings is handed over first: answers and acknowledgements go out
        together, at the end of this loop cycle or as soon as there are answers."""
        if self._udp is None:
            return
        found = lib.rp_udp_turn(self._udp, self.core.pointer, why | lib.RP_TURN_HOLD)
        if found & lib.RP_TURN_EVENTS:
            self._tell(self._send_soon)
        else:
            self._sent(found)

    def flush(self) -> None:
        """Sends what waits to be sent."""
        self._woken = self._answered = False
        if self._udp is None:
            return
        found = lib.rp_udp_turn(self._udp, self.core.pointer, 0)
        self._sent(found)
        if found & lib.RP_TURN_EVENTS:
            self._tell(self.wake)

    def _send_soon(self) -> None:
        """What is answered already does not wait for the tasks that were started beside it."""
        if self._answered:
            self.flush()
        else:
            self.wake()

    def _sent(self, found: int) -> None:
        for session in self._traced:
            session.write_trace()
        self._watch_writable(bool(found & lib.RP_TURN_WRITABLE))

    def _tell(self, then: Callable[[], None]) -> None:
        """Hands out what has happened, and calls for a flush behind it. The tasks that wait for it run
        before one at the end of the loop cycle, so that what they write goes with it."""
        if self._telling:
            return
        self._telling = True
        try:
            first: set[int] = set()
            while wholes := self.core.take_whole():
                for whole in wholes:
                    self._take(whole, first)
            if not self._handing_out:
                self._hand_out()
            for event in self.core.events():
                self._handle(event)
        finally:
            self._telling = False
            then()

    def _take(self, whole: Whole, first: set[int]) -> None:
        """A stream that somebody has already must not end before its last bytes: it gets them at once.
        Nor does the first of a session wait of which nothing waits; `first` has whose was, this turn."""
        handle = whole.handle
        session = self._sessions.get(handle)
        if session is None:
            return  # it is over
        if whole.opened:
            if handle in first or len(first) == FIRST or self._turns.waits(handle):
                self._turns.add(whole)
                return
            first.add(handle)
        session.take_whole(whole)

    def _hand_out(self) -> None:
        """After some, what has come in the meantime and what has been answered is next."""
        for whole in self._turns.go(alone=len(self._sessions) == 1):
            if session := self._sessions.get(whole.handle):
                session.take_whole(whole)
        if self._turns:
            self._handing_out = True
            self.loop.call_soon(self._hand_out_more)

    def _hand_out_more(self) -> None:
        self._handing_out = False
        if self._udp is not None:
            self._turns.gone()
            self._tell(self._send_soon)

    def traced(self, session: Session, on: bool) -> None:
        """The session's: whether its trace is to be written after each turn."""
        if on:
            self._traced.add(session)
        else:
            self._traced.discard(session)

    def _watch_writable(self, wanted: bool) -> None:
        if wanted and not self._writing:
            self.loop.add_writer(self._socket, self.flush)
        elif self._writing and not wanted:
            self.loop.remove_writer(self._socket)
        self._writing = wanted

    def _handle(self, event: Event) -> None:
        handle = event.connection.handle
        session = self._sessions.get(handle)
        if session is None:
            session = self._sessions[handle] = Session(self, event.connection)
        if event.kind is EventKind.CLOSED:  # what came before it is not lost
            for whole in self._turns.drop_all(handle):
                session.take_whole(whole)
        if event.kind is EventKind.STOPPED and self._turns.drop(handle, event.stream):
            return
        session.handle(event)
        if event.kind is EventKind.ACCEPTED:
            self._admit(session)
        elif event.kind is EventKind.CLOSED:
            self._sessions.pop(handle, None)
            self._traced.discard(session)

    def _admit(self, session: Session) -> None:
        if len(self._accepted) >= BACKLOG:
            session.connection.close(lib.RP_CODE_INTERNAL, "too many sessions wait")
            return
        self._accepted.append(session)
        self._arrived.set()

    async def _resolve(self, address: tuple[str, int]) -> Address:
        host, port = address
        v6_socket = ":" in self.address[0]
        family = socket.AF_UNSPEC if v6_socket else socket.AF_INET
        try:
            found = await self.loop.getaddrinfo(host, port, family=family, type=socket.SOCK_DGRAM)
        except OSError as error:
            raise DeadAddress(f"the host name {host!r} is not known: {error.strerror}") from None
        numeric = found[0][4]
        return str(numeric[0]), int(numeric[1])
