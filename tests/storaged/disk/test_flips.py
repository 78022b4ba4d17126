"""One byte of the log is wrong: what it held is lost, and nothing else."""

from __future__ import annotations

import asyncio
import copy
import logging
import os
from pathlib import Path

import pytest

from repram.errors import IntegrityFailure
from repram.storaged.disk.scan import Found, entries_of
from tests.storaged.disk.disks import SimulatedDisk
from tests.storaged.disk.workload import FOLDER, START, History, Said, few_facts, open_tier

STEP = int(os.environ.get("REPRAM_FLIP_STEP", "5"))  # 1: every byte of the log


async def written(disk: SimulatedDisk, *, closed: bool) -> History:
    ledger = History(open_tier(disk))
    list(ledger.tier.restore(START))
    await few_facts(ledger)
    if closed:
        await ledger.tier.close()
    else:
        ledger.tier._thread.shutdown()
    return ledger


def where(disk: SimulatedDisk) -> dict[int, bytes]:
    """The key that each byte of the log has to do with."""
    tier = open_tier(copy.deepcopy(disk))
    writer = tier._writer
    owner = {}
    for found in entries_of(tier._files, writer.log.segments[1], writer.store_id):
        assert isinstance(found, Found)
        owner.update(dict.fromkeys(range(found.offset, found.end), found.entry.key))
    tier._thread.shutdown()
    return owner


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "killed"])
def test_a_flipped_byte_loses_only_what_it_held(
    closed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    disk = SimulatedDisk()
    ledger = asyncio.run(written(disk, closed=closed))
    log = FOLDER / "log" / "00000001.seg"
    owner = where(disk)
    silent = 0
    for position in range(0, len(owner), STEP):
        caplog.clear()
        flipped = SimulatedDisk()
        for path, node in disk.names_now.items():
            flipped.names_now[path] = copy.deepcopy(node)
        flipped.names_now[log].now[position] ^= 1 << position % 8
        found, damaged = restored(flipped)
        for key, history in ledger.said.items():
            if key != owner[position]:
                assert found.get(key) == ledger.sure.get(key), (position, key)
            elif key in found:
                assert found[key] in history, (position, key)
        silent += not caplog.records and not damaged and bool(owner[position])
    # Silent are only bodies that nobody can ask for any more: of what was replaced or has ended.
    assert silent * STEP < 700


def restored(disk: SimulatedDisk) -> tuple[dict[bytes, Said], int]:
    tier = open_tier(disk, seed=2)
    found, damaged = {}, 0
    for fact in tier.restore(START):
        try:
            found[fact.key] = Said(fact.meta, bytes(tier.body(fact.place)), fact.until)
        except IntegrityFailure:
            damaged += 1
    tier._thread.shutdown()
    return found, damaged


def test_damage_is_told_in_one_line_without_what_it_held(caplog: pytest.LogCaptureFixture) -> None:
    disk = SimulatedDisk()
    asyncio.run(written(disk, closed=True))
    disk.names_now[Path(FOLDER / "log" / "00000001.seg")].now[30] ^= 4
    with caplog.at_level(logging.WARNING):
        restored(disk)
    assert len(caplog.records) == 1
    assert "could not be read" in caplog.text
    assert "key0" not in caplog.text


def test_what_is_put_after_damage_does_not_vanish_in_it() -> None:
    """An entry that lost its middle looks whole again as soon as enough bytes follow."""
    disk = SimulatedDisk()
    asyncio.run(written(disk, closed=True))
    log = disk.names_now[FOLDER / "log" / "00000001.seg"].now
    del log[1600:2600]  # of the body of key5, so that it would reach past the end
    before, _ = restored(disk)
    tier = open_tier(disk, seed=3)
    list(tier.restore(START))

    async def put() -> None:
        tier.put(b"later", b"", bytes(2000), START + 500_000)
        await tier.close()

    asyncio.run(put())
    after, _ = restored(disk)
    assert after == {**before, b"later": Said(b"", bytes(2000), START + 500_000)}
