"""`bench …`: what repram's transport carries between two machines, as iperf tells it of TCP."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from repram.errors import UsageError
from repram.ids import HostPort, NodeAddress, parse_duration, parse_size
from repram_cli import output
from repram_cli.options import Json
from repram_cli.running import listen_address
from repram_cli.running import run as run_coroutine

if TYPE_CHECKING:
    from repram.proto.connection import Settings
    from repram.proto.endpoint import Session

app = typer.Typer(help="Measure the transport between two machines.", no_args_is_help=True)

SuiteName = Literal["auto", "xchacha20", "aegis256"]
LoopName = Literal["uvloop", "asyncio"]
Loop = Annotated[
    LoopName, typer.Option(metavar="uvloop|asyncio", help="The event loop of this side.")
]
DEFAULT_BYTES = "1GiB"
DEFAULT_SECONDS = 10.0


@app.command()
def serve(
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where to listen; port 0 picks a free one.")
    ] = "0.0.0.0:0",
    loop: Loop = "uvloop",
    json: Json = False,
) -> None:
    """Answer measurements until told to stop; prints the address to run them against."""
    host, port = listen_address(listen)
    run_coroutine(_serve(host, port, json=json), plain=loop == "asyncio")


async def _serve(host: str, port: int, *, json: bool) -> None:
    import asyncio
    import os

    from repram.proto import measure
    from repram.proto.endpoint import Endpoint

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with await Endpoint.open((host, port), identity=os.urandom(32), listen=True) as endpoint:
        address = str(NodeAddress(endpoint.key, HostPort(*endpoint.address)))
        if json:
            output.event("address", address=address)
        else:
            output.data(address)
        serving = asyncio.create_task(measure.serve(endpoint))
        await stop.wait()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


@app.command()
def run(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="What `bench serve` printed.")],
    *,
    size: Annotated[
        str | None, typer.Option("--bytes", metavar="SIZE", help="How much to move.")
    ] = None,
    seconds: Annotated[
        str | None, typer.Option(metavar="TIME", help="Or for how long, such as 10 or 1m.")
    ] = None,
    direction: Annotated[
        Literal["up", "down", "both"],
        typer.Option(metavar="up|down|both", help="Which way, seen from here."),
    ] = "up",
    streams: Annotated[int, typer.Option(metavar="N", min=1, max=256, help="Streams at once.")] = 1,
    suite: Annotated[
        SuiteName, typer.Option(metavar="auto|xchacha20|aegis256", help="How packets are sealed.")
    ] = "auto",
    controller: Annotated[
        Literal["bbr", "cubic"],
        typer.Option("--cc", metavar="bbr|cubic", help="How the window is controlled."),
    ] = "bbr",
    rpc: Annotated[bool, typer.Option("--rpc", help="Measure calls instead of bytes.")] = False,
    call_size: Annotated[
        int,
        typer.Option(
            "--size", metavar="BYTES", min=0, max=1 << 15, help="With --rpc: bytes a call."
        ),
    ] = 64,
    concurrency: Annotated[
        int, typer.Option(metavar="N", min=1, max=1000, help="With --rpc: calls at a time.")
    ] = 64,
    loop: Loop = "uvloop",
    json: Json = False,
) -> None:
    """Move bytes to or from a `bench serve` elsewhere and tell how fast they went."""
    if size and seconds:
        raise UsageError("--bytes and --seconds exclude each other")
    limit = 0.0 if seconds is None else _seconds(seconds)
    amount = 0 if seconds else parse_size(size or DEFAULT_BYTES)
    where = NodeAddress.parse(address)
    if rpc:
        run_coroutine(
            _calls(
                where,
                size=call_size,
                concurrency=concurrency,
                seconds=limit or DEFAULT_SECONDS,
                settings=_settings(suite, controller),
                json=json,
            ),
            plain=loop == "asyncio",
        )
        return
    run_coroutine(
        _run(
            where,
            size=amount,
            seconds=limit,
            direction=direction,
            streams=streams,
            settings=_settings(suite, controller),
            json=json,
        ),
        plain=loop == "asyncio",
    )


def _seconds(text: str) -> float:
    return float(text) if text.isdigit() else parse_duration(text) / 1000


def _settings(suite: SuiteName, controller: str) -> Settings:
    from repram.proto.connection import Settings
    from repram.proto.primitives import Suite

    suites = {
        "auto": None,
        "xchacha20": (Suite.XCHACHA20,),
        "aegis256": (Suite.XCHACHA20, Suite.AEGIS256),
    }
    return Settings(suites=suites[suite], controller=controller)


@asynccontextmanager
async def _session(where: NodeAddress, settings: Settings) -> AsyncIterator[Session]:
    from repram.proto.endpoint import ANY, Endpoint

    local = ("::", 0) if ":" in where.at.host else ANY
    async with (
        await Endpoint.open(local, settings=settings) as endpoint,
        await endpoint.connect((where.at.host, where.at.port), where.key) as session,
    ):
        yield session


async def _calls(
    where: NodeAddress,
    *,
    size: int,
    concurrency: int,
    seconds: float,
    settings: Settings,
    json: bool,
) -> None:
    from dataclasses import asdict

    from repram.proto import measure

    async with _session(where, settings) as session:
        result = await measure.calls(session, size=size, concurrency=concurrency, seconds=seconds)
    if json:
        output.event("result", **asdict(result))
        return
    output.data(
        f"{result.ops_s:.0f} calls a second of {size} bytes, {concurrency} at a time: "
        f"half within {result.p50_us:.0f} µs, 99 % within {result.p99_us:.0f} µs, {result.suite}"
    )


async def _run(
    where: NodeAddress,
    *,
    size: int,
    seconds: float,
    direction: Literal["up", "down", "both"],
    streams: int,
    settings: Settings,
    json: bool,
) -> None:
    from dataclasses import asdict

    from repram.proto import measure

    async with _session(where, settings) as session:
        result = await measure.transfer(
            session, size=size, seconds=seconds, direction=direction, streams=streams
        )
    if json:
        output.event("result", **asdict(result))
        return
    output.data(
        f"{result.goodput_mb_s:.1f} MB/s: {result.bytes / 2**20:.0f} MiB in {result.seconds:.2f} s, "
        f"CPU {result.cpu_s_local:.2f} s here and {result.cpu_s_remote:.2f} s there, "
        f"{result.loss:.2%} lost, {result.suite}, {result.cc}, packets of {result.mtu} bytes"
    )
