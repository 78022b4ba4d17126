"""Which bucket keys live on, and which go."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from repram.errors import LocalError, NotFound, RepramError
from repram.storaged.disk.files import Files
from repram.storaged.disk.tier import DiskTier
from tests.storaged.disk.disks import SimulatedDisk
from tests.storaged.disk.workload import SLOTS, START, Ledger, Said, open_tier


def opened(disk: SimulatedDisk) -> Ledger:
    ledger = Ledger(open_tier(disk))
    list(ledger.tier.restore(START))
    return ledger


def test_a_fact_that_was_renewed_more_often_than_an_entry_can_say_is_still_forgotten() -> None:
    async def main() -> None:
        disk = SimulatedDisk()
        ledger = opened(disk)
        ledger.put(b"a", Said(b"", b"body", START + 15_000))
        for step in range(1, 50):
            ledger.amend(b"a", b"", START + 15_000 * step)
            await ledger.settle()
        ledger.drop(b"a")
        await ledger.tend(5_000)
        await ledger.tend(21_000)
        assert len(ledger.destroyed) > 3
        assert not any(disk.holds(secret) for secret in ledger.destroyed)
        assert not ledger.tier._writer.buckets._by_number
        await ledger.tier.close()

    asyncio.run(main())


def test_a_key_whose_time_is_over_is_gone_from_the_disk_itself() -> None:
    async def main() -> None:
        disk = SimulatedDisk()
        ledger = opened(disk)
        ledger.put(b"a", Said(b"", b"body", START + 15_000))
        await ledger.settle()
        secrets = ledger.openers(ledger.places[b"a"])
        assert all(disk.after_power_cut(None).holds(secret) for secret in secrets)
        await ledger.tend(31_000)
        assert not any(disk.after_power_cut(None).holds(secret) for secret in secrets)
        await ledger.tier.close()

    asyncio.run(main())


def test_what_was_renewed_and_then_ended_is_opened_by_neither_bucket() -> None:
    async def main() -> None:
        disk = SimulatedDisk()
        ledger = opened(disk)
        ledger.put(b"a", Said(b"", b"body", START + 300_000))
        await ledger.settle()
        first = ledger.openers(ledger.places[b"a"])
        ledger.amend(b"a", b"", START + 500_000)
        await ledger.settle()
        assert all(disk.holds(secret) for secret in first)
        ledger.drop(b"a")
        await ledger.tend(5_000)
        await ledger.tend(21_000)
        assert not any(disk.holds(secret) for secret in first)
        await ledger.tier.close()

    asyncio.run(main())


def test_an_old_copy_destroys_what_is_past_its_time_before_it_restores() -> None:
    async def main() -> None:
        disk = SimulatedDisk()
        ledger = opened(disk)
        ledger.put(b"a", Said(b"", b"body", START + 15_000))
        await ledger.settle()
        secrets = ledger.openers(ledger.places[b"a"])
        ledger.tier._thread.shutdown()
        assert all(disk.holds(secret) for secret in secrets)
        tier = open_tier(disk)
        assert not list(tier.restore(START + 60_000))
        assert not any(disk.holds(secret) for secret in secrets)
        tier._thread.shutdown()

    asyncio.run(main())


def test_what_the_ring_does_not_reach_is_refused() -> None:
    ledger = opened(SimulatedDisk())
    with pytest.raises(LocalError):
        ledger.tier.put(b"a", b"", b"body", START + SLOTS * 15_000)
    ledger.tier.put(b"a", b"", b"", START + SLOTS * 15_000)
    ledger.tier._thread.shutdown()


def test_a_fact_past_its_time_is_not_read() -> None:
    async def main() -> None:
        ledger = opened(SimulatedDisk())
        place = ledger.tier.put(b"a", b"", b"body", START + 15_000)
        await ledger.tier.tend(START + 45_000)
        with pytest.raises(NotFound):
            ledger.tier.body(place)
        await ledger.tier.close()

    asyncio.run(main())


def test_a_folder_serves_one_node_at_a_time(tmp_path: Path) -> None:
    tier = DiskTier.open(tmp_path, files=Files(), slots=SLOTS)
    with pytest.raises(RepramError, match="another process"):
        DiskTier.open(tmp_path, slots=SLOTS)
    tier._thread.shutdown()


def test_a_clean_end_is_marked_for_good() -> None:
    disk = SimulatedDisk()
    tier = open_tier(disk)
    list(tier.restore(START))
    tier.put(b"a", b"", b"body", START + 60_000)
    asyncio.run(tier.close())
    segments = [
        node for path, node in disk.after_power_cut(None).names_now.items() if "log" in path.parts
    ]
    kind_at, mark, head = 4, 5, 82
    assert segments[-1].now[-head:][kind_at] == mark
