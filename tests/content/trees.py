"""Trees for tests: packed and landed, and everything about them that has to come back."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from repram.content.entries import Entry, LeftOut
from repram.content.head import Head, Kind
from repram.content.landing import landing_for
from repram.content.pack import Pack
from repram.content.part import Part
from repram.ids import ItemId

ITEM = ItemId(bytes(range(32)))
IN_MEMORY = next(iter(Path("/dev").glob("shm")), None)  # where syncing costs nothing


def packed(*roots: Path) -> tuple[Head, bytes]:
    """The head and the whole stream of what lies at these paths."""
    pack = Pack(roots)
    stream = b"".join(iter(lambda: pack.read(4_096), b""))
    assert len(stream) == pack.size
    return head(len(pack.roots), pack.entries), stream


def head(roots: int, entries: int) -> Head:
    return Head(
        kind=Kind.TREE,
        name="tree",
        size=0,
        entries=entries,
        roots=roots,
        modified=0,
        mode=0,
        expires=0,
        depth=0,
        refs=b"",
    )


def written(*entries: tuple[Entry, bytes]) -> tuple[Head, bytes]:
    """As anybody could write it: any entries, with any content behind them."""
    roots = sum(b"/" not in entry.path for entry, _ in entries)
    stream = b"".join(entry.encode() + content for entry, content in entries)
    return head(roots, len(entries)), stream


def landed(
    folder: Path, tree: tuple[Head, bytes], *, cuts: Iterable[int] = (), output: Path | None = None
) -> list[LeftOut]:
    """Unpack into a folder, in pieces that end at the cuts; what was refused."""
    announced, stream = tree
    places = [0, *sorted(cuts), len(stream)]
    with Part(folder, ITEM) as part, landing_for(part, announced, output or folder) as landing:
        landing.go_on(0)
        for start, end in zip(places, places[1:], strict=False):
            landing.write(stream[start:end])
        landing.commit()
        return landing.refused


def snapshot(top: Path) -> dict[bytes, tuple[int, int, bytes]]:
    """Mode, time, and content or where it leads, of everything beneath."""
    found: dict[bytes, tuple[int, int, bytes]] = {}
    start = os.fsencode(top)
    for folder, folders, files in os.walk(start):
        for name in [*folders, *files]:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            what = b""
            if stat.S_ISREG(status.st_mode):
                what = Path(os.fsdecode(path)).read_bytes()
            elif stat.S_ISLNK(status.st_mode):
                what = os.readlink(path)
            found[os.path.relpath(path, start)] = (status.st_mode, status.st_mtime_ns, what)
    return found
