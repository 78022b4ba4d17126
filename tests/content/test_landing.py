"""Downloads land whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from repram.content.landing import Landing
from repram.errors import Conflict, RepramError

THEN = 1_700_000_000_000


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_nothing_is_there_under_the_name_until_the_commit(tmp_path: Path) -> None:
    target = tmp_path / "file"
    with Landing(target) as landing:
        landing.write(b"con")
        landing.write(memoryview(b"tent"))
        assert not target.exists()
        landing.commit(modified_ms=THEN)
        assert target.read_bytes() == b"content"
    assert listing(tmp_path) == ["file"]
    assert target.stat().st_mtime_ns == THEN * 1_000_000


def test_leaving_without_a_commit_leaves_nothing(tmp_path: Path) -> None:
    with Landing(tmp_path / "file") as landing:
        landing.write(b"half")
    assert listing(tmp_path) == []


def test_a_file_that_is_there_is_not_touched(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("mine")
    with pytest.raises(Conflict, match="already there"), Landing(target):
        pass
    assert target.read_text() == "mine"


def test_a_file_that_appears_meanwhile_is_not_touched(tmp_path: Path) -> None:
    target = tmp_path / "file"
    with Landing(target) as landing:
        target.write_text("mine")
        with pytest.raises(Conflict):
            landing.commit(modified_ms=THEN)
    assert target.read_text() == "mine"
    assert listing(tmp_path) == ["file"]


def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Conflict), Landing(target):
        pass
    with Landing(target, overwrite=True) as landing:
        landing.commit(modified_ms=THEN)
    assert listing(tmp_path) == ["file"]
    assert not target.is_symlink()


def test_overwriting_replaces_when_it_was_asked_for(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    with Landing(target, overwrite=True) as landing:
        landing.write(b"new")
        landing.commit(modified_ms=THEN)
    assert target.read_text() == "new"


def test_the_mode_is_the_senders_less_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with Landing(tmp_path / "file", mode=0o777) as landing:
            landing.commit(modified_ms=THEN)
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o7777 == 0o750


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(RepramError, match=r"cannot write .*nowhere") as caught,
        Landing(tmp_path / "nowhere" / "file"),
    ):
        pass
    assert caught.value.exit_code == 1


def test_a_name_of_the_greatest_length_lands(tmp_path: Path) -> None:
    with Landing(tmp_path / ("x" * 255)) as landing:
        landing.commit(modified_ms=THEN)
    assert listing(tmp_path) == ["x" * 255]
