"""A node with one core and 256 MiB is full before the kernel ends it."""

from __future__ import annotations

import asyncio
import shutil
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


@pytest.mark.parametrize(
    ("tier", "fill", "at_once"), [("memory", "chunks", 16), ("disk", "stalls", 256)]
)
def test_it_is_never_killed_for_memory(
    inside: Cgroup, tier: str, fill: str, at_once: int, tmp_path: Path
) -> None:
    async def main() -> None:
        options = ("--disk", str(tmp_path / "store")) if tier == "disk" else ()
        with limited.node(inside, *options) as (process, address):
            told = await limited.filled(address, limited.FILLS[fill], 0.5, at_once)
            assert not process.ended()
            assert await limited.still_answers(address)
        assert inside.killed == 0
        if fill == "chunks":
            assert told["Full"] > 0
            assert 90 < told["done"] <= 96

    asyncio.run(main())
    shutil.rmtree(tmp_path)
