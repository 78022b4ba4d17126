"""The handshake matrix over real sockets: callers, each behind a path of its own, and their node.

    python -m tests.proto.matrix --connections 50

As root every path is a router between two network namespaces; otherwise all stands on loopback.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from ipaddress import IPv4Address
from random import Random
from typing import Final

from repram.proto.connection import ETHERNET, Secret, Settings
from repram.proto.endpoint import Endpoint, Session
from repram.proto.primitives import Pattern
from repram.proto.stream import Stream
from tests.namespaces import network, why_not
from tests.proto.live import read_all
from tests.proto.relay import Entered, Relay
from tests.sim.matrix import FIRST_MOVE, MOVES_EVERY, ROWS, goes_up, moves, path_of, pattern_of

TEN_MB: Final = 10_000_000
RATE: Final = (
    1_000_000  # bytes a second, for each: ten at a time are what one program passes on with ease
)
STOOD_STILL: Final = 2.0  # seconds
UP: Final = b"up"
INVITE, PAIRING = Secret(b"invite..", b"v" * 32), Secret(bytes(8), b"p" * 32)
KEEP_ALIVE: Final = Settings(mtu=ETHERNET, keep_alive=1.0)
LISTENING: Final = Settings(mtu=ETHERNET, patterns=tuple(Pattern), cookie_after=4)


@dataclass(frozen=True, slots=True)
class Stage:
    """Where caller, path and node stand; the node sees callers at `outside` and the addresses behind it."""

    caller: tuple[Entered, str]
    path: tuple[Entered, str]
    node: tuple[Entered, str]
    outside: IPv4Address


@dataclass(frozen=True, slots=True)
class Carried:
    """What came of one connection."""

    why_not: str
    connected: float = 0.0  # seconds
    done: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)


LOOPBACK: Final = Stage(
    (nullcontext, "127.0.0.1"),
    (nullcontext, "127.0.0.1"),
    (nullcontext, "127.0.0.1"),
    IPv4Address("127.0.4.1"),
)


@contextmanager
def namespaces() -> Iterator[Stage]:
    """A caller and a node in namespaces of their own, and the path in the router between them."""
    with network() as net:
        net.router.ip("route", "add", "local", "10.77.4.0/22", "dev", "lo")
        yield Stage(
            (net.client.entered, net.address("client", 4)),
            (net.router.entered, net.address("client's router", 4)),
            (net.server.entered, net.address("server", 4)),
            IPv4Address("10.77.4.1"),
        )


# ---- the node ----


@asynccontextmanager
async def listening(stage: Stage) -> AsyncIterator[Endpoint]:
    """A node that hashes what it is sent, and sends what it is asked for."""
    enter, host = stage.node
    with enter():
        opened = await Endpoint.open((host, 0), identity=b"i" * 32, listen=True, settings=LISTENING)
    async with opened as node:
        node.add_secret(INVITE)
        node.add_secret(PAIRING)
        serving = asyncio.create_task(_serve_all(node))
        yield node
        serving.cancel()
        await asyncio.wait([serving])


async def _serve_all(node: Endpoint) -> None:
    async with asyncio.TaskGroup() as tasks:
        while True:
            tasks.create_task(_serve(await node.accept()))


async def _serve(session: Session) -> None:
    try:
        stream = await session.accept_stream()
        await _answer(stream)
        await session.accept_stream()  # there is none: until the caller closes
    except Exception:  # noqa: BLE001  the caller tells what went wrong
        return


async def _answer(stream: Stream) -> None:
    question = await stream.read()
    if question.startswith(UP):
        digest = sha256(question[len(UP) :])
        while piece := await stream.read():
            digest.update(piece)
        stream.write(digest.digest())
    else:
        stream.write(payload(int(question)))
    stream.send_eof()
    await stream.drain()


def payload(size: int) -> bytes:
    """What is carried."""
    return Random(size).randbytes(size)


# ---- the callers ----


async def carry(stage: Stage, node: Endpoint, row: str, number: int, size: int) -> Carried:
    """One connection of the matrix, and what came of it."""
    path = path_of(row, number)
    path = replace(path, rate=min(path.rate, RATE))
    enter, front = stage.path
    relay = Relay(
        path,
        f"{row}, connection {number}",
        front=front,
        back=stage.outside + 8 * number,
        node=node.address,
        entered=enter,
    )
    with relay:
        if what := moves(row):
            relay.move_every(FIRST_MOVE, MOVES_EVERY, address=what == "address")
        start = time.monotonic()
        try:
            connected = await _transfer(stage, relay, node.key, number, size)
        except Exception as error:  # noqa: BLE001  whatever it is, this connection has failed
            return Carried(f"after {time.monotonic() - start:.1f} s: {error!r}")
        counts = relay.counts() + Counter(moves=relay.moves)
        return Carried("", connected - start, time.monotonic() - start, counts)


async def _transfer(stage: Stage, relay: Relay, key: bytes, number: int, size: int) -> float:
    """When the session stood; AssertionError unless the bytes are right at the other end."""
    pattern = pattern_of(number)
    secret = {Pattern.IKPSK2: INVITE, Pattern.XXPSK3: PAIRING}.get(pattern)
    known = key if pattern in {Pattern.IK, Pattern.IKPSK2} else None
    enter, host = stage.caller
    with enter():
        opened = await Endpoint.open((host, 0), identity=b"c" * 32, settings=KEEP_ALIVE)
    async with (
        opened as caller,
        await caller.connect(relay.address, known, secret=secret, pattern=pattern) as session,
    ):
        connected = time.monotonic()
        stream = await session.open_stream()
        stream.write(UP + payload(size) if goes_up(number) else str(size).encode())
        stream.send_eof()
        await stream.drain()
        wanted = sha256(payload(size)).digest() if goes_up(number) else payload(size)
        if await read_all(stream) != wanted:
            raise AssertionError("other bytes than were sent")
        return connected


async def carry_all(
    stage: Stage, row: str, numbers: Iterable[int], size: int
) -> tuple[list[Carried], float]:
    """Connections over the path of that name, all at once, and how long this program stood still at most."""
    async with listening(stage) as node:
        watching = asyncio.create_task(_longest_pause())
        out = await asyncio.gather(*(carry(stage, node, row, number, size) for number in numbers))
        watching.cancel()
        return out, await watching


async def _longest_pause() -> float:
    longest, before = 0.0, time.monotonic()
    with suppress(asyncio.CancelledError):
        while True:
            await asyncio.sleep(0.1)
            longest, before = max(longest, time.monotonic() - before), time.monotonic()
    return longest


def run_row(
    stage: Stage, row: str, numbers: Sequence[int], size: int, at_once: int
) -> list[Carried]:
    """So many at a time; who was kept from running meanwhile, and so was silent, has to try again."""
    done: list[Carried] = []
    while left := numbers[len(done) : len(done) + at_once]:
        out, paused = asyncio.run(carry_all(stage, row, left, size))
        if paused > STOOD_STILL and any(each.why_not for each in out):
            print(f"  again: this program stood still for {paused:.0f} s", flush=True)
        else:
            done += out
    return done


def main() -> int:
    """Runs the matrix, prints a line a path, and says by its exit code whether every connection carried."""
    parser = argparse.ArgumentParser(prog="python -m tests.proto.matrix", description=__doc__)
    parser.add_argument("--connections", type=int, default=50, help="over each path")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--size", type=int, default=TEN_MB, help="bytes that each carries")
    parser.add_argument("--at-once", type=int, default=10, help="connections at a time")
    parser.add_argument("--row", choices=ROWS, action="append", help="only this path")
    arguments = parser.parse_args()
    numbers = range(arguments.first, arguments.first + arguments.connections)
    why = why_not()
    print(f"on loopback: {why}" if why else "between two network namespaces", flush=True)
    failed = 0
    with nullcontext(LOOPBACK) if why else namespaces() as stage:
        for row in arguments.row or ROWS:
            out = run_row(stage, row, numbers, arguments.size, arguments.at_once)
            failed += tell(row, out)
    return 1 if failed else 0


def tell(row: str, out: list[Carried]) -> int:
    """Prints what came of a path's connections; how many failed."""
    good = [each for each in out if not each.why_not]
    total = sum((each.counts for each in good), Counter[str]())
    slowest = max((each.connected for each in good), default=0)
    longest = max((each.done for each in good), default=0)
    print(
        f"{row}: {len(good)} of {len(out)}, the slowest handshake {slowest:.1f} s, "
        f"the longest transfer {longest:.1f} s; {dict(sorted(total.items()))}",
        flush=True,
    )
    for number, each in enumerate(out):
        if each.why_not:
            print(f"  the {number}. of them {each.why_not}", flush=True)
    return len(out) - len(good)


if __name__ == "__main__":
    sys.exit(main())
