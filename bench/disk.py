"""The disk tier alone, without a network: `python -m bench.disk FOLDER` prints one JSON line a run."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import time
from pathlib import Path

from repram.storaged.disk.tier import DiskTier

NOW = 1_800_000_000_000
DAY = 86_400_000


async def chunks(folder: Path, count: int) -> dict[str, object]:
    """1 MiB bodies, settled 16 at a time."""
    tier = DiskTier.open(folder)
    list(tier.restore(NOW))
    body = os.urandom(1 << 20)
    started = time.perf_counter()
    for index in range(count):
        tier.put(b"%d" % index, b"", body, NOW + DAY)
        if index % 16 == 15:
            await tier.settled()
    seconds = time.perf_counter() - started
    await tier.close()
    return {"run": "chunks", "MB_s": round(count * (1 << 20) / seconds / 1e6)}


async def facts(folder: Path, count: int) -> dict[str, object]:
    """1 KiB bodies, 64 in flight."""
    tier = DiskTier.open(folder)
    list(tier.restore(NOW))
    body, meta = os.urandom(1024), os.urandom(100)
    numbers = iter(range(count))

    async def client() -> None:
        for index in numbers:
            tier.put(b"%d" % index, meta, body, NOW + DAY + index)
            await tier.settled()

    used(1)
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(64):
            group.create_task(client())
    seconds = time.perf_counter() - started
    await tier.close()
    return {"run": "facts", "per_s": round(count / seconds), "cpu_us": used(count)}


_asked = [0.0]


def used(count: int) -> float:
    """Processor time since the last call, in microseconds a fact: on a busy machine it says more."""
    _asked.append(time.process_time())
    return round((_asked[-1] - _asked[-2]) / count * 1e6, 1)


def start(folder: Path) -> dict[str, object]:
    """Opening what `facts` left behind."""
    used(1)
    started = time.perf_counter()
    tier = DiskTier.open(folder)
    count = len(list(tier.restore(NOW)))
    seconds = round(time.perf_counter() - started, 2)
    return {"run": "start", "facts": count, "seconds": seconds, "cpu_us": used(count)}


def dd(folder: Path, count: int) -> dict[str, object]:
    """Plain writing, 64 MiB at a time, with an fsync after each."""
    block = os.urandom(64 << 20)
    started = time.perf_counter()
    for index in range(count // 64):
        with (folder / f"dd{index}").open("wb", buffering=0) as file:
            file.write(block)
            os.fsync(file.fileno())
    seconds = time.perf_counter() - started
    return {"run": "dd", "MB_s": round(count // 64 * (64 << 20) / seconds / 1e6)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.disk", description=__doc__)
    parser.add_argument("folder", type=Path, help="an empty one, on the disk in question")
    parser.add_argument("--chunks", type=int, default=256)
    parser.add_argument("--facts", type=int, default=100_000)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    print(json.dumps(dd(arguments.folder, arguments.chunks)), flush=True)
    print(
        json.dumps(asyncio.run(chunks(arguments.folder / "chunks", arguments.chunks))), flush=True
    )
    print(json.dumps(asyncio.run(facts(arguments.folder / "facts", arguments.facts))), flush=True)
    print(json.dumps(start(arguments.folder / "facts")), flush=True)
    shutil.rmtree(arguments.folder)


if __name__ == "__main__":
    main()
