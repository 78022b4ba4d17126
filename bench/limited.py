"""A node on one core with 256 MiB: `python -m bench.limited`, as root.

First what it does there beside what it does on the whole machine. Then clients put as much of one kind as
they can until long after it is full: it has to refuse, and go on, and not be killed.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

import uvloop

from bench.cgroups import Cgroup, limited
from bench.hostile import stall
from bench.processes import Process
from bench.values import CHUNK, LEASED, SIZE, Once, many, one_batch, tell
from repram import Client
from repram.crypto.sealing import id_of
from repram.crypto.spaces import Space
from repram.errors import Full, RepramError
from repram.ids import NodeAddress
from repram.proto.endpoint import Endpoint, Session
from repram.proto.messages import STORAGE, Get
from repram.proto.rpc import Caller

MEMORY: Final = 256 << 20
CHUNKS: Final = 48  # of the figures: they fit
SESSIONS: Final = 4  # of those who fill it
FILLING: Final = 256  # calls of each session at one time
_NODE: Final = (sys.executable, "-m", "repram_cli", "storaged", "run", "--public", "--rate", "0")

Fill = Callable[[Session], Awaitable[None]]


@contextmanager
def node(inside: Cgroup | None, *options: str) -> Iterator[tuple[Process, str]]:
    """A node with its own idea of how much it holds, and its address."""
    command = [*_NODE, "--listen", "127.0.0.1:0", *options]
    with Process(inside.command(*command) if inside else command) as process:
        yield process, process.line()


async def figures(address: str, seconds: float) -> dict[str, int]:
    """Operations a second with values, MB/s with chunks."""
    found: dict[str, int] = {}
    async with Client(address) as client:
        values, data = client.kv(Space.new()), secrets.token_bytes(SIZE)
        puts: Once = lambda n: values.put(f"key {n % 1000}", data, ttl="10m")  # noqa: E731
        await many(puts, seconds / 4)
        found["put_s"] = round((await many(puts, seconds))["ops_s"])
        gets: Once = lambda n: values.get(f"key {n % 1000}")  # noqa: E731
        found["get_s"] = round((await many(gets, seconds))["ops_s"])
    at = NodeAddress.parse(address)
    async with await Endpoint.open() as endpoint:
        session = await endpoint.connect((at.at.host, at.at.port), at.key)
        caller = Caller(session, STORAGE)
        sealed = [secrets.token_bytes(CHUNK) for _ in range(CHUNKS)]
        ids = [id_of(each) for each in sealed]
        batches = (ids[first : first + LEASED] for first in range(0, CHUNKS, LEASED))
        leased = [put for batch in batches for put in one_batch(batch, session)]
        puts = lambda n: caller.call(leased[n % CHUNKS], body=sealed[n % CHUNKS])  # noqa: E731
        await asyncio.gather(*(puts(n) for n in range(CHUNKS)))
        found["put_mb_s"] = round((await many(puts, seconds, 8))["ops_s"] * CHUNK / 1e6)
        gets = lambda n: caller.call(Get(leased[n % CHUNKS].id), max_body=CHUNK)  # noqa: E731
        found["get_mb_s"] = round((await many(gets, seconds, 8))["ops_s"] * CHUNK / 1e6)
    return found


# ---- filling it


async def chunks(session: Session) -> None:
    """As large as they may be."""
    await _put(session, secrets.token_bytes(CHUNK))


async def crumbs(session: Session) -> None:
    """As small as they may be, each under a lease of its own."""
    await _put(session, secrets.token_bytes(8))


async def leases(session: Session) -> None:
    """A few small ones under many leases."""
    await _put(session, secrets.token_bytes(2))


async def reads(session: Session) -> None:
    """Large ones, asked for by many and read by nobody."""
    put = one_batch([id_of(_KNOWN)], session)[0]
    await Caller(session, STORAGE).call(put, body=_KNOWN)
    stream = await session.open_stream()
    stream.write(STORAGE.request(Get(put.id)))
    stream.send_eof()
    await asyncio.sleep(3)
    stream.reset()


_KNOWN: Final = secrets.token_bytes(CHUNK)
FILLS: Final[dict[str, Fill]] = {
    "chunks": chunks,
    "crumbs": crumbs,
    "leases": leases,
    "reads": reads,
    "stalls": stall,
}


async def _put(session: Session, body: bytes) -> None:
    put = one_batch([id_of(body)], session, len(body))[0]
    await Caller(session, STORAGE).call(put, body=body)


async def filled(
    address: str, fill: Fill, seconds: float, at_once: int = FILLING
) -> dict[str, int]:
    """How often it was refused, and how."""
    at, until = NodeAddress.parse(address), time.monotonic() + seconds
    told: dict[str, int] = {"done": 0}

    async def again(session: Session) -> None:
        while time.monotonic() < until:
            try:
                await fill(session)
            except RepramError as error:
                name = "Full" if isinstance(error, Full) else type(error).__name__
                told[name] = told.get(name, 0) + 1
            else:
                told["done"] += 1

    async def one() -> None:
        async with await Endpoint.open() as endpoint:
            session = await endpoint.connect((at.at.host, at.at.port), at.key)
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds + 2):
                    await asyncio.gather(*(again(session) for _ in range(at_once)))

    await asyncio.gather(*(one() for _ in range(SESSIONS)))
    return told


async def still_answers(address: str) -> bool:
    """Whether a client is told of the node."""
    async with Client(address) as client:
        return (await client.about()).node.capacity > 0


async def compare(seconds: float, rounds: int) -> None:
    """The whole machine and the cgroup in turn."""
    for number in range(rounds):
        whole: dict[str, int] = {}
        with node(None) as (_, address):
            whole = await figures(address, seconds)
        with limited(MEMORY) as inside, node(inside) as (_, address):
            there = await figures(address, seconds)
            ratios = {name: round(there[name] / whole[name], 2) for name in whole}
            tell(
                "limited",
                round=number,
                whole=whole,
                there=there,
                ratios=ratios,
                killed=inside.killed,
            )


async def survive(seconds: float, kinds: list[str]) -> None:
    """One fresh node for each kind of load and each tier."""
    for kind in kinds:
        for tier in ("memory", "disk"):
            folder = tempfile.mkdtemp(prefix="repram-limited-")
            with limited(MEMORY) as inside, ExitStack() as around:
                around.callback(shutil.rmtree, folder)
                options = ("--disk", folder) if tier == "disk" else ()
                process, address = around.enter_context(node(inside, *options))
                told = await filled(address, FILLS[kind], seconds)
                alive = not process.ended() and await still_answers(address)
                tell(
                    "limited", fill=kind, tier=tier, told=told, alive=alive, killed=inside.killed,
                    peak_mib=inside.peak >> 20,
                )  # fmt: skip


def main() -> None:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench.limited", description=__doc__)
    parser.add_argument("what", nargs="*", choices=["compare", *FILLS, []])
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    what = args.what or ["compare", *FILLS]
    if "compare" in what:
        uvloop.run(compare(args.seconds, args.rounds))
    uvloop.run(survive(args.seconds, [kind for kind in what if kind in FILLS]))


if __name__ == "__main__":
    main()
