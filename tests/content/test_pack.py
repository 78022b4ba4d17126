"""Trees: what is packed comes back the same, and nothing that somebody else packed gets out."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from repram.content.head import Head, Kind
from repram.content.landing import TreeLanding, landing_for
from repram.content.pack import Pack
from repram.content.part import Part
from repram.ids import ItemId

ITEM = ItemId(bytes(range(32)))
THEN = 1_700_000_000_123_456_789


def packed(*roots: Path) -> tuple[Pack, bytes]:
    pack = Pack(roots)
    stream = b"".join(iter(lambda: pack.read(1000), b""))
    assert len(stream) == pack.size
    return pack, stream


def head_of(pack: Pack) -> Head:
    return Head(
        kind=Kind.TREE,
        name=pack.roots[0],
        size=pack.size,
        entries=pack.entries,
        roots=len(pack.roots),
        modified=0,
        mode=0,
        expires=0,
        depth=0,
        refs=b"",
    )


def snapshot(top: Path) -> dict[bytes, tuple[object, ...]]:
    """Everything about everything beneath."""
    found = {}
    for folder, folders, files in os.walk(os.fsencode(top)):
        for name in [*folders, *files, b""]:
            path = os.path.join(folder, name) if name else folder
            status = os.lstat(path)
            what: bytes | None = None
            if stat.S_ISREG(status.st_mode):
                what = Path(os.fsdecode(path)).read_bytes()
            elif stat.S_ISLNK(status.st_mode):
                what = os.readlink(path)
            found[os.path.relpath(path, os.fsencode(top))] = (
                status.st_mode,
                status.st_mtime_ns,
                what,
            )
    return found


def test_a_tree_comes_back(tmp_path: Path) -> None:
    root = tmp_path / "from" / "root"
    (root / "a" / "b").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "a" / "file").write_bytes(b"content" * 100)
    (root / "a" / "nothing").write_bytes(b"")
    (root / "a" / "b" / "up").symlink_to("../file")
    (root / "a-b").write_bytes(b"x")
    (root / "a" / "file").chmod(0o440)
    os.utime(root / "a" / "file", ns=(THEN, THEN))
    (root / "empty").chmod(0o555)
    os.utime(root, ns=(THEN, THEN))
    pack, stream = packed(root)
    (tmp_path / "to").mkdir()
    with (
        Part(tmp_path / "to", ITEM) as part,
        landing_for(part, head_of(pack), tmp_path / "to") as landing,
    ):
        landing.go_on(0)
        for at in range(0, len(stream), 7):
            landing.write(stream[at : at + 7])
        assert landing.commit() == (tmp_path / "to" / "root",)
    assert os.listdir(tmp_path / "to") == ["root"]
    assert snapshot(root) == snapshot(tmp_path / "to" / "root")
