"""Values beside Redis, chunks, and a million records: one node on loopback, one core a side.

Each measurement is a line of JSON. The node holds in memory, without limits on requests; Redis keeps
nothing on disk, and is asked through redis-py on uvloop, as a Python program would.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from statistics import median
from typing import Final

import uvloop

from bench.processes import Process
from repram import Client
from repram.buffers import keep_freed
from repram.crypto.sealing import id_of
from repram.crypto.spaces import Space
from repram.crypto.statements import LeaseTerms, Signer, lease_leaf, proof_of, tree_of
from repram.ids import ItemId, NodeAddress
from repram.proto.endpoint import Endpoint, Session
from repram.proto.messages import STORAGE, Get, Lease, Put
from repram.proto.rpc import Caller
from repram.sdk.kv import Values

SIZE: Final = 1024
AT_ONCE: Final = 64
KEYS: Final = 10_000
CHUNK: Final = 1 << 20
CHUNKS: Final = 512  # other ones; put more often, they are read and verified again
LEASED: Final = 16
TTL_S: Final = 600
_TRIED: Final = 5_000  # records that tell how long it takes to put all
_TURNS: Final = 5
PORT: Final = 17_379
# Debian's redis-tools has the server under another name, and starts none when it is installed.
REDIS: Final = ("bash", "-c", 'exec -a redis-server redis-check-rdb "$@"', "redis-server")
CORES: Final = sorted(os.sched_getaffinity(0))

Once = Callable[[int], Awaitable[object]]


@contextmanager
def server(command: list[str]) -> Iterator[Process]:
    """A process on the last core, while this one keeps to the first."""
    with Process(["taskset", "-c", str(CORES[-1]), *command]) as process:
        yield process


@contextmanager
def node(*options: str, limits: bool = False) -> Iterator[tuple[Process, str]]:
    """A public node, without limits on requests unless they are wanted, and its address."""
    command = [sys.executable, "-m", "repram_cli", "storaged", "run", "--public"]
    rate = [] if limits else ["--rate", "0"]
    with server([*command, *rate, "--listen", "127.0.0.1:0", *options]) as process:
        yield process, process.line()


@asynccontextmanager
async def repram_verbs() -> AsyncIterator[tuple[Process, Once, Once]]:
    """Put and get of one of many values."""
    with node() as (process, address):
        async with Client(address) as client:
            values, data = client.kv(Space.new()), secrets.token_bytes(SIZE)
            yield (
                process,
                lambda n: values.put(f"key {n}", data, ttl=f"{TTL_S}s"),
                lambda n: values.get(f"key {n}"),
            )


@asynccontextmanager
async def redis_verbs() -> AsyncIterator[tuple[Process, Once, Once]]:
    """The same of Redis: SET with a TTL, and GET."""
    from redis import asyncio as redis  # noqa: PLC0415  # installed where this one is run

    with tempfile.TemporaryDirectory() as folder:
        options = ["--port", str(PORT), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        with server([*REDIS, *options, "--dir", folder]) as process:
            pool = redis.BlockingConnectionPool(
                host="127.0.0.1", port=PORT, max_connections=AT_ONCE, timeout=None
            )
            client = redis.Redis(connection_pool=pool)
            while True:
                try:
                    await client.ping()
                    break
                except redis.ConnectionError:
                    await asyncio.sleep(0.02)
            data = secrets.token_bytes(SIZE)
            yield (
                process,
                lambda n: client.set(f"key {n}", data, ex=TTL_S),
                lambda n: client.get(f"key {n}"),
            )
            await client.aclose()


async def many(once: Once, seconds: float, at_once: int = AT_ONCE) -> dict[str, float]:
    """As many as come about with so many under way."""
    took: list[float] = []
    until, number = time.perf_counter() + seconds, 0

    async def worker() -> None:
        nonlocal number
        while (start := time.perf_counter()) < until:
            number += 1
            await once(number % KEYS)
            took.append(time.perf_counter() - start)

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(worker())
    spent = time.perf_counter() - started
    took.sort()
    return {
        "ops_s": len(took) / spent,
        "p50_us": round(took[len(took) // 2] * 1e6),
        "p99_us": round(took[len(took) * 99 // 100] * 1e6),
    }


async def beside_redis(seconds: float, rounds: int) -> None:
    """Rounds of both in turn; the first round of each warms up."""
    for number in range(rounds + 1):
        for name, verbs in (("repram", repram_verbs), ("redis", redis_verbs)):
            async with verbs() as (process, put, get):
                for n in range(0, KEYS, AT_ONCE):
                    await asyncio.gather(*(put(n + i) for i in range(AT_ONCE)))
                for verb, once in (("put", put), ("get", get)):
                    cpu = process.cpu_s()
                    told = await many(once, seconds if number else 0.5)
                    server_cpu = (process.cpu_s() - cpu) / (told["ops_s"] * seconds) * 1e6
                    if number:
                        tell(
                            "values", what=name, verb=verb, round=number, bytes=SIZE,
                            **{field: round(value) for field, value in told.items()},
                            cpu_us_op_server=round(server_cpu, 1),
                        )  # fmt: skip


async def chunks(seconds: float, rounds: int, *options: str) -> None:
    """Sealed chunks of 1 MiB to a node and back, eight at a time, each under a lease and verified there."""
    sealed = [secrets.token_bytes(CHUNK) for _ in range(CHUNKS)]
    ids = [id_of(each) for each in sealed]
    with node("--capacity", "8GiB", *options) as (process, address):
        at = NodeAddress.parse(address)
        async with await Endpoint.open() as endpoint:
            session = await endpoint.connect((at.at.host, at.at.port), at.key)
            caller = Caller(session, STORAGE)

            async def put(n: int) -> None:
                await caller.call(leased[n % CHUNKS], body=sealed[n % CHUNKS])

            async def get(n: int) -> None:
                await caller.call(Get(ids[n % CHUNKS].raw), max_body=CHUNK)

            for number in range(rounds + 1):
                batches = (ids[at : at + LEASED] for at in range(0, CHUNKS, LEASED))
                leased = [put for batch in batches for put in one_batch(batch, session)]
                for n in range(CHUNKS):
                    await put(n)
                for verb, once in (("put", put), ("get", get)):
                    cpu = process.cpu_s()
                    told = await many(once, seconds if number else 1.0, at_once=8)
                    if number:
                        tell(
                            "values", what=" ".join(["1 MiB chunks", *options]), verb=verb, round=number,
                            mb_s=round(told["ops_s"] * CHUNK / 1e6), p99_us=told["p99_us"],
                            cpu_s_gib_server=round(
                                (process.cpu_s() - cpu) / (told["ops_s"] * seconds) * 1024, 3
                            ),
                        )  # fmt: skip


def one_batch(ids: list[ItemId], session: Session, size: int = CHUNK) -> list[Put]:
    """One batch under a key of its own, of chunks of that size."""
    signer = Signer(secrets.token_bytes(32))
    tree = tree_of([lease_leaf(item, 0) for item in ids])
    now = session.peer_time
    terms = LeaseTerms(tree[-1][0], signer.key, signer.key, 0, now + 60_000, 60_000)
    lease = Lease(*terms, signer.sign(terms.statement()))
    return [
        Put(item.raw, size, lease, index, proof_of(tree, index)) for index, item in enumerate(ids)
    ]


async def resident(count: int, seconds: float) -> None:
    """What live records of 100 bytes take of memory, and a request of time, when there are so many and when
    there are few: of two nodes in turn, since a machine's pace changes by the minute."""
    costs: dict[int, dict[str, list[float]]] = {}
    async with AsyncExitStack() as both:
        asked: list[tuple[int, Process, dict[str, Once]]] = []
        for many_of_them in (1_000, count):
            process, address = both.enter_context(node("--capacity", "4GiB"))
            values = (await both.enter_async_context(Client(address))).kv(Space.new())
            idle = _resident(process)
            await _fill(values, many_of_them, "1h")
            tell(
                "values", what="records of 100 bytes", count=many_of_them,
                resident=_resident(process), idle=idle,
            )  # fmt: skip
            step = max(1, many_of_them // KEYS)
            verbs = {"get": _getting(values, step, many_of_them), "put": _putting(values)}
            asked.append((many_of_them, process, verbs))
            costs[many_of_them] = {verb: [] for verb in verbs}
        for _ in range(_TURNS):
            for many_of_them, process, verbs in asked:
                for verb, once in verbs.items():
                    cpu = process.cpu_s()
                    ops = (await many(once, seconds))["ops_s"] * seconds
                    costs[many_of_them][verb].append((process.cpu_s() - cpu) / ops * 1e6)
    for verb in ("get", "put"):
        few, lots = costs[1_000][verb], costs[count][verb]
        tell(
            "values", what=f"CPU microseconds of a {verb}",
            few=round(median(few), 1), many=round(median(lots), 1),
            ratio=round(median(b / a for a, b in zip(few, lots, strict=True)), 2),
        )  # fmt: skip


def _getting(values: Values, step: int, count: int) -> Once:
    return lambda n: values.get(f"{n * step % count}")


def _putting(values: Values) -> Once:
    return lambda n: values.put(f"more {n}", bytes(100), ttl="1h")


async def expiry(count: int) -> None:
    """How long a request waits at most while so many records expire within one second."""
    with node("--capacity", "4GiB") as (_process, address):
        async with Client(address) as client:
            values = client.kv(Space.new())
            await values.put("probe", b"here", ttl="1h")
            began = time.monotonic()
            await _fill(values, _TRIED, "1s")
            end = time.monotonic() + 30 + 1.2 * count * (time.monotonic() - began) / _TRIED
            while (left := end - time.monotonic()) > 2 and count > 0:
                ttl = f"{max(1, round(left))}s"
                batch = min(512, count)
                names = (f"{count - i}" for i in range(batch))
                await asyncio.gather(*(values.put(name, b"x" * 100, ttl=ttl) for name in names))
                count -= batch
            waits: list[float] = []
            while time.monotonic() < end + 3:
                asked = time.perf_counter()
                await values.get("probe")
                waits.append(time.perf_counter() - asked)
            waits.sort()
            tell(
                "values", what="while records expire", left_unput=count, asked=len(waits),
                p50_ms=round(waits[len(waits) // 2] * 1e3, 2), most_ms=round(waits[-1] * 1e3, 1),
            )  # fmt: skip


async def _fill(values: Values, count: int, ttl: str) -> None:
    for start in range(0, count, 512):
        names = (f"{start + i}" for i in range(min(512, count - start)))
        await asyncio.gather(*(values.put(name, bytes(100), ttl=ttl) for name in names))


def _resident(process: Process) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if "VmRSS" in line)


def tell(bench: str, **fields: object) -> None:
    """A line of JSON."""
    print(json.dumps({"bench": bench, **fields}), flush=True)


def main() -> None:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", choices=["redis", "chunks", "resident", "expiry", []])
    parser.add_argument("--count", type=int, default=1_000_000, help="of records")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    os.sched_setaffinity(0, {CORES[0]})
    keep_freed()  # as our own programs do
    runs = {
        "redis": lambda: beside_redis(args.seconds, args.rounds),
        "chunks": lambda: chunks(args.seconds, args.rounds),
        "resident": lambda: resident(args.count, args.seconds),
        "expiry": lambda: expiry(args.count),
    }
    for name in args.what or runs:
        uvloop.run(runs[name]())


if __name__ == "__main__":
    main()
