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
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TextIO

from repram._core import ffi, lib
from repram.errors import DeadAddress, LocalError, RepramError, SessionClosed, StreamReset
from repram.proto import trace
from repram.proto.connection import (
    DEFAULTS,
    Address,
    Connection,
    Core,
    Event,
    EventKind,
    Secret,
    Settings,
    Stats,
    closing_error,
    pack_address,
    unpack_address,
)
from repram.proto.primitives import Pattern

if TYPE_CHECKING:
    from repram._core import CData

ANY: Final = ("0.0.0.0", 0)  # a caller listens nowhere; a node says where
BACKLOG: Final = 1024  # sessions or streams that wait to be accepted


class Stream:
    """One bidirectional stream; `read` and `write` like asyncio's."""

    __slots__ = (
        "_connection",
        "_ended",
        "_error",
        "_fin",
        "_pending",
        "_readable",
        "_sent_eof",
        "_session",
        "_writable",
        "id",
    )

    def __init__(self, session: Session, stream: int) -> None:
        self.id = stream
        self._session = session
        self._connection = session.connection
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._pending: deque[memoryview] = deque()  # written, not yet taken by the core
        self._fin = False  # the end is to be sent behind what is pending
        self._sent_eof = False
        self._ended = False  # the peer's end has been read
        self._error: RepramError | None = None

    async def read(self, limit: int = 65536) -> bytes:
        """Some bytes as soon as there are any; b"" at the end."""
        while not self._ended:
            if self._error is not None:
                raise self._error
            data, self._ended = self._take(limit)
            if self._ended:
                self._finish()
            if data:
                return data
            if not self._ended:
                self._readable.clear()
                await self._readable.wait()
        return b""

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

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Queues bytes; await `drain` before writing much more."""
        if self._fin:
            raise LocalError("write after send_eof")
        if self._error is not None:
            raise self._error
        self._pending.append(memoryview(data))
        self._push()

    async def drain(self) -> None:
        """Waits until the transport has taken all that was written."""
        while self._pending:
            if self._error is not None:
                raise self._error
            self._writable.clear()
            await self._writable.wait()
        if self._error is not None:
            raise self._error

    def send_eof(self) -> None:
        """No more will be written."""
        if not self._fin:
            self._fin = True
            self._push()

    def reset(self, code: int = 0) -> None:
        """Gives the stream up in both directions."""
        self._fail(StreamReset(code, "the stream was given up on this side"))
        if not self._session.closed:
            for abandon in (self._connection.reset, self._connection.stop):
                try:
                    abandon(self.id, code)
                except SessionClosed:
                    continue
            self._session.endpoint.wake()
        self._session.forget(self.id)

    def _take(self, limit: int) -> tuple[bytes, bool]:
        try:
            data, ended = self._connection.read(self.id, limit)
        except SessionClosed as error:
            raise self._error or error from None
        if data:
            self._session.endpoint.wake()  # credit may be due
        return data, ended

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
                self._sent_eof |= last
            if self._fin and not self._sent_eof and not self._pending:
                self._connection.write(self.id, b"", fin=True)
                self._sent_eof = True
        except SessionClosed as error:
            self._fail(self._error or error)
        self._session.endpoint.wake()
        if not self._pending:
            self._writable.set()
        self._finish()

    def _finish(self) -> None:
        if self._sent_eof and self._ended:
            self._session.forget(self.id)

    def _fail(self, error: RepramError) -> None:
        self._error = self._error or error
        self._pending.clear()
        self._readable.set()
        self._writable.set()

    def handle(self, event: Event) -> None:
        """The endpoint's: something happened to this stream."""
        match event.kind:
            case EventKind.READABLE:
                self._readable.set()
            case EventKind.WRITABLE:
                self._push()
            case EventKind.RESET:
                self._fail(StreamReset(event.code))
            case EventKind.STOPPED:
                self._fail(StreamReset(event.code))

    def end(self, error: RepramError) -> None:
        """The endpoint's: the session is over."""
        self._fail(error)


class Session:
    """A session with one peer: streams, in both directions."""

    def __init__(self, endpoint: Endpoint, connection: Connection) -> None:
        self.endpoint = endpoint
        self.connection = connection
        self._streams: dict[int, Stream] = {}
        self._accepted: deque[Stream] = deque()
        self._arrived = asyncio.Event()
        self._stream_credit = asyncio.Event()
        self._datagrams = asyncio.Event()
        self._trace: TextIO | None = None
        self._up = asyncio.Event()
        self._error: RepramError | None = None

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
            self.endpoint.turn()

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

    def forget(self, stream: int) -> None:
        """The stream is over on both sides."""
        self._streams.pop(stream, None)

    def handle(self, event: Event) -> None:
        """The endpoint's: something happened to this session or a stream of it."""
        match event.kind:
            case EventKind.CONNECTED | EventKind.ACCEPTED:
                self._up.set()
            case EventKind.OPENED:
                stream = self._streams[event.stream] = Stream(self, event.stream)
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
        self._loop = asyncio.get_running_loop()
        self._sessions: dict[Connection, Session] = {}
        self._accepted: deque[Session] = deque()
        self._traced: set[Session] = set()
        self._arrived = asyncio.Event()
        self._woken = False
        self._writing = False
        self._socket = lib.rp_udp_descriptor(udp)
        self._timer = lib.rp_udp_timer_descriptor(udp)
        self._loop.add_reader(self._socket, self.turn, lib.RP_TURN_READABLE)
        self._loop.add_reader(self._timer, self.turn, lib.RP_TURN_TIMER)

    @classmethod
    async def open(
        cls,
        address: Address = ANY,
        *,
        identity: bytes | None = None,
        listen: bool = False,
        settings: Settings = DEFAULTS,
    ) -> Endpoint:
        """Binds a socket; with `listen`, answers whoever calls."""
        now = lib.rp_udp_now()
        wall_offset = time.time_ns() // 1000 - now
        core = Core(
            now=now,
            seed=os.urandom(32),
            identity=identity,
            listen=listen,
            settings=settings,
            wall_offset=wall_offset,
        )
        out, bound = ffi.new("rp_udp **"), ffi.new("rp_address *")
        status = lib.rp_udp_open(pack_address(address), out, bound)
        if status != 0:
            core.close()
            why = os.strerror(-status)
            hint = "Another program uses this port." if -status == errno.EADDRINUSE else None
            raise RepramError(f"cannot open UDP {address[0]} port {address[1]}: {why}", hint=hint)
        return cls(core, out[0], unpack_address(bound))

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
        session = self._sessions[connection] = Session(self, connection)
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
        self._loop.remove_reader(self._socket)
        self._loop.remove_reader(self._timer)
        if self._writing:
            self._loop.remove_writer(self._socket)
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

    def wake(self) -> None:
        """Something was written or read: one turn at the end of this loop cycle sends it all."""
        if not self._woken:
            self._woken = True
            self._loop.call_soon(self.turn)

    def turn(self, why: int = 0) -> None:
        """One wake-up."""
        self._woken = False
        if self._udp is None:
            return
        found = lib.rp_udp_turn(self._udp, self.core.pointer, why)
        for session in self._traced:
            session.write_trace()
        self._watch_writable(bool(found & lib.RP_TURN_WRITABLE))
        if found & lib.RP_TURN_EVENTS:
            for event in self.core.events():
                self._handle(event)

    def traced(self, session: Session, on: bool) -> None:
        """The session's: whether its trace is to be written after each turn."""
        if on:
            self._traced.add(session)
        else:
            self._traced.discard(session)

    def _watch_writable(self, wanted: bool) -> None:
        if wanted and not self._writing:
            self._loop.add_writer(self._socket, self.turn)
        elif self._writing and not wanted:
            self._loop.remove_writer(self._socket)
        self._writing = wanted

    def _handle(self, event: Event) -> None:
        session = self._sessions.get(event.connection)
        if session is None:
            session = self._sessions[event.connection] = Session(self, event.connection)
        session.handle(event)
        if event.kind is EventKind.ACCEPTED:
            self._admit(session)
        elif event.kind is EventKind.CLOSED:
            self._sessions.pop(event.connection, None)
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
            found = await self._loop.getaddrinfo(host, port, family=family, type=socket.SOCK_DGRAM)
        except OSError as error:
            raise DeadAddress(f"the host name {host!r} is not known: {error.strerror}") from None
        numeric = found[0][4]
        return str(numeric[0]), int(numeric[1])
