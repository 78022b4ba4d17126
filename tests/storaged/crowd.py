"""How a node bears many sessions: what they cost, and what an honest client notices of them.

    python -m tests.storaged.crowd --sessions 10000
    python -m tests.storaged.crowd --churn 1000000

It sends to loopback only.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final

import uvloop

from repram.errors import StreamReset
from repram.ids import NodeAddress
from repram.proto.connection import Settings
from repram.proto.endpoint import Endpoint, Session
from repram.proto.messages import STORAGE, About
from repram.proto.rpc import Caller
from tests.processes import Node, node, resident

PER_SOURCE: Final = 200  # sessions from one address of 127.0.0.0/8
AT_ONCE: Final = 20
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


async def ask(address: NodeAddress, calls: int = 2_000) -> None:
    """Short questions one after the other; prints the 99th percentile, in milliseconds."""
    async with source(0) as endpoint:
        caller, took = Caller(await call(endpoint, address), STORAGE), []
        for _ in range(calls):
            start = time.perf_counter()
            await caller.ask(About())
            took.append(time.perf_counter() - start)
    print(sorted(took)[len(took) * 99 // 100] * 1000)


async def p99(address: NodeAddress) -> float:
    """What an honest client in a process of its own sees, milliseconds."""
    command = (sys.executable, "-m", "tests.storaged.crowd", "--ask", str(address))
    asking = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    said, _ = await asking.communicate()
    return float(said)


async def drip(session: Session) -> None:
    """Requests of which a byte comes each second; the node breaks them off, and another one begins."""
    await asyncio.sleep(random.random())
    while True:
        stream = await session.open_stream()
        with suppress(StreamReset):
            for byte in (512).to_bytes(4, "big") + bytes(512):
                stream.write(bytes([byte]))
                await asyncio.sleep(1)


async def many(server: Node, sessions: int, dripping: int) -> None:
    """Opens them and tells what that costs."""
    address, process = NodeAddress.parse(server.address), server.process.pid
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        alone, before = await p99(address), resident(process)
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
        start = time.perf_counter()
        await call(await stack.enter_async_context(source(999)), address)
        print(f"a new handshake: {(time.perf_counter() - start) * 1000:.1f} ms")
        print(f"p99 of a call: {alone:.2f} ms alone, {await p99(address):.2f} ms beside them")
        drips = [tasks.create_task(drip(session)) for session in held[:dripping]]
        print(f"and {await p99(address):.2f} ms while {len(drips)} of them send a byte a second")
        for each in drips:
            each.cancel()


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
    parser.add_argument("--dripping", type=int, default=1_000)
    parser.add_argument("--churn", type=int, default=0)
    parser.add_argument("--ask", type=NodeAddress.parse, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ask:
        uvloop.run(ask(arguments.ask))
        return 0
    with node("--rate", "0") as server:
        if arguments.churn:
            uvloop.run(churn(server, arguments.churn))
        else:
            uvloop.run(many(server, arguments.sessions, arguments.dripping))
    return 0


if __name__ == "__main__":
    sys.exit(main())
