"""Trees that somebody else has packed: whatever stands in them stays in its folder, and the rest arrives."""

from __future__ import annotations

import errno
import os
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repram.content import landing, unpack
from repram.content.appear import sync_all
from repram.content.entries import Entry, leads_out
from repram.content.landing import TreeLanding
from repram.errors import Conflict, IntegrityFailure
from tests.content.trees import (
    IN_MEMORY,
    arriving,
    everything,
    head,
    landed,
    packed,
    snapshot,
    visible,
    written,
)

OUTSIDE = "outside"


def folder(path: bytes) -> tuple[Entry, bytes]:
    return Entry("d", path, 0o755, 0), b""


def file(path: bytes, content: bytes = b"content") -> tuple[Entry, bytes]:
    return Entry("f", path, 0o644, 0, len(content)), content


def link(path: bytes, target: bytes) -> tuple[Entry, bytes]:
    return Entry("l", path, 0o777, 0, 0, target), b""


HOSTILE = {
    "absolute": file(b"/etc/cron.d/x"),
    "up": file(b"../x"),
    "up inside": file(b"root/../../x"),
    "dot": file(b"root/./x"),
    "empty name": file(b"root//x"),
    "no name": file(b""),
    "slash at the end": file(b"root/x/"),
    "NUL": file(b"root/a\0b"),
    "long name": file(b"root/" + b"x" * 256),
    "long path": file(b"root/" + b"/".join([b"x" * 200] * 21)),
    "deep": file(b"root" + b"/x" * 256),
    "no folder": file(b"root/nowhere/x"),
    "folder is a file": file(b"root/a/x"),
    "twice": file(b"root/a"),
    "out of order": file(b"root/A"),
    "another kind": (Entry("c", b"root/m", 0o644, 0, 3), b"dev"),
    "setuid": (Entry("f", b"root/m", 0o4755, 0), b""),
    "negative mode": (Entry("f", b"root/m", -1, 0), b""),
    "time": (Entry("f", b"root/m", 0o644, 1 << 63), b""),
    "folder with content": (Entry("d", b"root/m", 0o755, 0, 2), b"hi"),
    "file that leads": (Entry("f", b"root/m", 0o644, 0, 1, b"x"), b"x"),
    "link without target": link(b"root/m", b""),
    "link with NUL": link(b"root/m", b"a\0b"),
    "link out": link(b"root/m", b"../" + OUTSIDE.encode()),
    "absolute link": link(b"root/m", b"/etc/passwd"),
    "link down and up": link(b"root/m", b"b/../../x"),
    "root is a link": link(b"s", b"root"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_entry_is_refused_and_all_others_arrive(tmp_path: Path, name: str) -> None:
    place = tmp_path / "place"
    place.mkdir()
    hostile = HOSTILE[name]
    tree = written(folder(b"root"), file(b"root/a"), hostile, file(b"root/z"), file(b"z"))
    refused = landed(place, tree)
    assert [left.path for left in refused] == [hostile[0].path]
    assert sorted(snapshot(place)) == [b"root", b"root/a", b"root/z", b"z"]
    assert visible(tmp_path) == ["place"]
    assert (place / "root" / "a").read_bytes() == b"content"


def test_what_lies_in_a_refused_folder_is_refused_and_its_content_passed_over(
    tmp_path: Path,
) -> None:
    tree = written(folder(b"a"), folder(b"a/.."), file(b"a/../x"), file(b"a/y"), file(b"b"))
    assert [left.path for left in landed(tmp_path, tree)] == [b"a/..", b"a/../x"]
    assert sorted(snapshot(tmp_path)) == [b"a", b"a/y", b"b"]


def test_what_this_file_system_cannot_hold_is_nobodys_hostility(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where `A` and `a` are one name."""
    made, real = set(), os.mkdir

    def mkdir(name: bytes, mode: int, *, dir_fd: int) -> None:
        if name.lower() in made:
            raise FileExistsError(errno.EEXIST, "File exists")
        made.add(name.lower())
        real(name, mode, dir_fd=dir_fd)

    announced, stream = written(folder(b"A"), file(b"A/x"), folder(b"a"), file(b"a/x"), file(b"b"))
    with arriving(tmp_path, announced, tmp_path) as landing:
        monkeypatch.setattr(os, "mkdir", mkdir)
        landing.write(stream)
        assert [left.path for left in landing.refused] == [b"a", b"a/x"]
        assert not landing.hostile
        monkeypatch.undo()
        landing.commit()
    assert sorted(snapshot(tmp_path)) == [b"A", b"A/x", b"b"]


def test_nothing_goes_through_a_link(tmp_path: Path) -> None:
    """Links are made last, and a folder that was one would have come twice."""
    tree = written(folder(b"r"), link(b"r/l", b"d"), file(b"r/l/x"), folder(b"r/l"), file(b"r/l/y"))
    refused = landed(tmp_path, tree)
    assert [left.path for left in refused] == [b"r/l/x", b"r/l", b"r/l/y"]
    assert sorted(snapshot(tmp_path)) == [b"r", b"r/l"]


@given(
    st.lists(st.sampled_from([b"..", b".", b"", b"a", b"b"]), max_size=6).map(b"/".join),
    st.lists(st.sampled_from([b"a", b"b"]), min_size=1, max_size=4).map(b"/".join),
)
def test_a_link_that_is_taken_leads_to_its_root_or_below(target: bytes, path: bytes) -> None:
    if not target or leads_out(path, target):
        return
    *folders, _ = path.split(b"/")
    where = list(folders)
    for step in target.split(b"/"):
        if step == b"..":
            where.pop()
        elif step not in {b"", b"."}:
            where.append(step)
        assert where[:1] == folders[:1]


NO_TEXT = b"\x94\xa2\xed\xa0\xc4\x01p\x00\x00"  # for a kind


@pytest.mark.parametrize("bad", [b"", b"\x91", b"\xff", b"\x96", b"\xa1x", b"\x80", NO_TEXT])
def test_what_is_no_header_ends_everything(tmp_path: Path, bad: bytes) -> None:
    _, stream = written(file(b"a"))
    with pytest.raises(IntegrityFailure):
        landed(tmp_path, (head(2, 2), stream + len(bad).to_bytes(2, "big") + bad))
    assert visible(tmp_path) == []


def test_a_stream_that_ends_early_or_counts_otherwise_lands_nowhere(tmp_path: Path) -> None:
    announced, stream = written(folder(b"r"), file(b"r/a"), file(b"s"))
    for end in (1, 2, 9, len(stream) - 8, len(stream) - 1):
        with pytest.raises(IntegrityFailure):
            landed(tmp_path, (announced, stream[:end]))
    for wrong in (head(1, 3), head(2, 4), head(3, 3)):
        with pytest.raises(IntegrityFailure, match="as many entries"):
            landed(tmp_path, (wrong, stream))
    with pytest.raises(IntegrityFailure, match="nothing of this"):
        landed(tmp_path, written(link(b"only", b"x")))
    assert visible(tmp_path) == []


def test_so_many_refusals_are_named_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpack, "MAX_REFUSED", 3)
    tree = written(file(b"a"), *[file(b"../x") for _ in range(9)])
    refused = landed(tmp_path, tree)
    assert ["there are more" in each.why for each in refused] == [False] * 3 + [True]


def test_what_is_there_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine").write_text("mine")
    with pytest.raises(Conflict, match="already there"):
        landed(tmp_path, written(file(b"a"), folder(b"b")))
    mine = tmp_path / "b" / "mine"
    with pytest.raises(Conflict, match="already there"), arriving(tmp_path, head(1, 1), mine):
        pass
    assert (tmp_path / "b" / "mine").read_text() == "mine"
    assert not (tmp_path / "a").exists()


def test_a_folder_is_replaced_when_it_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "r" / "old").mkdir(parents=True)
    announced, stream = written(folder(b"r"), file(b"r/new"))
    with arriving(tmp_path, announced, tmp_path, overwrite=True) as way:
        way.go_on(0)
        way.write(stream)
        way.commit()
    assert sorted(snapshot(tmp_path)) == [b"r", b"r/new"]


def test_all_is_durable_before_anything_appears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[list[str]] = []

    def watched(place: int) -> None:
        synced.append(visible(tmp_path))
        sync_all(place)

    monkeypatch.setattr(landing, "sync_all", watched)
    landed(tmp_path, written(file(b"a"), file(b"b")))
    assert (synced, visible(tmp_path)) == ([[]], ["a", "b"])


def test_one_root_gets_another_name_and_several_a_folder(tmp_path: Path) -> None:
    one, several = written(folder(b"r"), file(b"r/x")), written(file(b"a"), file(b"b"))
    landed(tmp_path, one, output=tmp_path / "named")
    landed(tmp_path, several, output=tmp_path / "both")
    assert sorted(snapshot(tmp_path)) == [b"both", b"both/a", b"both/b", b"named", b"named/x"]
    assert (tmp_path / "both").stat().st_mode == (tmp_path / "named").stat().st_mode


@settings(max_examples=40)
@given(data=st.data())
def test_it_goes_on_wherever_it_was_interrupted(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        interrupted(Path(folder), data)


def interrupted(place: Path, data: st.DataObject) -> None:
    source = place / "root"
    (source / "a" / "deep").mkdir(parents=True)
    (source / "a" / "deep" / "file").write_bytes(bytes(range(200)))
    (source / "a" / "deep" / "up").symlink_to("../empty")
    (source / "a" / "empty").write_bytes(b"")
    (source / "a-").write_bytes(b"x" * 50)
    (source / "b").mkdir(mode=0o555)
    (source / "c").write_bytes(b"y" * 90)
    (source / "c").chmod(0o400)
    announced, stream = packed(source)
    target = place / "to"
    target.mkdir()
    verified = 0
    for _ in range(data.draw(st.integers(1, 3))):
        stopped = data.draw(st.integers(verified, len(stream)), "stopped")
        with suppress(KeyboardInterrupt), arriving(target, announced, target) as way:
            had = everything(way.have())
            assert stream.startswith(had)
            verified = data.draw(st.integers(0, len(had)), "verified")
            way.go_on(verified)
            way.write(stream[verified : max(stopped, verified)])
            if stopped == len(stream):
                assert isinstance(way, TreeLanding)
                way._unpacking.finish()
            raise KeyboardInterrupt
    with arriving(target, announced, target) as way:
        had = way.have().read(1 << 20)
        assert stream.startswith(had)
        way.go_on(len(had))
        way.write(stream[len(had) :])
        assert way.commit() == (target / "root",)
        assert way.refused == []
    assert visible(target) == ["root"]
    found = snapshot(target)
    assert found == {
        path: what for path, what in snapshot(place).items() if not path.startswith(b"to")
    }


def test_what_an_earlier_attempt_left_is_nearly_all_there(tmp_path: Path) -> None:
    announced, stream = written(folder(b"r"), *[file(b"r/%04d" % n, b"x" * 99) for n in range(50)])
    with suppress(KeyboardInterrupt), arriving(tmp_path, announced) as way:
        way.write(stream[:-1])
        raise KeyboardInterrupt
    with arriving(tmp_path, announced, keep=False) as way:
        assert way.have().read(1 << 20) == stream[:-1]
