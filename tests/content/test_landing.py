"""Downloads land whole or not at all, and go on where an earlier attempt got to."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest

from repram.content.head import Head, Kind
from repram.content.landing import folder_for, landing_for
from repram.content.part import Part
from repram.errors import Conflict, IntegrityFailure, RepramError
from repram.ids import ItemId
from tests.content.trees import ITEM, arriving, everything

THEN = 1_700_000_000_123_456_789
HIDDEN = ".repram-0001020304050607.part"


def head(size: int = 0, *, name: str = "file", mode: int = 0o644) -> Head:
    return Head(
        kind=Kind.FILE, name=name, size=size, modified=THEN, mode=mode, expires=0, depth=0, refs=b""
    )


def land(output: Path, content: bytes = b"", *, overwrite: bool = False, mode: int = 0o644) -> None:
    announced = head(len(content), mode=mode)
    folder = folder_for(output)
    with arriving(folder, announced, output, keep=False, overwrite=overwrite) as landing:
        landing.go_on(0)
        landing.write(content)
        assert landing.commit() == (output,)


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_nothing_is_there_under_the_name_until_the_commit(tmp_path: Path) -> None:
    target = tmp_path / "file"
    with arriving(tmp_path, head(7)) as landing:
        landing.go_on(0)
        landing.write(b"con")
        landing.write(memoryview(b"tent"))
        assert listing(tmp_path) == [HIDDEN]
        assert landing.commit() == (target,)
        assert target.read_bytes() == b"content"
    assert listing(tmp_path) == ["file"]
    assert target.stat().st_mtime_ns == THEN


def test_leaving_with_an_error_leaves_nothing_or_what_can_be_taken_up(tmp_path: Path) -> None:
    for keep, left in ((False, []), (True, [HIDDEN])):
        with suppress(KeyboardInterrupt), arriving(tmp_path, head(7), keep=keep) as landing:
            landing.write(b"half")
            raise KeyboardInterrupt
        assert listing(tmp_path) == left


def test_what_cannot_fit_is_refused_before_any_of_it_comes(tmp_path: Path) -> None:
    with Part(tmp_path, ITEM) as part:
        part.check_room(1 << 20)
        with pytest.raises(RepramError, match="there is room for"):
            part.check_room(1 << 53)


def test_an_earlier_attempt_is_taken_up(tmp_path: Path) -> None:
    with suppress(KeyboardInterrupt), arriving(tmp_path, head(7), keep=True) as landing:
        landing.write(b"contXX")
        raise KeyboardInterrupt
    with Part(tmp_path, ITEM) as part, landing_for(part, head(7), None) as landing:
        assert everything(landing.have()) == b"contXX"
        landing.go_on(4)
        landing.write(b"ent")
        landing.commit()
    assert (tmp_path / "file").read_bytes() == b"content"
    assert listing(tmp_path) == ["file"]


def test_one_link_is_downloaded_into_one_folder_once_at_a_time(tmp_path: Path) -> None:
    with Part(tmp_path, ITEM):
        with pytest.raises(Conflict, match="already"), Part(tmp_path, ITEM):
            pass
        with Part(tmp_path, ItemId(bytes(32))):
            pass
    with Part(tmp_path, ITEM):
        pass


def test_what_somebody_else_has_laid_ready_is_not_used(tmp_path: Path) -> None:
    (tmp_path / HIDDEN).mkdir(mode=0o777)
    (tmp_path / HIDDEN).chmod(0o777)
    with pytest.raises(RepramError, match="somebody else"), Part(tmp_path, ITEM):
        pass
    (tmp_path / HIDDEN).rmdir()
    (tmp_path / HIDDEN).symlink_to(tmp_path)
    with pytest.raises(RepramError, match="cannot write"), Part(tmp_path, ITEM):
        pass


def test_a_file_of_another_length_does_not_appear(tmp_path: Path) -> None:
    for content in (b"conten", b"contents"):
        with suppress(IntegrityFailure), arriving(tmp_path, head(7)) as landing:
            landing.go_on(0)
            landing.write(content)
            landing.commit()
    assert listing(tmp_path) == [HIDDEN]


def test_a_file_that_is_there_is_not_touched(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("mine")
    with pytest.raises(Conflict, match="already there"), arriving(tmp_path, head(), keep=False):
        pass
    assert target.read_text() == "mine"


def test_a_file_that_appears_meanwhile_is_not_touched(tmp_path: Path) -> None:
    target = tmp_path / "file"
    with arriving(tmp_path, head()) as landing:
        target.write_text("mine")
        with pytest.raises(Conflict):
            landing.commit()
    assert target.read_text() == "mine"
    assert listing(tmp_path) == ["file"]


def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Conflict):
        land(target)
    land(target, overwrite=True)
    assert listing(tmp_path) == ["file"]
    assert not target.is_symlink()


def test_overwriting_replaces_when_it_was_asked_for(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    land(target, b"new", overwrite=True)
    assert target.read_text() == "new"


@pytest.mark.parametrize(("mode", "becomes"), [(0o777, 0o750), (0o040, 0o040), (0, 0)])
def test_the_mode_is_the_senders_less_the_umask(tmp_path: Path, mode: int, becomes: int) -> None:
    before = os.umask(0o027)
    try:
        land(tmp_path / "file", mode=mode)
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o7777 == becomes


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RepramError, match=r"cannot write .*nowhere") as caught:
        land(tmp_path / "nowhere" / "file")
    assert caught.value.exit_code == 1


def test_a_name_of_the_greatest_length_lands(tmp_path: Path) -> None:
    land(tmp_path / ("x" * 255))
    assert listing(tmp_path) == ["x" * 255]
