"""Calls a second over loopback: echoes of 64 bytes, 64 in flight, one session, one core a side.

The server is a process of its own. The last line is JSON; `--concurrency 1` beside it shows what one
call takes, and `--tcp` the same for a bare asyncio TCP echo.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Final, cast

import msgspec
import uvloop
from msgspec import Meta

from repram.proto.connection import Settings
from repram.proto.endpoint import ANY, Endpoint, Session
from repram.proto.rpc import Caller, Codec, Server

LOCALHOST: Final = ("127.0.0.1", 0)


class Echo(msgspec.Struct, frozen=True, array_like=True, tag="echo"):
    """Say it back."""

    data: Annotated[bytes, Meta(max_length=1 << 15)]


class Echoed(msgspec.Struct, frozen=True, array_like=True, tag="echoed"):
    """It, said back."""

    data: Annotated[bytes, Meta(max_length=1 << 15)]


ECHO: Final = Codec[Echo, Echoed](Echo, Echoed)


async def serve_calls(args: argparse.Namespace) -> None:
    """Prints where it is and answers one session."""
    settings = Settings(max_streams=args.streams)
    opened = await Endpoint.open(LOCALHOST, identity=bytes(32), listen=True, settings=settings)
    async with opened as endpoint:
        print(endpoint.address[1], endpoint.key.hex(), flush=True)
        server = Server(ECHO)
        if args.task:
            server.on_task(Echo, echo_in_a_task)
        else:
            server.on(Echo, echo)
        await server.attend(await endpoint.accept())


def echo(request: Echo, _session: Session) -> Echoed:
    return Echoed(request.data)


async def echo_in_a_task(request: Echo, _body: object) -> Echoed:
    return Echoed(request.data)


async def call_it(args: argparse.Namespace, port: int, key: bytes) -> list[float]:
    async with (
        await Endpoint.open(ANY) as endpoint,
        await endpoint.connect((LOCALHOST[0], port), key) as session,
    ):
        caller = Caller(session, ECHO)
        request = Echo(bytes(args.size))
        return await repeat(lambda: caller.ask(request), args)


async def serve_tcp(_args: argparse.Namespace) -> None:
    """The yardstick: nothing but bytes, there and back."""

    class Back(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast("asyncio.Transport", transport)

        def data_received(self, data: bytes) -> None:
            self.transport.write(data)

        def connection_lost(self, _exc: Exception | None) -> None:
            over.set()

    over = asyncio.Event()
    server = await asyncio.get_running_loop().create_server(Back, *LOCALHOST)
    print(server.sockets[0].getsockname()[1], "00", flush=True)
    await over.wait()


async def call_tcp(args: argparse.Namespace, port: int, _key: bytes) -> list[float]:
    reader, writer = await asyncio.open_connection(LOCALHOST[0], port)
    data = bytes(args.size)

    async def once() -> None:
        writer.write(data)
        await reader.readexactly(len(data))

    took = await repeat(once, args)
    writer.close()
    return took


async def repeat(once: Callable[[], Awaitable[object]], args: argparse.Namespace) -> list[float]:
    """Seconds that each call took."""
    took: list[float] = []
    until = 0.0

    async def worker() -> None:
        while (start := time.perf_counter()) < until:
            await once()
            took.append(time.perf_counter() - start)

    for seconds in (args.seconds / 4, args.seconds):  # the first is for warming up
        took.clear()
        gc.collect()
        until = time.perf_counter() + seconds
        await asyncio.gather(*(worker() for _ in range(args.concurrency)))
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--streams", type=int, default=1024, help="that the server allows at once")
    parser.add_argument("--tcp", action="store_true", help="a bare TCP echo instead, one at a time")
    parser.add_argument("--task", action="store_true", help="the handler is a coroutine")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if args.serve:
        os.sched_setaffinity(0, {cores[-1]})
        uvloop.run(serve_tcp(args) if args.tcp else serve_calls(args))
        print(time.process_time(), flush=True)
        return
    command = [sys.executable, __file__, *sys.argv[1:], "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port, key = server.stdout.readline().split()
        os.sched_setaffinity(0, {cores[0]})
        cpu = time.process_time()
        call = call_tcp if args.tcp else call_it
        took = sorted(uvloop.run(call(args, int(port), bytes.fromhex(key))))
        cpu = time.process_time() - cpu
        theirs = float(server.stdout.readline())
    ops = len(took)
    print(
        json.dumps(
            {
                "bench": "rpc_echo",
                "what": "tcp" if args.tcp else "repram",
                "size": args.size,
                "concurrency": args.concurrency,
                "ops": ops,
                "ops_s": round(ops / args.seconds),
                "p50_us": round(took[ops // 2] * 1e6, 1),
                "p99_us": round(took[ops * 99 // 100] * 1e6, 1),
                "cpu_us_op_caller": round(cpu * 0.8 / ops * 1e6, 1),  # warming up is a fifth of it
                "cpu_us_op_server": round(theirs * 0.8 / ops * 1e6, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
