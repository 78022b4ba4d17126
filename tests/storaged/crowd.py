"""How a node bears many sessions: what they cost, and what an honest client notices of them.

    python -m tests.storaged.crowd --sessions 10000
    python -m tests.storaged.crowd --slow 1000
    python -m tests.storaged.crowd --churn 50000

It sends to loopback only.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import Final, NamedTuple

import uvloop

from repram.errors import StreamReset
from repram.ids import NodeAddress
from repram.proto.connection import Settings
from repram.proto.endpoint import Endpoint, Session
from repram.proto.messages import STORAGE, About
from repram.proto.rpc import Caller
from tests.leases import ALICE
from tests.processes import Node, node, resident

PER_SOURCE: Final = 200  # sessions from one address of 127.0.0.0/8
AT_ONCE: Final = 20
BODY: Final = 1 << 16  # bytes of which a slow client sends one a second
IDLE: Final = Settings(keep_alive=10, max_sessions=PER_SOURCE + 1)


@asynccontextmanager
async def source(number: int) -> AsyncIterator[Endpoint]:
    """A host of its own, as far as the node can tell."""
    address = (f"127.1.{number // 250}.{number % 250 + 1}", 0)
    async with await Endpoint.open(address, settings=IDLE) as endpoint:
        yield endpoint


async def call(endpoint: Endpoint, address: NodeAddress) -> Session:
    """A session."""
    return await endpoint.connect((address.at.host, address.at.port), address.key)


async def ask(address: NodeAddress, calls: int = 4_000) -> None:
    """Short questions one after the other; prints the median and the 99th percentile, milliseconds."""
    async with source(0) as endpoint:
        caller, took = Caller(await call(endpoint, address), STORAGE), []
        for _ in range(calls):
            start = time.perf_counter()
            await caller.ask(About())
            took.append((time.perf_counter() - start) * 1000)
    took.sort()
    print(took[len(took) // 2], took[len(took) * 99 // 100])


class Waited(NamedTuple):
    """What an honest client in a process of its own sees, milliseconds."""

    p50: float
    p99: float

    def __str__(self) -> str:
        return f"p50 {self.p50:.2f} ms, p99 {self.p99:.2f} ms"


def myself(*arguments: str) -> tuple[str, ...]:
    """The command that does a part of this in a process of its own."""
    return (sys.executable, "-m", "tests.storaged.crowd", *arguments)


async def waited(address: NodeAddress) -> Waited:
    """What an honest client sees now: of five, the one in the middle."""
    seen = []
    for _ in range(5):
        asking = await asyncio.create_subprocess_exec(
            *myself("--ask", str(address)), stdout=asyncio.subprocess.PIPE
        )
        said, _ = await asking.communicate()
        seen.append(Waited(*map(float, said.split())))
    return sorted(seen, key=lambda each: each.p99)[2]


# ---- slow clients


async def drip(session: Session) -> None:
    """A put whose body comes a byte a second; the node breaks it off, and another one begins."""
    await asyncio.sleep(random.random())
    while True:
        stream = await session.open_stream()
        body = secrets.token_bytes(BODY)
        with suppress(StreamReset):
            stream.write(STORAGE.request(ALICE.put(body, session.peer_time)))
            for byte in body:
                stream.write(bytes([byte]))
                await asyncio.sleep(1)
        stream.reset()


async def trickle(address: NodeAddress, process: int, sessions: int) -> None:
    """So many of them; says so when they are all at it, and goes on until it is ended."""
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        first = 1 + process * -(-sessions // PER_SOURCE)
        for number in range(-(-sessions // PER_SOURCE)):
            endpoint = await stack.enter_async_context(source(first + number))
            for _ in range(min(PER_SOURCE, sessions - number * PER_SOURCE) // AT_ONCE):
                calls = (call(endpoint, address) for _ in range(AT_ONCE))
                for session in await asyncio.gather(*calls):
                    tasks.create_task(drip(session))
        await asyncio.sleep(2)
        print("trickling", flush=True)


@contextmanager
def trickling(address: NodeAddress, sessions: int, processes: int) -> Iterator[None]:
    """So many are at it meanwhile, in processes of their own. They have what processor time the others
    leave: what is measured is how the node shares itself out, not how this machine does."""
    each = str(sessions // processes)
    share = [
        subprocess.Popen(
            (
                *("chrt", "--idle", "0"),
                *myself("--trickle", str(address), "--process", str(number), "--sessions", each),
            ),
            stdout=subprocess.PIPE,
        )
        for number in range(processes)
    ]
    try:
        for process in share:
            assert process.stdout is not None
            process.stdout.readline()
        yield
    finally:
        for process in share:
            process.kill()
            process.wait()


async def slow(server: Node, sessions: int) -> None:
    """What an honest client notices of them: at first, and when the first of them have been cut off."""
    address, process = NodeAddress.parse(server.address), server.process.pid
    alone = await waited(address)
    print(f"alone: {alone}", flush=True)
    with trickling(address, sessions, processes=2):
        for after in (0, 70):
            await asyncio.sleep(after)
            beside = await waited(address)
            print(
                f"beside {sessions} at a byte a second, {after} s later: {beside}, "
                f"{beside.p99 / alone.p99:.2f} times; "
                f"{resident(process) / 2**20:.0f} MiB resident in all",
                flush=True,
            )


# ---- many clients


async def many(server: Node, sessions: int) -> None:
    """Opens them and tells what that costs."""
    address, process = NodeAddress.parse(server.address), server.process.pid
    async with AsyncExitStack() as stack:
        alone, before = await waited(address), resident(process)
        held: list[Session] = []
        for number in range(sessions // PER_SOURCE):
            endpoint = await stack.enter_async_context(source(1 + number))
            for _ in range(PER_SOURCE // AT_ONCE):
                calls = (call(endpoint, address) for _ in range(AT_ONCE))
                held += await asyncio.gather(*calls)
        grown = resident(process) - before
        print(
            f"{len(held)} sessions: {resident(process) / 2**20:.0f} MiB resident in all,", end=" "
        )
        print(f"{grown / len(held) / 1024:.1f} KiB each")
        newcomer, took = await stack.enter_async_context(source(999)), []
        for _ in range(20):
            start = time.perf_counter()
            await (await call(newcomer, address)).close()
            took.append((time.perf_counter() - start) * 1000)
        print(f"a new handshake: {sorted(took)[10]:.1f} ms, at most {max(took):.1f} ms")
        print(f"a call: {alone} alone; {await waited(address)} beside them")


async def churn(server: Node, sessions: int) -> None:
    """Opens and closes them, and tells what is left."""
    address, process = NodeAddress.parse(server.address), server.process.pid
    done, before = 0, 0
    start = time.perf_counter()
    while done < sessions:
        for number in range(40):
            async with source(number) as endpoint:

                async def once(endpoint: Endpoint = endpoint) -> None:
                    async with await call(endpoint, address) as session:
                        await Caller(session, STORAGE).ask(About())

                for _ in range(5):
                    await asyncio.gather(*(once() for _ in range(AT_ONCE)))
                    done += AT_ONCE
        before = before or resident(process)
        seconds = time.perf_counter() - start
        print(
            f"{done} sessions in {seconds:.0f} s: {resident(process) / 2**20:.1f} MiB", flush=True
        )
    grown = resident(process) - before
    print(f"grown by {grown / 2**20:.1f} MiB since the first {4_000}")


def main() -> int:
    """Runs what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.storaged.crowd", description=__doc__)
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--slow", type=int, default=0)
    parser.add_argument("--churn", type=int, default=0)
    for part in ("--ask", "--trickle"):
        parser.add_argument(part, type=NodeAddress.parse, help=argparse.SUPPRESS)
    parser.add_argument("--process", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ask:
        uvloop.run(ask(arguments.ask))
        return 0
    if arguments.trickle:
        uvloop.run(trickle(arguments.trickle, arguments.process, arguments.sessions))
        return 0
    with node("--rate", "0") as server:
        if arguments.churn:
            uvloop.run(churn(server, arguments.churn))
        elif arguments.slow:
            uvloop.run(slow(server, arguments.slow))
        else:
            uvloop.run(many(server, arguments.sessions))
    return 0


if __name__ == "__main__":
    sys.exit(main())
