"""The file of the clock's mark: what a power cut leaves of it is an older mark or none, never a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from repram.errors import RepramError
from repram.storaged.clock import UNKNOWN, Mark
from repram.storaged.marks import MarkFile

BOOT = bytes(range(16))


def last(path: Path) -> Mark | None:
    file = MarkFile.open(path)
    file.close()
    return file.last


def written(path: Path, *times: int) -> None:
    file = MarkFile.open(path)
    for time in times:
        file.write(Mark(time, 1_000, BOOT))
    file.close()


def test_a_new_file_says_nothing_and_is_its_owners_alone(tmp_path: Path) -> None:
    assert last(tmp_path / "clock") is None
    assert (tmp_path / "clock").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_the_latest_mark_comes_back(tmp_path: Path, count: int) -> None:
    written(tmp_path / "clock", *range(10, 10 + count))
    assert last(tmp_path / "clock") == Mark(9 + count, 1_000, BOOT)
    written(tmp_path / "clock", 99)
    assert last(tmp_path / "clock") == Mark(99, 1_000, BOOT)


def test_it_never_grows(tmp_path: Path) -> None:
    written(tmp_path / "clock", 1)
    size = (tmp_path / "clock").stat().st_size
    written(tmp_path / "clock", *range(100))
    assert (tmp_path / "clock").stat().st_size == size


@pytest.mark.parametrize("place", [0, 8, 20, 47, 48, 63])
def test_a_torn_write_leaves_the_mark_before(tmp_path: Path, place: int) -> None:
    written(tmp_path / "clock", 1, 2, 3)
    raw = bytearray((tmp_path / "clock").read_bytes())
    raw[4096 + place] ^= 1  # the third stands in the second slot
    (tmp_path / "clock").write_bytes(raw)
    assert last(tmp_path / "clock") == Mark(2, 1_000, BOOT)


def test_one_that_was_never_written_is_new(tmp_path: Path) -> None:
    written(tmp_path / "clock")
    assert last(tmp_path / "clock") is None


@pytest.mark.parametrize("content", [bytes(8192), b"\xff" * 8192, b"x"])
def test_a_file_that_says_nothing_is_not_taken_for_a_new_one(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "clock").write_bytes(content)
    assert last(tmp_path / "clock") == UNKNOWN


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RepramError, match="nowhere"):
        MarkFile.open(tmp_path / "nowhere" / "clock")
