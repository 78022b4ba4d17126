"""What a session can carry, and what it costs: the two sides behind `repram bench`.

Each flow is a stream of its own. It begins with an order: 2 bytes of length and a msgpack message. Sending
up, bytes follow until the end and the count comes back; sending down, bytes come until the end.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from repram.errors import RemoteError, RepramError, SessionClosed
from repram.proto.endpoint import Endpoint, Session
from repram.proto.rpc import Caller, Codec, Server
from repram.proto.stream import Stream

PIECE: Final = 1 << 20  # written at once
READ: Final = 1 << 18  # read at most at once, into memory that stays warm
MAX_ORDER: Final = 4096
MAX_ECHO: Final = 1 << 15
MAX_SECONDS: Final = 3600.0
MAX_BYTES: Final = 1 << 50

Direction: TypeAlias = Literal["up", "down", "both"]


class Sink(msgspec.Struct, frozen=True, array_like=True, tag="sink"):
    """Count what comes."""


class Source(msgspec.Struct, frozen=True, array_like=True, tag="source"):
    """Send so many bytes, or for so long."""

    size: int
    seconds: float


class Cost(msgspec.Struct, frozen=True, array_like=True, tag="cost"):
    """Tell what your process has cost so far."""


class Calls(msgspec.Struct, frozen=True, array_like=True, tag="calls"):
    """From now on answer echoes; the first order of a session alone may say so."""


class Account(msgspec.Struct, frozen=True, array_like=True):
    """What the far side has to tell: bytes counted, CPU seconds, its packets, and its kernel's drops."""

    size: int
    cpu: float
    packets_sent: int
    packets_lost: int
    retransmitted: int
    kernel_drops: int


Order: TypeAlias = Sink | Source | Cost | Calls


class Echo(msgspec.Struct, frozen=True, array_like=True, tag="echo"):
    """Say it back."""

    data: Annotated[bytes, msgspec.Meta(max_length=MAX_ECHO)]


class Echoed(msgspec.Struct, frozen=True, array_like=True, tag="echoed"):
    """It, said back."""

    data: Annotated[bytes, msgspec.Meta(max_length=MAX_ECHO)]


ECHO: Final = Codec[Echo, Echoed](Echo, Echoed)

_orders: msgspec.msgpack.Decoder[Order] = msgspec.msgpack.Decoder(Order)
_accounts: msgspec.msgpack.Decoder[Account] = msgspec.msgpack.Decoder(Account)
_BROKEN: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Result:
    """One measurement; sizes in bytes, `goodput_mb_s` in 10⁶ bytes a second."""

    bytes: int
    seconds: float
    goodput_mb_s: float
    cpu_s_local: float
    cpu_s_remote: float
    suite: str
    cc: str
    mtu: int
    loss: float
    retransmits: int
    kernel_drops: int  # datagrams that came while a socket's buffer was full, on either side
    rtt_us: int
    direction: str
    streams: int


async def _write(stream: Stream, message: object) -> None:
    encoded = msgspec.msgpack.encode(message)
    stream.write(len(encoded).to_bytes(2, "big") + encoded)
    await stream.drain()


async def _read(stream: Stream) -> bytes:
    size = int.from_bytes(await stream.readexactly(2), "big")
    if size > MAX_ORDER:
        raise RemoteError(f"an order of {size} bytes is longer than {MAX_ORDER}")
    return await stream.readexactly(size)


# ---- the side that serves ----


async def serve(endpoint: Endpoint) -> None:
    """Answers measurements until cancelled."""
    async with asyncio.TaskGroup() as tasks:
        while True:
            session = await endpoint.accept()
            tasks.create_task(_serve_session(session))


async def _serve_session(session: Session) -> None:
    first = await _next_stream(session)
    if first and await _serve_stream(session, first):
        await _answer_echoes(session)
        return
    async with asyncio.TaskGroup() as tasks:
        while stream := await _next_stream(session):
            tasks.create_task(_serve_stream(session, stream))


async def _next_stream(session: Session) -> Stream | None:
    try:
        return await session.accept_stream()
    except SessionClosed:
        return None


async def _answer_echoes(session: Session) -> None:
    server = Server(ECHO)
    server.on(Echo, lambda request, _session: Echoed(request.data))
    await server.attend(session)


async def _serve_stream(session: Session, stream: Stream) -> bool:
    """Whether calls are to follow."""
    try:
        order = _orders.decode(await _read(stream))
        await _obey(session, stream, order)
    except (RepramError, *_BROKEN, asyncio.IncompleteReadError):
        stream.reset(1)
        return False
    return isinstance(order, Calls)


async def _obey(session: Session, stream: Stream, order: Order) -> None:
    match order:
        case Sink():
            size = await _count(stream)
            await _write(stream, _account(session, size))
        case Source():
            size, seconds = min(order.size, MAX_BYTES), min(order.seconds, MAX_SECONDS)
            await _pour(stream, size, seconds)
        case Cost() | Calls():
            await _write(stream, _account(session, 0))
    stream.send_eof()


def _account(session: Session, size: int) -> Account:
    stats = session.stats()
    return Account(
        size,
        time.process_time(),
        stats.packets_sent,
        stats.packets_lost,
        stats.retransmitted_bytes,
        session.endpoint.kernel_drops,
    )


async def _count(stream: Stream) -> int:
    size, into = 0, bytearray(READ)
    while came := await stream.read_into(into):
        size += came
    return size


async def _pour(stream: Stream, size: int, seconds: float) -> None:
    """Zeros will do: they are sealed like anything else, and nothing on the way compresses."""
    piece = memoryview(bytes(PIECE))  # lent, since it cannot change
    until = time.monotonic() + seconds if seconds else None
    while size > 0 and (until is None or time.monotonic() < until):
        stream.write(piece[: min(size, PIECE)])
        size -= PIECE
        await stream.drain()


# ---- the side that asks ----


async def transfer(
    session: Session,
    *,
    size: int = 0,
    seconds: float = 0.0,
    direction: Direction = "up",
    streams: int = 1,
) -> Result:
    """Moves `size` bytes (or whatever passes in `seconds`) over `streams` streams each way asked for."""
    before, cpu_before = await _ask_cost(session), time.process_time()
    drops_before = before.kernel_drops + session.endpoint.kernel_drops
    started = time.monotonic()
    share = -(-size // streams) if size else MAX_BYTES
    flows = {"up": (_up,), "down": (_down,), "both": (_up, _down)}[direction]
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(flow(session, share, seconds))
            for _ in range(streams)
            for flow in flows
        ]
    moved = sum(task.result() for task in tasks)
    took, cpu = time.monotonic() - started, time.process_time() - cpu_before
    after, stats = await _ask_cost(session), session.stats()
    sent = stats.packets_sent + after.packets_sent
    return Result(
        bytes=moved,
        seconds=took,
        goodput_mb_s=moved / took / 1e6,
        cpu_s_local=cpu,
        cpu_s_remote=after.cpu - before.cpu,
        suite=stats.suite.name.lower(),
        cc=stats.controller,
        mtu=stats.mtu,
        loss=(stats.packets_lost + after.packets_lost) / sent if sent else 0.0,
        retransmits=stats.retransmitted_bytes + after.retransmitted,
        kernel_drops=after.kernel_drops + session.endpoint.kernel_drops - drops_before,
        rtt_us=stats.rtt,
        direction=direction,
        streams=streams,
    )


@dataclass(frozen=True, slots=True)
class CallResult:
    """Calls a second, and what half and all but one in a hundred of them took at most."""

    ops: int
    ops_s: float
    p50_us: float
    p99_us: float
    seconds: float
    size: int
    concurrency: int
    cpu_s_local: float
    suite: str


async def calls(session: Session, *, size: int, concurrency: int, seconds: float) -> CallResult:
    """Echoes of `size` bytes, `concurrency` at a time, for so long."""
    await _ask(session, Calls())
    caller, request = Caller(session, ECHO), Echo(bytes(size))
    took: list[float] = []
    cpu, started = time.process_time(), time.perf_counter()

    async def worker() -> None:
        while (start := time.perf_counter()) < started + seconds:
            await caller.ask(request)
            took.append(time.perf_counter() - start)

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(worker())
    spent, ops = time.perf_counter() - started, len(took)
    took.sort()
    return CallResult(
        ops=ops,
        ops_s=ops / spent,
        p50_us=took[ops // 2] * 1e6,
        p99_us=took[ops * 99 // 100] * 1e6,
        seconds=spent,
        size=size,
        concurrency=concurrency,
        cpu_s_local=time.process_time() - cpu,
        suite=session.stats().suite.name.lower(),
    )


async def _ask_cost(session: Session) -> Account:
    return await _ask(session, Cost())


async def _ask(session: Session, order: Order) -> Account:
    stream = await session.open_stream(priority=0)
    await _write(stream, order)
    stream.send_eof()
    account = _accounts.decode(await _read(stream))
    await stream.read()
    return account


async def _up(session: Session, size: int, seconds: float) -> int:
    stream = await session.open_stream()
    await _write(stream, Sink())
    await _pour(stream, size, seconds)
    stream.send_eof()
    counted = _accounts.decode(await _read(stream)).size
    await stream.read()
    return counted


async def _down(session: Session, size: int, seconds: float) -> int:
    stream = await session.open_stream()
    await _write(stream, Source(size, seconds))
    stream.send_eof()
    return await _count(stream)
