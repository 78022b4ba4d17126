"""Trees that are packed here and come back the same; what does not travel is left out and named."""

from __future__ import annotations

import os
import socket
import tempfile
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repram.content.pack import Pack
from repram.errors import Changed, UsageError
from tests.content.trees import IN_MEMORY, everything, landed, packed, snapshot

THEN = 1_700_000_000_123_456_789
NAMES = st.one_of(
    st.binary(min_size=1, max_size=12).map(lambda raw: raw.translate(None, b"/\0")),
    st.sampled_from(
        [b"-rf", b"--", b"a", b"A", b"a-b", b"a\nb", b" ", b"*", b"\xff\xfe", b"x" * 255, b"..."]
    ),
    st.text(min_size=1, max_size=4, alphabet="éñôK").flatmap(
        lambda text: st.sampled_from(["NFC", "NFD"]).map(
            lambda form: unicodedata.normalize(form, text).encode()  # type: ignore[arg-type]
        )
    ),
).filter(lambda name: name not in {b"", b".", b".."})
TIMES = st.integers(-(1 << 31) * 10**9, (1 << 33) * 10**9)
FILES = st.tuples(st.binary(max_size=3_000), st.sampled_from([0o644, 0o400, 0o755, 0]), TIMES)
TREES = st.recursive(
    FILES,
    lambda inner: st.tuples(
        st.dictionaries(NAMES, inner | st.sampled_from(["self", ".", "../a"]), max_size=5),
        st.sampled_from([0o755, 0o555, 0o700]),
        TIMES,
    ),
    max_leaves=12,
).filter(lambda tree: isinstance(tree[0], dict))


def make(where: Path, tree: object) -> None:
    if isinstance(tree, str):
        where.symlink_to(where.name if tree == "self" else tree)
        return
    assert isinstance(tree, tuple)
    content, mode, modified = tree
    if isinstance(content, dict):
        where.mkdir()
        for name, inside in content.items():
            make(where / os.fsdecode(name), inside)
    else:
        where.write_bytes(content)
    where.chmod(mode)
    os.utime(where, ns=(modified, modified))


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@settings(max_examples=40)
@given(st.dictionaries(NAMES, TREES, min_size=1, max_size=3), st.sets(st.integers(0, 9_000)))
def test_any_tree_comes_back(roots: dict[bytes, object], cuts: set[int]) -> None:
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        source, target = Path(folder, "from"), Path(folder, "to")
        source.mkdir()
        target.mkdir()
        for name, tree in roots.items():
            make(source / os.fsdecode(name), tree)
        pack = Pack(list(source.iterdir()))
        left_out = {left.path for left in pack.left_out}
        wanted = {k: v for k, v in snapshot(source).items() if k not in left_out}
        tree = packed(*source.iterdir())
        assert landed(target, tree, cuts={cut for cut in cuts if cut < len(tree[1])}) == []
        found = snapshot(target)
        # What was left out changes no folder's time, so all else has to be the same.
        assert found == wanted
        assert all(left.why.startswith("it is a link") for left in pack.left_out)


def test_links_that_stay_inside_travel_and_others_are_left_out(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "in").mkdir(parents=True)
    inside = {"here": "in", "dots": "./in//x/", "up": "in/x", "in/above": "../up", "in/top": ".."}
    outside = {
        "out": "..",
        "abs": "/etc",
        "in/far": "../../x",
        "in/back": "x/../y",
        "same": "../root",
    }
    for name, target in {**inside, **outside}.items():
        (root / name).symlink_to(target)
    pack = Pack([root])
    assert {left.path.decode() for left in pack.left_out} == {f"root/{name}" for name in outside}
    (tmp_path / "to").mkdir()
    landed(tmp_path / "to", packed(root))
    made = snapshot(tmp_path / "to" / "root")
    assert {name: made[name.encode()][2].decode() for name in inside} == inside


def test_devices_pipes_and_sockets_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        pack = Pack([tmp_path])
    assert sorted(left.path.rpartition(b"/")[2] for left in pack.left_out) == [b"pipe", b"socket"]
    assert pack.entries == 2
    with pytest.raises(UsageError, match="nothing to upload"):
        Pack([tmp_path / "pipe"])


def test_what_is_named_is_followed_and_what_lies_in_it_is_not(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_text("x")
    (tmp_path / "link").symlink_to("real")
    pack = Pack([tmp_path / "link"])
    assert (pack.roots, pack.entries) == (("link",), 2)


def test_what_cannot_be_one_upload_is_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder / "same").mkdir(parents=True)
    with pytest.raises(UsageError, match="called same"):
        Pack([tmp_path / "a" / "same", tmp_path / "b" / "same"])
    with pytest.raises(UsageError, match="whole of a machine"):
        Pack([Path("/")])
    with pytest.raises(UsageError, match="is not there"):
        Pack([tmp_path / "missing"])


@pytest.mark.parametrize("change", ["longer", "shorter", "touched", "gone", "a link", "a folder"])
def test_what_changes_meanwhile_is_noticed(tmp_path: Path, change: str) -> None:
    root, other = tmp_path / "root", tmp_path / "other"
    root.mkdir()
    file = root / "file"
    for each in (file, other):
        each.write_text("content")
        os.utime(each, ns=(THEN, THEN))
    pack = Pack([root])
    if change in {"gone", "a link", "a folder"}:
        file.unlink()
    if change == "a link":
        file.symlink_to(other)
    elif change == "a folder":
        file.mkdir()
    elif change == "touched":
        os.utime(file, ns=(THEN, THEN + 1))
    elif change != "gone":
        file.write_text("content!" if change == "longer" else "")
    with pytest.raises(Changed, match="file changed while"):
        everything(pack)


def test_a_pack_that_is_not_read_to_its_end_leaves_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(bytes(1 << 20))
    before = open_files()
    pack = Pack([tmp_path])
    pack.read(400)
    assert open_files() > before
    pack.close()
    assert open_files() == before


def test_a_tree_deeper_than_can_be_unpacked_is_left_out(tmp_path: Path) -> None:
    deepest = tmp_path / "/".join("d" * 300)
    deepest.mkdir(parents=True)
    pack = Pack([tmp_path / "d"])
    assert (pack.entries, [left.why for left in pack.left_out]) == (
        256,
        ["it lies too deep in folders"],
    )
