"""What the tier on disk tells of itself: keys destroyed, entries lost, bytes in the log, and trouble."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from repram.errors import Full
from repram.storaged.disk.files import Files, OpenFile, TimedFiles
from repram.storaged.disk.tier import DiskTier
from tests.conftest import Run

BODY = b"sealed" * 100
MINUTE = 60_000


class FullDisk(Files):
    """One that has no room while it is told to have none."""

    full = False

    def sync(self, file: OpenFile) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().sync(file)


def test_a_key_whose_time_is_over_is_counted_when_it_is_destroyed(
    run: Run[None], tmp_path: Path
) -> None:
    async def main() -> None:
        tier = DiskTier.open(tmp_path)
        assert list(tier.restore(0)) == []
        tier.put(b"key", b"", BODY, MINUTE)
        await tier.settled()
        assert tier.counts().shredded == 0
        assert tier.counts().log_bytes > len(BODY)
        await tier.tend(3 * MINUTE)
        assert tier.counts().shredded == 1
        await tier.close()

    run(main())


def test_an_entry_that_is_damaged_is_counted_at_the_next_start(
    run: Run[None], tmp_path: Path
) -> None:
    async def main() -> None:
        tier = DiskTier.open(tmp_path)
        list(tier.restore(0))
        for number in range(3):
            tier.put(b"key%d" % number, b"meta", BODY, MINUTE)
        await tier.settled()
        assert tier.counts().unreadable == 0
        await tier.close()
        (log,) = (tmp_path / "log").iterdir()
        raw = bytearray(log.read_bytes())
        raw[20] ^= 1  # in the first entry's head
        log.write_bytes(raw)
        again = DiskTier.open(tmp_path)
        assert len(list(again.restore(1))) == 2
        assert again.counts().unreadable == 1
        await again.close()

    run(main())


def test_a_disk_that_refuses_is_trouble_until_it_takes_again(
    run: Run[None], tmp_path: Path
) -> None:
    async def main() -> None:
        disk = FullDisk()
        tier = DiskTier.open(tmp_path, files=disk)
        list(tier.restore(0))
        assert tier.trouble == ""
        disk.full = True
        tier.put(b"key", b"", BODY, MINUTE)
        with pytest.raises(Full):
            await tier.settled()
        tier.put(b"key", b"", BODY, MINUTE)
        await tier.tend(1)
        assert "no room left" in tier.trouble
        disk.full = False
        await tier.tend(2)
        assert tier.trouble == ""
        await tier.close()

    run(main())


def test_each_sync_is_timed(run: Run[None], tmp_path: Path) -> None:
    async def main() -> None:
        took: list[float] = []
        tier = DiskTier.open(tmp_path, files=TimedFiles(took.append))
        list(tier.restore(0))
        before = len(took)
        tier.put(b"key", b"", BODY, MINUTE)
        await tier.settled()
        assert len(took) > before
        assert min(took) > 0
        await tier.close()

    run(main())
