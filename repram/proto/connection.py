"""The transport without a socket: datagrams and `now` in; datagrams, events and a deadline out.

A `Core` holds many sessions that share one socket; a `Connection` names one of them. Time is
monotonic microseconds, randomness all derives from a seed: two cores given the same calls do the
same things.
"""

from __future__ import annotations

import socket
import struct
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from nacl.bindings import (
    crypto_sign_ed25519_sk_to_curve25519,
    crypto_sign_seed_keypair,
)

from repram._core import ffi, lib
from repram.errors import (
    Busy,
    DeadAddress,
    Full,
    IncompatibleVersion,
    LocalError,
    NotAllowed,
    RateLimited,
    RepramError,
    SessionClosed,
    StreamReset,
    UsageError,
    WrongKey,
    WrongSecret,
)
from repram.proto.primitives import Pattern, Suite, blake2b, default_suites, dh_public, sodium

if TYPE_CHECKING:
    from repram._core import CData

Address = tuple[str, int]
Bytes = bytes | bytearray | memoryview

_RUNS: Final = 16
_CALLERS: Final = 1 << 16  # answered in a turn: all that wait
_RUN_BYTES: Final = 65536
_EVENTS: Final = 128
_READ: Final = 65536
_LEND: Final = 2 * lib.RP_LENT_PAGE  # pieces from this size on are lent rather than copied
_ADDRESSES: Final = 4096  # packed ones that are kept
_WHOLES: Final = 128
_WHOLE_MOST: Final = 4096  # a stream that ends within so many bytes is handed over in one piece
_WHOLE: Final = struct.Struct("=qQIIB7x")  # rp_whole
_MAPPED: Final = bytes(10) + b"\xff\xff"


ETHERNET: Final = 1472  # bytes of UDP that an Ethernet frame carries
CONTROLLERS: Final = ("cubic", "bbr")
SLOWEST: Final[int] = lib.RP_SLOWEST  # bytes a second that whoever holds something up must move
SHORT_MAX: Final[int] = lib.RP_SHORT_MAX  # bytes that `Connection.send` takes


class EventKind(IntEnum):
    """What an event tells."""

    CONNECTED = 1
    ACCEPTED = 2
    CLOSED = 3
    OPENED = 4
    READABLE = 5
    WRITABLE = 6
    RESET = 7
    STOPPED = 8
    DATAGRAM = 9
    ADDRESS = 10


class Cause(IntEnum):
    """Why a session ended."""

    US = 1
    PEER = 2
    IDLE = 3
    UNREACHABLE = 4
    REFUSED = 5
    VERSION = 6
    PROTOCOL = 7
    RESET = 8
    SLOW = 9


@dataclass(frozen=True, slots=True)
class Settings:
    """What a core is made with; durations in seconds, sizes in bytes."""

    idle_timeout: float = 30.0
    keep_alive: float = 0.0  # 0 = off
    handshake_timeout: float = 10.0
    patience: float = (
        60.0  # with a peer that moves next to nothing of what it holds up; 0 = for ever
    )
    max_sessions: int = 1024
    max_streams: int = 1024  # that the peer may have open at once
    stream_window: int = 8 << 20  # at most: it starts at 4 MiB and grows with use
    session_window: int = 24 << 20
    memory: int = 64 << 20  # for data in flight, taken as needed
    # The largest datagram to try, from 1,200 upwards; None: Ethernet's, or what an endpoint's socket takes.
    mtu: int | None = None
    suites: tuple[Suite, ...] | None = None  # None: what suits this CPU; XChaCha20 is mandatory
    patterns: tuple[Pattern, ...] = (Pattern.IK, Pattern.IKPSK2)  # that a listener answers
    rekey_seconds: float = 120.0
    rekey_packets: int = 1 << 30
    ratchet_seconds: float = 3600.0
    cookie_after: int = (
        256  # half-open sessions, or callers a second, from which on they prove their address
    )
    handshake_rate: int = 250  # that one source may begin a second; 0 is any number
    max_secrets: int = 1024
    reset_key: bytes | None = (
        None  # kept across restarts, with first_session, lets peers notice one
    )
    ecn: bool = True
    controller: str = "bbr"  # one of CONTROLLERS
    first_packet_number: int = 0
    first_session: int = 0


DEFAULTS: Final = Settings()


class Event(NamedTuple):
    """Something that the application is to know of a session or one of its streams."""

    kind: EventKind
    connection: Connection
    stream: int = 0
    code: int = 0
    cause: Cause | None = None
    reason: str = ""


class Whole(NamedTuple):
    """The rest of a stream, to its end; nothing else has happened to it."""

    handle: int  # of the connection
    stream: int
    data: bytes
    opened: bool  # by the peer, just now


@dataclass(frozen=True, slots=True)
class Stats:
    """A session as it stands; times in microseconds, sizes in bytes."""

    rtt: int
    rtt_min: int
    rtt_var: int
    window: int
    in_flight: int
    rate: int
    packets_sent: int
    packets_received: int
    bytes_sent: int
    bytes_received: int
    packets_lost: int
    retransmitted_bytes: int
    ptos: int
    spurious: int
    streams: int
    clock_offset: int
    mtu: int
    epoch: int
    ecn_marks: int
    migrations: int
    suite: Suite
    controller: str


@dataclass(frozen=True, slots=True)
class Secret:
    """An invite's or a network's secret, under the random id that names it on the wire."""

    id: bytes  # 8 bytes
    secret: bytes = field(repr=False)  # 32 random bytes


@dataclass(frozen=True, slots=True)
class TraceRecord:
    """One line of a session's trace."""

    time: int
    kind: str
    a: int
    b: int
    missed: int


_TRACE_KINDS: Final = (
    *("", "packet_sent", "packet_received", "packets_acked", "packet_lost", "pto"),
    *("congestion_window", "keys_updated", "path", "state", "mtu"),
)


def pack_address(address: Address) -> CData:
    """A numeric host and a port, as the core has them."""
    host, port = address
    packed = ffi.new("rp_address *")
    try:
        if ":" in host:
            numeric, _, scope = host.partition("%")
            packed.ip = socket.inet_pton(socket.AF_INET6, numeric)
            packed.scope = socket.if_nametoindex(scope) if scope else 0
        else:
            packed.ip = _MAPPED + socket.inet_pton(socket.AF_INET, host)
        packed.port = port
    except (OSError, OverflowError) as error:
        raise UsageError(f"{host!r} port {port} is not a numeric address: {error}") from None
    return packed


def unpack_address(packed: CData) -> Address:
    """The reverse of `pack_address`."""
    ip = bytes(packed.ip)
    if ip.startswith(_MAPPED):
        return socket.inet_ntoa(ip[12:]), packed.port
    host = socket.inet_ntop(socket.AF_INET6, ip)
    return (f"{host}%{packed.scope}" if packed.scope else host), packed.port


def closing_error(event: Event) -> RepramError:
    """The error that a CLOSED event stands for."""
    match event.cause:
        case Cause.UNREACHABLE:
            return DeadAddress()
        case Cause.VERSION:
            return IncompatibleVersion()
        case Cause.REFUSED:
            return _REFUSALS.get(event.code, NotAllowed)()
        case cause:
            told = _TOLD.get(cause, "{}") if cause else "{}"
            return SessionClosed(event.code, told.format(event.reason))


_TOLD: Final = {
    Cause.US: "closed on this side",
    Cause.IDLE: "nothing was heard from the other side",
    Cause.RESET: "the other side restarted and has forgotten it",
    Cause.SLOW: "the other side was too slow: {}",
    Cause.PROTOCOL: "the other side broke the protocol: {}",
}

_REFUSALS: Final[dict[int, type[RepramError]]] = {
    lib.RP_REFUSED_WRONG_KEY: WrongKey,
    lib.RP_REFUSED_WRONG_SECRET: WrongSecret,
    lib.RP_REFUSED_BUSY: Busy,
    lib.RP_REFUSED_RATE: RateLimited,
    lib.RP_REFUSED_NOT_ALLOWED: NotAllowed,
}


def _checked(status: int) -> int:
    """The one table from the core's codes to exceptions."""
    if status >= 0:
        return status
    match status:
        case lib.RP_E_GONE:
            raise SessionClosed(0, "this session or stream has ended")
        case lib.RP_E_FULL:
            raise Full("this endpoint has no room for another session or stream")
        case lib.RP_E_MEMORY:
            raise Full("there is not enough memory for the transport")
        case lib.RP_E_CRYPTO:
            raise RepramError("libsodium does not do what it should", hint="Reinstall PyNaCl.")
        case lib.RP_E_BLOCKED:
            raise BlockingIOError("the peer grants no more streams for now")
        case lib.RP_E_AUTH:
            raise UsageError("this is not a node's key")
        case _:
            raise LocalError("the transport core was called with an argument that cannot be right")


_IDENTIFYING: Final = (EventKind.CONNECTED, EventKind.ACCEPTED, EventKind.ADDRESS)


def _if(known: int, value: object) -> bytes | None:
    return bytes(value) if known else None  # type: ignore[call-overload]


def _call(function: Callable[..., int], *arguments: object) -> int:
    """What a function of the core returns; a number that its C type cannot hold is the caller's mistake."""
    try:
        return _checked(function(*arguments))
    except OverflowError as error:
        raise LocalError(f"a number that cannot be right: {error}") from None


def _sized(what: str, data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise LocalError(f"{what} has {size} bytes, not {len(data)}")
    return data


def _immutable(data: Bytes) -> bytes | memoryview | None:
    """What keeps these bytes as they are: themselves, or a read-only view, whose maker leaves them alone."""
    if isinstance(data, bytes):
        return data
    if isinstance(data, memoryview) and data.c_contiguous and data.readonly:
        return data
    return None


class _Lent:
    """What one stream has been lent, in order, until it is given back."""

    __slots__ = ("_owners", "_total")

    def __init__(self) -> None:
        self._owners: deque[tuple[int, bytes | memoryview]] = (
            deque()
        )  # with the pages lent up to their end
        self._total = 0

    def add(self, owner: bytes | memoryview, pages: int) -> None:
        self._total += pages
        self._owners.append((self._total, owner))

    def take_back(self, pages: int) -> bool:
        """Whether nothing is lent any more."""
        while self._owners and self._owners[0][0] <= pages:
            self._owners.popleft()
        return not self._owners


class Connection:
    """One session of a core."""

    __slots__ = ("_core", "_lent", "address", "handle", "peer_key", "secret_id")

    def __init__(self, core: Core, handle: int) -> None:
        self._core = core
        self.handle = handle
        self._lent: dict[int, _Lent] = {}  # by stream: bytes that the core reads where they are
        self.refresh()

    def refresh(self) -> None:
        """After ACCEPTED, CONNECTED or ADDRESS: who and where the peer is may be known better now."""
        stats = self._raw_stats()
        self.address: Address = unpack_address(stats.peer)
        self.peer_key: bytes | None = _if(stats.has_peer_identity, stats.peer_identity)
        self.secret_id: bytes | None = _if(stats.has_secret, stats.secret_id)

    def open_stream(self, priority: int = 4) -> int:
        """A new stream's id; BlockingIOError while the peer allows no more."""
        return _call(lib.rp_stream_open, self._core.pointer, self.handle, priority)

    def send(self, data: bytes, priority: int = 4) -> int:
        """Opens a stream that holds these bytes and no more; BlockingIOError while that cannot be."""
        core = self._core.pointer
        return _call(lib.rp_stream_send, core, self.handle, priority, data, len(data))

    def write(self, stream: int, data: Bytes, fin: bool = False) -> int:
        """Bytes taken; when fewer than given, a WRITABLE event follows."""
        core = self._core.pointer
        if len(data) >= _LEND and (owner := _immutable(data)) is not None:
            return self._lend(stream, data, owner, fin)
        if isinstance(data, bytes):
            return _call(lib.rp_stream_write, core, self.handle, stream, data, len(data), fin)
        view = ffi.from_buffer("uint8_t[]", data)
        try:
            return _call(lib.rp_stream_write, core, self.handle, stream, view, len(view), fin)
        finally:
            ffi.release(view)  # kept alive by a traceback it would make CPython's collector crash

    def _lend(self, stream: int, data: Bytes, owner: bytes | memoryview, fin: bool) -> int:
        """Large pieces are not copied: the core reads them where they are until they are acknowledged."""
        loan = ffi.new("rp_loan *")
        view = ffi.from_buffer("uint8_t[]", data)
        core = self._core.pointer
        try:
            taken = lib.rp_stream_lend(core, self.handle, stream, view, len(view), fin, loan)
        finally:
            ffi.release(view)
        self.take_back(stream, loan.returned)
        if loan.lent:
            self._lent.setdefault(stream, _Lent()).add(owner, loan.lent)
        return _checked(taken)

    def take_back(self, stream: int, pages: int) -> None:
        """The core's: so many of the pages lent to the stream are needed no more."""
        if (lent := self._lent.get(stream)) and lent.take_back(pages):
            del self._lent[stream]

    def take_all_back(self) -> None:
        """The core's: the session is over."""
        self._lent.clear()

    def read_into(self, stream: int, into: bytearray | memoryview) -> tuple[int, bool]:
        """Like `read`, into the caller's memory: how many bytes have come, and whether that was all."""
        return self._core.read_into(self.handle, stream, into)

    def read(self, stream: int, limit: int = _READ) -> tuple[bytes, bool]:
        """What has come, at most `limit` bytes, and whether the stream has ended there."""
        return self._core.read(self.handle, stream, limit)

    def moved(self, stream: int) -> int:
        """Bytes of it that the peer has acknowledged, or that have come without a gap."""
        return _call(lib.rp_stream_moved, self._core.pointer, self.handle, stream)

    def reset(self, stream: int, code: int) -> None:
        """Abandons our side of the stream."""
        _call(lib.rp_stream_reset, self._core.pointer, self.handle, stream, code)

    def stop(self, stream: int, code: int) -> None:
        """Reads no more of it."""
        _call(lib.rp_stream_stop, self._core.pointer, self.handle, stream, code)

    def grant(self, ahead: int) -> None:
        """The peer may send so many bytes of streams ahead from now on, within what the settings allow."""
        _call(lib.rp_connection_grant, self._core.pointer, self.handle, ahead)

    def close(self, code: int = 0, reason: str = "", *, now: int | None = None) -> None:
        """Ends the session; closing one that has ended does nothing."""
        text = reason.encode()[: lib.RP_MAX_REASON]
        at = self._core.now if now is None else now
        core = self._core.pointer
        with suppress(SessionClosed):
            _call(lib.rp_connection_close, core, self.handle, code, text, len(text), at)

    def stats(self) -> Stats:
        """How the session stands; SessionClosed once it is gone."""
        raw = self._raw_stats()
        named: dict[str, Any] = {
            "suite": Suite(raw.suite or Suite.XCHACHA20),
            "controller": CONTROLLERS[raw.controller],
        }
        names = Stats.__dataclass_fields__.keys() - named.keys()
        return Stats(**{name: getattr(raw, name) for name in names}, **named)

    def observed_address(self) -> Address | None:
        """This side's address as the peer sees it, once it has said so."""
        raw = self._raw_stats()
        return unpack_address(raw.observed) if raw.has_observed else None

    def send_datagram(self, data: bytes) -> None:
        """Unreliable, at most one packet long; dropped when too many wait."""
        if (
            lib.rp_datagram_send(self._core.pointer, self.handle, data, len(data))
            == lib.RP_E_MISUSE
        ):
            raise LocalError(f"a datagram of {len(data)} bytes does not fit one packet")

    def read_datagram(self) -> bytes | None:
        """The next datagram that came, or None."""
        return self._core.read_datagram(self.handle)

    def trace(self, on: bool) -> None:
        """Starts or stops keeping a record of what the session does."""
        _checked(lib.rp_connection_trace(self._core.pointer, self.handle, on))

    def trace_records(self) -> list[TraceRecord]:
        """What was recorded since the last call."""
        raw = ffi.new("rp_trace_record[]", 256)
        out: list[TraceRecord] = []
        while count := _checked(
            lib.rp_connection_trace_read(self._core.pointer, self.handle, raw, 256)
        ):
            out.extend(
                TraceRecord(r.time, _TRACE_KINDS[r.kind], r.a, r.b, r.missed)
                for r in (raw[i] for i in range(count))
            )
        return out

    def handshake_hash(self) -> bytes:
        """What both sides of this session, and nobody else, can compute."""
        return bytes(self._raw_stats().handshake_hash)

    def _raw_stats(self) -> CData:
        raw = ffi.new("rp_stats *")
        _checked(lib.rp_connection_stats(self._core.pointer, self.handle, raw))
        return raw


class Core:
    """Many sessions, no socket."""

    def __init__(
        self,
        *,
        now: int,
        seed: bytes,
        identity: bytes | None = None,
        listen: bool = False,
        settings: Settings = DEFAULTS,
        wall_offset: int = 0,
    ) -> None:
        self._pointer: CData | None = None
        self._connections: dict[int, Connection] = {}
        self.now = now
        try:
            config = _config(_sized("a seed", seed, 32), identity, listen, settings, wall_offset)
        except OverflowError as error:
            raise LocalError(f"a setting that cannot be right: {error}") from None
        self.key = bytes(config.identity)
        out = ffi.new("rp_core **")
        _checked(lib.rp_core_new(config, sodium(), now, out))
        self._pointer = out[0]
        self._runs = ffi.new("rp_datagram[]", _RUNS)
        self._buffer = ffi.new("uint8_t[]", _RUNS * _RUN_BYTES)
        self._events = ffi.new("rp_event[]", _EVENTS)
        self._wholes = ffi.new("rp_whole[]", _WHOLES)
        self._whole_bytes = ffi.new("uint8_t[]", _WHOLES * _WHOLE_MOST)
        self._read_buffer = ffi.new("uint8_t[]", _READ)
        self._fin = ffi.new("int *")
        self._addresses: dict[Address, CData] = {}

    @property
    def pointer(self) -> CData:
        """The core itself, for the endpoint that drives it."""
        if self._pointer is None:
            raise SessionClosed(0, "this endpoint is closed")
        return self._pointer

    def add_secret(self, secret: Secret) -> None:
        """Callers may now prove that they have it."""
        _checked(lib.rp_core_add_secret(self.pointer, *_secret(secret)))

    def remove_secret(self, secret_id: bytes) -> None:
        """It opens no further session; open ones go on."""
        _checked(lib.rp_core_remove_secret(self.pointer, _sized("a secret's id", secret_id, 8)))

    def connect(
        self,
        address: Address,
        key: bytes | None,
        now: int,
        *,
        pattern: Pattern | None = None,
        secret: Secret | None = None,
    ) -> Connection:
        """Calls the node that has this Ed25519 key (or, with XX, whoever answers); CONNECTED or
        CLOSED follows."""
        target = ffi.new("rp_target *")
        target.peer = pack_address(address)[0]
        if pattern is None:
            pattern = Pattern.IK if secret is None else Pattern.IKPSK2
        target.pattern = pattern
        if key is not None:
            target.key = _sized("a key", key, 32)
        if secret is not None:
            target.secret_id, target.secret = _secret(secret)
        self.now = now
        return self._adopt(_checked(lib.rp_core_connect(self.pointer, target, now)))

    def receive(self, datagrams: Iterable[tuple[bytes, Address]], now: int) -> None:
        """Takes datagrams as they came; whatever they hold, this does not raise."""
        self.now = now
        batch = list(datagrams)
        runs = ffi.new("rp_datagram[]", len(batch))
        keep = []
        for run, (data, address) in zip(runs, batch, strict=True):
            mutable = bytearray(data)  # the core opens packets in place
            view = ffi.from_buffer("uint8_t[]", mutable)
            keep.append((mutable, view))
            run.data, run.size, run.segment = view, len(mutable), 0
            run.peer = self._pack(address)[0]
        lib.rp_core_receive(self.pointer, runs, len(batch), now)

    def transmit(self, now: int) -> list[tuple[bytes, Address]]:
        """The next datagrams to send; call until it returns none."""
        self.now = now
        size = _RUNS * _RUN_BYTES
        lib.rp_core_answer(self.pointer, _CALLERS, now)
        count = lib.rp_core_transmit(self.pointer, self._runs, _RUNS, self._buffer, size, now)
        out: list[tuple[bytes, Address]] = []
        for i in range(count):
            run = self._runs[i]
            data, address = bytes(ffi.buffer(run.data, run.size)), unpack_address(run.peer)
            step = run.segment
            out.extend((data[at : at + step], address) for at in range(0, len(data), step))
        return out

    def deadline(self) -> int | None:
        """When `handle_timeout` is due, 0 for at once, None for never."""
        at: int = lib.rp_core_deadline(self.pointer)
        return None if at == lib.RP_NEVER else at

    def handle_timeout(self, now: int) -> None:
        """Time has passed."""
        self.now = now
        lib.rp_core_timeout(self.pointer, now)

    def events(self) -> list[Event]:
        """What has happened since the last call."""
        out: list[Event] = []
        while count := lib.rp_core_poll(self.pointer, self._events, _EVENTS):
            out.extend(self._event(self._events[i]) for i in range(count))
        return out

    def take_whole(self) -> list[Whole]:
        """Short streams that have ended, read in one go; for those of them, `events` then says nothing."""
        room = _WHOLES * _WHOLE_MOST
        count = lib.rp_core_take_whole(
            self.pointer, self._wholes, _WHOLES, self._whole_bytes, room, _WHOLE_MOST
        )
        if not count:
            return []
        raw, data = ffi.buffer(self._wholes, count * _WHOLE.size), ffi.buffer(self._whole_bytes)
        return [
            Whole(handle, stream, data[at : at + size], opened)
            for handle, stream, at, size, opened in _WHOLE.iter_unpack(raw)
        ]

    def counters(self) -> dict[str, int]:
        """What happened so far, by cause."""
        raw = ffi.new("rp_counters *")
        lib.rp_core_counters(self.pointer, raw)
        return {name: getattr(raw, name) for name, _ in ffi.typeof("rp_counters").fields}

    def read(self, handle: int, stream: int, limit: int) -> tuple[bytes, bool]:
        """See Connection.read."""
        into, size = self._read_buffer, min(limit, _READ)
        taken = _call(lib.rp_stream_read, self.pointer, handle, stream, into, size, self._fin)
        return bytes(ffi.buffer(self._read_buffer, taken)), bool(self._fin[0])

    def read_into(self, handle: int, stream: int, into: bytearray | memoryview) -> tuple[int, bool]:
        """See Connection.read_into."""
        view = ffi.from_buffer("uint8_t[]", into, require_writable=True)
        try:
            size = len(view)
            taken = _call(lib.rp_stream_read, self.pointer, handle, stream, view, size, self._fin)
        finally:
            ffi.release(view)
        return taken, bool(self._fin[0])

    def read_datagram(self, handle: int) -> bytes | None:
        """See Connection.read_datagram."""
        taken = lib.rp_datagram_read(self.pointer, handle, self._read_buffer, _READ)
        if taken == lib.RP_E_BLOCKED:
            return None
        return bytes(ffi.buffer(self._read_buffer, _checked(taken)))

    def close(self) -> None:
        """Frees the memory at once; nothing more is sent."""
        if self._pointer is not None:
            lib.rp_core_free(self._pointer)
            self._pointer = None
            for connection in self._connections.values():
                connection.take_all_back()

    def __del__(self) -> None:
        self.close()

    def _pack(self, address: Address) -> CData:
        packed = self._addresses.get(address)
        if packed is None:
            if len(self._addresses) >= _ADDRESSES:
                self._addresses.clear()
            packed = self._addresses[address] = pack_address(address)
        return packed

    def _adopt(self, handle: int) -> Connection:
        connection = self._connections[handle] = Connection(self, handle)
        return connection

    def _event(self, raw: CData) -> Event:
        kind = EventKind(raw.kind)
        handle = raw.connection
        connection = self._connections.get(handle) or self._adopt(handle)
        if kind in _IDENTIFYING:
            connection.refresh()
        if kind is EventKind.WRITABLE:
            connection.take_back(raw.stream, raw.code)
        if kind is not EventKind.CLOSED:
            return Event(kind, connection, raw.stream, raw.code)
        self._connections.pop(handle).take_all_back()
        reason = bytes(raw.reason)[: raw.reason_size].decode(errors="replace")
        return Event(kind, connection, 0, raw.code, Cause(raw.cause), reason)


def _secret(secret: Secret) -> tuple[bytes, bytes]:
    return _sized("a secret's id", secret.id, 8), _sized("a secret", secret.secret, 32)


def _config(
    seed: bytes, identity: bytes | None, listen: bool, settings: Settings, wall_offset: int
) -> CData:
    """A core without an identity calls under a key of its own that nobody has seen before."""
    config = ffi.new("rp_config *")
    key_seed = identity if identity is not None else blake2b(b"repram v1 anonymous" + seed)[:32]
    public, secret = crypto_sign_seed_keypair(_sized("an identity's seed", key_seed, 32))
    private = crypto_sign_ed25519_sk_to_curve25519(secret)
    config.seed = seed
    config.identity = public
    config.static_private, config.static_public = private, dh_public(private)
    config.has_identity = identity is not None
    config.listen = listen
    config.suites = sum(settings.suites or default_suites())
    config.patterns = sum(1 << pattern for pattern in settings.patterns)
    config.patience = round(settings.patience * 1e6)
    config.rekey_time = round(settings.rekey_seconds * 1e6)
    config.rekey_packets = settings.rekey_packets
    config.ratchet_time = round(settings.ratchet_seconds * 1e6)
    config.cookie_after, config.max_secrets = settings.cookie_after, settings.max_secrets
    config.handshake_rate = settings.handshake_rate
    reset_key = settings.reset_key or blake2b(b"repram v1 reset key" + seed)[:32]
    config.reset_key = _sized("a reset key", reset_key, 32)
    config.ecn = settings.ecn
    if settings.controller not in CONTROLLERS:
        raise UsageError(f"no congestion controller is called {settings.controller!r}")
    config.controller = CONTROLLERS.index(settings.controller)
    config.mtu = settings.mtu or ETHERNET
    config.max_sessions, config.max_streams = settings.max_sessions, settings.max_streams
    config.arena_bytes = settings.memory
    config.stream_window, config.session_window = settings.stream_window, settings.session_window
    config.first_packet, config.first_session = settings.first_packet_number, settings.first_session
    config.idle_timeout = round(settings.idle_timeout * 1e6)
    config.keep_alive = round(settings.keep_alive * 1e6)
    config.handshake_timeout = round(settings.handshake_timeout * 1e6)
    config.wall_offset = wall_offset
    return config


def stream_reset(event: Event) -> StreamReset:
    """The error that a RESET or STOPPED event stands for."""
    return StreamReset(event.code)
