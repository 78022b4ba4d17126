"""Whatever a client says, it gets the code for it, and nobody else notices; nothing secret is told of it."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import msgspec
import pytest
import structlog

from repram.crypto.sealing import id_of
from repram.errors import RateLimited, StreamReset
from repram.proto.endpoint import Session
from repram.proto.messages import CHUNK_MAX, STORAGE, Get, Has, Put, Reply, Request
from repram.proto.rpc import MAX_MESSAGE, Caller, Code, Failure, Server
from repram.proto.rpc.codec import message_size
from repram.proto.rpc.failures import error_of
from repram.storaged import clock as clocks
from repram.storaged.access.keeper import Keeper, Terms
from repram.storaged.holdings.book import Book
from repram.storaged.memory import MemoryTier
from repram.storaged.metrics import Metrics, Standing
from repram.storaged.service import Service
from repram_cli import logs
from tests.conftest import Run
from tests.leases import ALICE, BOB, MINUTE
from tests.nodes import calling, serving

BODY = b"the body that nobody may read " * 40
ITEM = id_of(BODY).raw


@dataclass
class Node:
    """A node that is asked, what it counts, and an honest client of it."""

    metrics: Metrics
    now: int
    session: Session
    honest: Caller[Request, Reply]


@asynccontextmanager
async def node(*, rate: float = 0, burst: float = 0, patience: float = 0.2) -> AsyncIterator[Node]:
    """The session is the hostile client's; the honest one has its own."""
    reading = clocks.read()
    clock = clocks.Clock(clocks.boottime, reading, None)
    seconds = asyncio.get_running_loop().time
    terms = Terms(public=True, rate=rate, burst=burst)
    keeper = Keeper(terms, clock, folder=None, entropy=bytes, time=seconds)
    metrics = Metrics(started=0)
    server = Server(STORAGE, patience=patience, witness=metrics.answered)
    service = Service(Book(MemoryTier(), 1 << 26), keeper, clock.now)
    service.answer_on(server)
    async with serving(server) as at, calling(at) as hostile, calling(at) as other:
        yield Node(metrics, clock.now(), hostile, Caller(other, STORAGE))


@pytest.fixture(autouse=True)
def log() -> Iterator[io.StringIO]:
    """What the node logs, as it would."""
    root = logging.getLogger()
    before, level, out = root.handlers[:], root.level, io.StringIO()
    logs.configure(level=logging.DEBUG, out=out)
    yield out
    root.handlers[:], root.level = before, level
    structlog.reset_defaults()


def framed(message: bytes, *, version: int = 1, length: int | None = None) -> bytes:
    size = len(message) if length is None else length
    return bytes([version]) + size.to_bytes(3, "big") + bytes(4) + message


def packed(*fields: object) -> bytes:
    return framed(msgspec.msgpack.encode(fields))


def asked(request: Request, body: bytes = b"") -> bytes:
    return STORAGE.request(request) + body


def changed(request: Put, **fields: object) -> Put:
    return msgspec.structs.replace(request, **fields)


async def told(session: Session, data: bytes, *, eof: bool = True) -> Failure:
    """The failure that comes back."""
    stream = await session.open_stream()
    with suppress(StreamReset):  # the answer may come before all of the question has gone
        stream.write(data)
        if eof:
            stream.send_eof()
    head = await stream.readexactly(4)
    reply = await stream.readexactly(message_size(int.from_bytes(head, "big")))
    return msgspec.msgpack.decode(reply, type=Failure)


def put_of(now: int) -> Put:
    return ALICE.put(BODY, now)


def wrongly_signed(now: int) -> bytes:
    put = put_of(now)
    lease = msgspec.structs.replace(put.lease, signature=bytes(64))
    return asked(changed(put, lease=lease), BODY)


def signed_by_another(now: int) -> bytes:
    terms = ALICE.terms(put_of(now).lease.root, now)
    return asked(changed(put_of(now), lease=ALICE.lease(terms, BOB.ends)), BODY)


def of_another_item(now: int) -> bytes:
    return asked(changed(put_of(now), id=id_of(b"another").raw), BODY)


HOSTILE: dict[str, tuple[Callable[[int], bytes], Code]] = {
    "nothing": (lambda _: b"", Code.MALFORMED),
    "half a header": (lambda _: b"\x01\x00", Code.MALFORMED),
    "no message": (lambda _: framed(b"\xc1"), Code.MALFORMED),
    "too long a message": (lambda _: framed(b"", length=MAX_MESSAGE + 1), Code.MALFORMED),
    "half a message": (lambda now: asked(put_of(now))[:60], Code.MALFORMED),
    "another version": (lambda _: framed(b"", version=9), Code.VERSION),
    "an unknown verb": (lambda _: packed("obey", ITEM), Code.UNKNOWN),
    "an id that is short": (lambda _: packed("get", ITEM[:-1]), Code.MALFORMED),
    "an offset below nought": (lambda _: packed("get", ITEM, -1), Code.MALFORMED),
    "too many ids": (lambda _: packed("has", [ITEM] * 1_025), Code.MALFORMED),
    "bytes behind a request without a body": (
        lambda _: asked(Get(ITEM), b"x"),
        Code.MALFORMED,
    ),
    "an item that is not here": (lambda _: asked(Get(ITEM)), Code.NOT_FOUND),
    "an empty chunk": (lambda now: asked(changed(put_of(now), size=0)), Code.OUT_OF_BOUNDS),
    "too large a chunk": (
        lambda now: asked(changed(put_of(now), size=CHUNK_MAX + 1), BODY),
        Code.OUT_OF_BOUNDS,
    ),
    "too short a lease": (lambda now: asked(ALICE.put(BODY, now, 29_999)), Code.OUT_OF_BOUNDS),
    "too long a lease": (lambda now: asked(ALICE.put(BODY, now, 1 << 40)), Code.OUT_OF_BOUNDS),
    "a lease that is over": (
        lambda now: asked(ALICE.put(BODY, now - 2 * MINUTE), BODY),
        Code.OUT_OF_BOUNDS,
    ),
    "a lease from tomorrow": (
        lambda now: asked(ALICE.put(BODY, now + 86_400_000), BODY),
        Code.CLOCK,
    ),
    "a lease without a signature": (wrongly_signed, Code.INTEGRITY),
    "a lease signed by another": (signed_by_another, Code.INTEGRITY),
    "a lease of another item": (of_another_item, Code.INTEGRITY),
    "other bytes than those that were named": (
        lambda now: asked(put_of(now), BODY[:-1] + b"?"),
        Code.INTEGRITY,
    ),
    "fewer bytes than were announced": (
        lambda now: asked(put_of(now), BODY[:-1]),
        Code.MALFORMED,
    ),
    "more bytes than were announced": (
        lambda now: asked(put_of(now), BODY + b"x"),
        Code.MALFORMED,
    ),
    "an end without a signature": (
        lambda now: asked(msgspec.structs.replace(ALICE.end(now=now), signature=bytes(64))),
        Code.INTEGRITY,
    ),
    "a renewal of nothing": (
        lambda now: asked(ALICE.renewal(put_of(now), now)),
        Code.NOT_FOUND,
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_each_meets_its_own_code(run: Run[None], what: str) -> None:
    async def main() -> None:
        said, code = HOSTILE[what]
        async with node() as it:
            for _ in range(2):  # the same each time, and the session goes on
                failure = await told(it.session, said(it.now))
                assert Code(failure.code) is code, failure.message
                assert error_of(failure).hint
            assert code.name.lower() in page(it)
            await it.honest.call(ALICE.put(b"honest", it.now), body=b"honest")

    run(main())


def page(it: Node) -> str:
    return it.metrics.page(Standing(tier="memory", capacity=1, used=0, items={}))


def test_a_client_that_stalls_is_told_so(run: Run[None]) -> None:
    async def main() -> None:
        async with node(patience=0.1) as it:
            failure = await told(it.session, asked(put_of(it.now), BODY[:10]), eof=False)
            assert failure.code == Code.STALLED
            assert 'verb="put",outcome="stalled"' in page(it)
            await it.honest.call(ALICE.put(b"honest", it.now), body=b"honest")

    run(main())


def test_a_client_that_floods_is_told_so_and_is_served_again(run: Run[None]) -> None:
    async def main() -> None:
        async with node(rate=200, burst=20) as it:
            flooding = Caller(it.session, STORAGE)
            async with asyncio.TaskGroup() as tasks:
                calls = [tasks.create_task(refused(flooding)) for _ in range(500)]
            assert 300 < sum(call.result() for call in calls) < 500
            assert 'verb="has",outcome="rate_limited"' in page(it)
            async with asyncio.timeout(10):
                while await refused(flooding):
                    pass

    run(main())


async def refused(caller: Caller[Request, Reply]) -> bool:
    try:
        await caller.ask(Has((ITEM,)))
    except RateLimited:
        return True
    return False


def test_neither_logs_nor_metrics_tell_what_was_said(run: Run[None], log: io.StringIO) -> None:
    async def main() -> None:
        async with node() as it:
            await it.honest.call(put_of(it.now), body=BODY)
            for said, _ in HOSTILE.values():
                with suppress(msgspec.ValidationError):  # that is no failure: some now succeed
                    await told(it.session, said(it.now))
            logging.getLogger("the-node").error("what came: %r %r", ITEM, str(id_of(BODY)))
            shown = page(it) + log.getvalue()
        lease = put_of(it.now).lease
        for raw in (BODY[:20], ITEM, lease.end_pk, lease.renew_pk, lease.root, bytes([1]) * 32):
            for text in (repr(raw)[2:-1], raw.hex(), msgspec.json.encode(raw).decode().strip('"=')):
                assert text not in shown

    run(main())
