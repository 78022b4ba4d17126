"""Trees for tests: packed and landed, and everything about them that has to come back."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from repram.content.chunker import Source
from repram.content.entries import Entry, LeftOut
from repram.content.head import Head, Kind
from repram.content.landing import Landing, landing_for
from repram.content.pack import Pack
from repram.content.part import Part
from repram.ids import ItemId

ITEM = ItemId(bytes(range(32)))
IN_MEMORY = next(iter(Path("/dev").glob("shm")), None)  # where syncing costs nothing


def packed(*roots: Path) -> tuple[Head, bytes]:
    """The head and the whole stream of what lies at these paths."""
    pack = Pack(roots)
    stream = everything(pack)
    assert len(stream) == pack.size
    return head(len(pack.roots), pack.entries), stream


def everything(source: Source) -> bytes:
    """All that it gives, in pieces of no round size."""
    return b"".join(iter(lambda: source.read(1_000), b""))


def visible(folder: Path) -> list[str]:
    """What a person sees in it."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(".repram-"))


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


@contextmanager
def arriving(
    folder: Path,
    announced: Head,
    output: Path | None = None,
    *,
    keep: bool = True,
    overwrite: bool = False,
) -> Iterator[Landing]:
    """What stands open while a download is under way."""
    with (
        Part(folder, ITEM, keep=keep) as part,
        landing_for(part, announced, output, overwrite=overwrite) as way,
    ):
        yield way


def landed(
    folder: Path, tree: tuple[Head, bytes], *, cuts: Iterable[int] = (), output: Path | None = None
) -> list[LeftOut]:
    """Unpack into a folder, in pieces that end at the cuts; what was refused."""
    announced, stream = tree
    places = [0, *sorted(cuts), len(stream)]
    with arriving(folder, announced, output or folder) as landing:
        landing.go_on(0)
        for start, end in pairwise(places):
            landing.write(stream[start:end])
        landing.commit()
        return landing.refused


def snapshot(top: Path) -> dict[bytes, tuple[int, int, bytes]]:
    """Mode, time, and content or where it leads, of everything beneath."""
    found: dict[bytes, tuple[int, int, bytes]] = {}
    for folder, folders, files in os.walk(top):
        for path in (Path(folder, name) for name in [*folders, *files]):
            status = path.lstat()
            what = b""
            if stat.S_ISREG(status.st_mode):
                what = path.read_bytes()
            elif stat.S_ISLNK(status.st_mode):
                what = os.readlink(os.fsencode(path))  # noqa: PTH115  # as it stands there
            name = os.fsencode(path.relative_to(top))
            found[name] = (status.st_mode, status.st_mtime_ns, what)
    return found
