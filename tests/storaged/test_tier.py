"""What any tier does, in memory or on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from repram.storaged.disk.tier import DiskTier
from repram.storaged.memory import MemoryTier
from repram.storaged.tier import Tier

START = 1_800_000_000_000
Run = Callable[[Any], Any]


def disk_tier(folder: Path) -> DiskTier:
    return DiskTier.open(folder, slots=64, segment_size=64 << 10)


@pytest.fixture(params=["memory", "disk"])
def tier(request: pytest.FixtureRequest, tmp_path: Path) -> Tier:
    made: Tier = MemoryTier() if request.param == "memory" else disk_tier(tmp_path)
    assert not list(made.restore(START))
    return made


def test_a_body_is_there_at_once_and_after_it_is_settled(tier: Tier, run: Run) -> None:
    async def main() -> None:
        place = tier.put(b"key", b"meta", b"body", START + 60_000)
        assert bytes(tier.body(place)) == b"body"
        await tier.settled()
        assert bytes(tier.body(place)) == b"body"
        assert not tier.undone(place)
        await tier.close()

    run(main())


def test_a_fact_needs_no_body(tier: Tier, run: Run) -> None:
    async def main() -> None:
        place = tier.put(b"key", b"meta", b"", START + 60_000)
        await tier.settled()
        assert bytes(tier.body(place)) == b""
        await tier.close()

    run(main())


def test_an_amended_fact_keeps_its_body(tier: Tier, run: Run) -> None:
    async def main() -> None:
        place = tier.put(b"key", b"meta", b"body", START + 60_000)
        place = tier.amend(place, b"other", START + 90_000)
        assert bytes(tier.body(place)) == b"body"
        await tier.settled()
        place = tier.amend(place, b"another", START + 600_000)
        assert bytes(tier.body(place)) == b"body"
        await tier.settled()
        await tier.tend(START + 100_000)
        assert bytes(tier.body(place)) == b"body"
        await tier.close()

    run(main())


def test_what_is_used_is_what_lives(tier: Tier, run: Run) -> None:
    async def main() -> None:
        first = tier.put(b"a", b"", b"body", START + 60_000)
        tier.put(b"b", b"", b"", START + 60_000)
        assert tier.used == tier.cost(4) + tier.cost(0)
        first = tier.replace(first, b"a", b"", b"larger body", START + 60_000)
        assert tier.used == tier.cost(11) + tier.cost(0)
        await tier.settled()
        tier.drop(first, ended=True)
        assert tier.used == tier.cost(0)
        await tier.tend(START + 30_000)
        assert tier.used == tier.cost(0)
        await tier.close()

    run(main())


def test_many_settle_at_once(tier: Tier, run: Run) -> None:
    async def main() -> None:
        async def one(index: int) -> None:
            place = tier.put(b"%d" % index, b"", b"%d" % index, START + 60_000)
            await tier.settled()
            assert bytes(tier.body(place)) == b"%d" % index

        async with asyncio.TaskGroup() as group:
            for index in range(200):
                group.create_task(one(index))
        await tier.close()

    run(main())


def test_what_is_written_and_dropped_many_times_over_leaves_no_room_taken(
    tmp_path: Path, run: Run
) -> None:
    async def main() -> None:
        tier = disk_tier(tmp_path)
        list(tier.restore(START))
        stays = tier.put(b"stays", b"", b"stays" * 1_000, START + 600_000)
        for round_ in range(40):
            now = START + round_ * 1_000
            places = [tier.put(b"%d" % i, b"", bytes(3_000), now + 1_000) for i in range(20)]
            await tier.settled()
            for place in places:
                tier.drop(place, ended=False)
            await tier.tend(now + 1_000)
        size = sum(path.stat().st_size for path in (tmp_path / "log").iterdir())
        assert size < 4 * (64 << 10) < 40 * 20 * 3_000
        assert bytes(tier.body(stays)) == b"stays" * 1_000
        await tier.close()

    run(main())


def test_facts_are_there_after_a_restart(tmp_path: Path, run: Run) -> None:
    async def main() -> None:
        tier = disk_tier(tmp_path)
        list(tier.restore(START))
        tier.put(b"long", b"meta", b"body", START + 600_000)
        tier.put(b"short", b"", b"body", START + 30_000)
        tier.drop(tier.put(b"ended", b"", b"body", START + 600_000), ended=True)
        await tier.close()
        tier = disk_tier(tmp_path)
        (fact,) = tier.restore(START + 30_000)
        assert fact[:4] == (b"long", b"meta", START + 600_000, 4)
        assert bytes(tier.body(fact.place)) == b"body"
        assert tier.used == tier.cost(4)
        await tier.close()

    run(main())
