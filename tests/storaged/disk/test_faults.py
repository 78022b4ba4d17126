"""Disks that refuse: each call in turn, or all of them for a while."""

from __future__ import annotations

import asyncio
import errno

import pytest

from repram.errors import RepramError
from tests.storaged.disk.disks import SimulatedDisk
from tests.storaged.disk.workload import START, Ledger, Said, open_tier, script


class Stubborn(Ledger):
    """Goes on after a failure, with what is left."""

    failures = 0

    def amend(self, key: bytes, meta: bytes, until: int) -> None:
        if key in self.places:
            super().amend(key, meta, until)

    def drop(self, key: bytes) -> None:
        if key in self.places:
            super().drop(key)

    async def settle(self) -> None:
        try:
            await super().settle()
        except RepramError as error:
            self.learn(error)
        self.reads_are_served()

    def learn(self, error: RepramError) -> None:
        """What could not be written is not kept; what was dropped stays so."""
        assert error.exit_code == (14 if "room" in str(error) else 1)
        assert error.hint
        self.failures += 1
        for key, place in list(self.places.items()):
            kept = place.kept()
            assert self.tier.undone(place) == (kept is not place)
            if kept is None:
                del self.places[key]
            else:
                self.places[key] = kept
        self.asked = [(key, said) for key, said in self.asked if said is None]

    def reads_are_served(self) -> None:
        for key, said in self.sure.items():
            if place := self.places.get(key):
                assert bytes(self.tier.body(place)) == said.body


async def suffers(disk: SimulatedDisk) -> Stubborn:
    tier = open_tier(disk)
    list(tier.restore(START))
    ledger = Stubborn(tier)
    await script(ledger)
    for key in list(ledger.places)[:2]:
        ledger.drop(key)
    await ledger.tend(21_000)
    ledger.ending = []  # what failed once is made up for by now, and nothing new was asked
    assert tier.used == sum(tier.cost(place.size) for place in ledger.places.values())
    failures = ledger.failures
    ledger.put(b"after all", Said(b"", b"it works", ledger.now + 100_000))
    await ledger.settle()
    await ledger.tend(21_000)
    await ledger.tend(21_000)
    assert ledger.failures == failures
    assert b"after all" in ledger.sure
    tier._thread.shutdown()
    return ledger


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO], ids=["full", "broken"])
def test_each_call_that_fails_is_survived(error: int) -> None:
    calm = SimulatedDisk()
    tier = open_tier(calm)
    list(tier.restore(START))
    tier._thread.shutdown()
    begun = calm.calls  # before that there is no tier yet
    calm = SimulatedDisk()
    asyncio.run(suffers(calm))
    failures = 0
    for call in range(begun, calm.calls - 12):
        disk = SimulatedDisk()
        disk.fail = {call: error}
        ledger = asyncio.run(suffers(disk))
        failures += ledger.failures
        for again in (disk.after_power_cut(None), disk.after_kill()):
            tier = open_tier(again, seed=2)
            ledger.check(tier)
            tier._thread.shutdown()
            assert not any(again.holds(secret) for secret in ledger.destroyed)
    assert failures > 20


def test_a_tier_cannot_be_opened_on_a_disk_that_refuses() -> None:
    for call in range(4):
        disk = SimulatedDisk()
        disk.fail = {call: errno.ENOSPC}
        with pytest.raises(RepramError) as refused:
            open_tier(disk)
        assert refused.value.exit_code == 14


def test_a_full_disk_refuses_and_goes_on_when_there_is_room() -> None:
    async def main() -> None:
        disk = SimulatedDisk()
        ledger = Stubborn(open_tier(disk))
        list(ledger.tier.restore(START))
        for name in (b"a", b"b"):
            ledger.put(name, Said(b"", name * 9, START + 400_000))
        await ledger.settle()
        disk.failing = errno.ENOSPC
        for count in range(3):
            ledger.put(b"c", Said(b"", b"c", START + 400_000))
            ledger.put(b"a", Said(b"", b"another", START + 400_000))
            await ledger.settle()
            assert ledger.failures == count + 1
        ledger.drop(b"b")
        await ledger.tend(1_000)
        disk.failing = None
        await ledger.tend(30_000)
        await ledger.settle()
        ledger.put(b"c", Said(b"", b"c", START + 400_000))
        await ledger.settle()
        assert ledger.sure.keys() == {b"a", b"c"}
        ledger.tier._thread.shutdown()
        tier = open_tier(disk.after_power_cut(None))
        ledger.check(tier)
        tier._thread.shutdown()

    asyncio.run(main())
