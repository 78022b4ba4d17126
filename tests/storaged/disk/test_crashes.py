"""Power cut and processes killed at every call that changes the disk."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.storaged.disk.disks import SimulatedDisk
from tests.storaged.disk.workload import Ledger, Said, open_tier, until_it_fails


def crashed(cut_at: int | None) -> tuple[SimulatedDisk, Ledger | None]:
    disk = SimulatedDisk()
    disk.cut_at = cut_at
    return disk, asyncio.run(until_it_fails(disk))


def calls() -> int:
    return crashed(None)[0].calls


def check(disk: SimulatedDisk, ledger: Ledger | None) -> None:
    assert not any(disk.holds(secret) for secret in (ledger.destroyed if ledger else ()))
    tier = open_tier(disk, seed=2)
    try:
        if ledger is None:
            assert not list(tier.restore(0))
            return
        ledger.check(tier)
        assert not any(disk.holds(secret) for secret in ledger.destroyed)
    finally:
        tier._thread.shutdown()


async def goes_on(disk: SimulatedDisk, ledger: Ledger | None, *, more: bool) -> Ledger:
    """Another process takes over, and perhaps something more is acknowledged."""
    tier = open_tier(disk, seed=2)
    ledger = ledger or Ledger(tier)
    ledger.check(tier)
    ledger.tier = tier
    if not more:
        tier._thread.shutdown()
        return ledger
    ledger.put(b"after", Said(b"", b"all", ledger.now + 500_000))
    await tier.settled()
    ledger.sure[b"after"] = Said(b"", b"all", ledger.now + 500_000)
    tier._thread.shutdown()
    return ledger


def test_the_script_does_a_little_of_everything() -> None:
    disk, ledger = crashed(None)
    assert ledger
    assert not ledger.asked
    assert len(ledger.destroyed) > 10
    assert {*disk.kinds} == {"create", "write", "sync", "sync folder", "unlink"}
    assert disk.kinds.count("unlink") > 1
    check(disk.after_kill(), ledger)


@pytest.mark.parametrize("seed", [None, 1, 2], ids=["nothing", "some", "other"])
def test_what_was_acknowledged_survives_a_power_cut_at_any_call(seed: int | None) -> None:
    for cut_at in range(calls() + 1):
        disk, ledger = crashed(cut_at)
        chance = None if seed is None else random.Random(seed * 1000 + cut_at)
        check(disk.after_power_cut(chance), ledger)


@pytest.mark.parametrize("more", [True, False], ids=["more", "no more"])
def test_what_was_acknowledged_survives_a_kill_and_then_a_power_cut(more: bool) -> None:
    for cut_at in range(calls() + 1):
        disk, ledger = crashed(cut_at)
        ledger = asyncio.run(goes_on(disk.after_kill(), ledger, more=more))
        check(disk.after_power_cut(None), ledger)
