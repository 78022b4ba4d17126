"""A node with one core and 256 MiB is full before the kernel ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import cgroups, limited
from bench.cgroups import Cgroup
from bench.processes import Failed


@pytest.fixture
def inside() -> Iterator[Cgroup]:
    try:
        with cgroups.limited(limited.MEMORY) as made:
            yield made
    except Failed as error:
        pytest.skip(str(error))


async def held(address: str) -> int:
    """How many chunks it took until it was full."""
    count = 0
    while True:
        told = await limited.filled(address, limited.chunks, 0.2, at_once=8)
        count += told["done"]
        if told.get("Full"):
            return count


def test_in_memory_it_holds_what_fits_and_then_refuses(inside: Cgroup) -> None:
    async def main() -> None:
        with limited.node(inside) as (process, address):
            async with asyncio.timeout(60):
                assert 90 < await held(address) <= 96
            assert await limited.still_answers(address)
            assert not process.ended()
        assert inside.killed == 0

    asyncio.run(main())


def test_on_disk_bodies_that_never_come_to_an_end_do_not_fill_its_memory(
    inside: Cgroup, tmp_path: Path
) -> None:
    async def main() -> None:
        with limited.node(inside, "--disk", str(tmp_path)) as (process, address):
            await limited.filled(address, limited.FILLS["stalls"], 0.5)
            assert await limited.still_answers(address)
            assert not process.ended()
        assert inside.killed == 0

    asyncio.run(main())
