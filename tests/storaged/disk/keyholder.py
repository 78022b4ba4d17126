"""Holds facts whose keys its parent can compute: `python -m tests.storaged.disk.keyholder TIER FOLDER`.

It takes a step for each line it reads, and answers with how many keys it has drawn so far.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from repram.storaged.disk.tier import DiskTier
from tests.storaged.disk.drawn import Drawn
from tests.storaged.disk.remembering import NOW, remembering
from tests.storaged.disk.workload import SLOTS, START


async def on_disk(folder: Path, drawn: Drawn, answer: Callable[[], None]) -> None:
    """Keys go when a fact expires, ends, moves or is replaced."""
    tier = DiskTier.open(folder, draw=drawn, slots=SLOTS)
    assert not list(tier.restore(START))

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


async def in_memory(folder: Path, drawn: Drawn, answer: Callable[[], None]) -> None:
    """The keys of a snapshot go when a fact expires or ends, and when another is written."""
    answer()
    async with remembering(folder / "snapshot", drawn=drawn) as node:
        node.keep(b"expires", b"expires" * 700, NOW + 20_000)
        ends = node.keep(b"ends", b"ends" * 700, NOW + 600_000)
        node.keep(b"stays", b"stays" * 700, NOW + 700_000)
        await node.write()
        answer()
        node.book.drop(ends)
        await node.book.tier.settled()
        await node.book.tier.tend(NOW + 36_000)
        answer()
        await node.write(NOW + 36_000)
        answer()
    answer()


def main(tier: str, folder: Path) -> None:
    """Goes through all of one tier's steps."""
    drawn = Drawn()

    def answer() -> None:
        print(drawn.count, flush=True)
        sys.stdin.readline()

    asyncio.run({"disk": on_disk, "memory": in_memory}[tier](folder, drawn, answer))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
