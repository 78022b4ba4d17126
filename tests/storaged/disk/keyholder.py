"""Holds facts whose keys its parent can compute: `python -m tests.storaged.disk.keyholder FOLDER`.

It takes a step for each line it reads, and answers with how many keys it has drawn so far.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from nacl._sodium import ffi, lib

from repram.storaged.disk.tier import DiskTier
from tests.storaged.disk.workload import SLOTS, START


class Drawn:
    """Keys that follow from their number; none of them ever stands in a `bytes` of this process."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, into: memoryview) -> None:
        self.count += 1
        seed = self.count.to_bytes(32, "big")
        lib.randombytes_buf_deterministic(ffi.from_buffer(into), len(into), seed)


async def main(folder: Path) -> None:
    drawn = Drawn()
    tier = DiskTier.open(folder, draw=drawn, slots=SLOTS)
    assert not list(tier.restore(START))

    def answer() -> None:
        print(drawn.count, flush=True)
        sys.stdin.readline()

    answer()
    facts = {
        name: tier.put(name, b"", name * 700, START + ttl)
        for name, ttl in (
            (b"expires", 40_000),
            (b"ends", 300_000),
            (b"moves", 300_000),
            (b"stays", 300_000),
        )
    }
    facts[b"is replaced"] = tier.put(b"is replaced", b"", b"first", START + 400_000)
    await tier.settled()
    answer()
    facts[b"moves"] = tier.amend(facts[b"moves"], b"", START + 500_000)
    await tier.settled()
    tier.drop(facts[b"moves"], ended=True)
    tier.drop(facts[b"ends"], ended=True)
    facts[b"is replaced"] = tier.replace(
        facts[b"is replaced"], b"is replaced", b"", b"x", START + 400_000
    )
    await tier.tend(START + 1_000)
    tier.drop(facts[b"expires"], ended=False)
    await tier.tend(START + 60_000)
    assert tier.body(facts[b"stays"]) == b"stays" * 700
    answer()
    await tier.close()
    answer()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
