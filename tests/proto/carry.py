"""A program: carries bytes between two endpoints of its own, in packets of Ethernet's size, and prints how.

What is wrong with the kernel that it runs on is said in its environment: see failing_kernel.c.
"""

from __future__ import annotations

import asyncio
import json
import sys
from random import Random

import uvloop

from repram.proto.connection import ETHERNET, Settings
from tests.proto.live import MIB, pair, transfer, until

SIZE = 64 * MIB


async def carry() -> dict[str, int | bool]:
    """What arrived, and what the two cores gave out for it."""
    data = Random(1).randbytes(SIZE)
    async with pair(settings=Settings(mtu=ETHERNET)) as (mine, theirs):
        whole = await transfer(mine, theirs, data) == data
        ends = (mine.endpoint, theirs.endpoint)
        await until(lambda: not any(end._writing for end in ends))
        return {
            "whole": whole,
            "mtu": mine.stats().mtu,
            "given_out": sum(end.core.counters()["datagrams_out"] for end in ends),
        }


if __name__ == "__main__":
    loop_factory = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}[sys.argv[1]]
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        print(json.dumps(runner.run(carry())))
