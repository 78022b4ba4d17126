"""What is uploaded: a file by its path, a folder, several of either, or a stream."""

from __future__ import annotations

import io
import os
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypeAlias, cast

from repram.content.chunker import Source
from repram.content.head import MAX_MODE, Kind
from repram.content.names import portable_name, shown
from repram.content.pack import Pack
from repram.content.refs import check_size
from repram.errors import UsageError
from repram.sdk.events import LeftOut

OnePath: TypeAlias = str | os.PathLike[str]
Uploadable: TypeAlias = OnePath | Sequence[OnePath] | Source

STREAM_MODE: Final = 0o666  # what a new file gets; the recipient's umask takes from it


@dataclass(frozen=True, slots=True)
class Content:
    """An open source and what a head says of it; the size of a stream is known only at its end."""

    source: Source
    kind: Kind
    name: str
    size: int | None
    modified: int  # Unix nanoseconds
    mode: int
    entries: int = 0
    roots: int = 0
    left_out: tuple[LeftOut, ...] = ()
    repeatable: bool = False  # it can be opened again, and then read from its beginning

    @classmethod
    def open(cls, what: Uploadable, name: str | None) -> Self:
        """Open paths, or take a stream as it is; call in a thread: opening a pipe may block."""
        if not isinstance(what, (str, os.PathLike, Sequence)):
            return cls._stream(what, name or "stream")
        paths = paths_of(what)
        if len(paths) == 1 and not paths[0].is_dir():
            return cls._file(paths[0], name)
        return cls._tree(paths, name)

    @classmethod
    def _stream(cls, source: Source, name: str) -> Self:
        return cls(source, Kind.FILE, portable_name(name), None, time.time_ns(), STREAM_MODE)

    @classmethod
    def _file(cls, path: Path, name: str | None) -> Self:
        try:
            file = io.FileIO(path)
        except OSError as error:
            raise UsageError(
                f"cannot read {shown(str(path))}: {error.strerror}", hint="Check the path."
            ) from None
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            return cls._stream(cast("Source", file), name or path.name)
        try:
            check_size(status.st_size)
        except UsageError:
            file.close()
            raise
        return cls(
            cast("Source", file),
            Kind.FILE,
            portable_name(name or path.name),
            status.st_size,
            status.st_mtime_ns,
            status.st_mode & MAX_MODE,
            repeatable=True,
        )

    @classmethod
    def _tree(cls, paths: Sequence[Path], name: str | None) -> Self:
        pack = Pack(paths)
        check_size(pack.size)
        first, *others = pack.roots
        return cls(
            pack,
            Kind.TREE,
            portable_name(name or (f"{first} and {len(others)} more" if others else first)),
            pack.size,
            time.time_ns(),
            0o777,
            entries=pack.entries,
            roots=len(pack.roots),
            left_out=tuple(LeftOut(os.fsdecode(each.path), each.why) for each in pack.left_out),
            repeatable=True,
        )

    def close(self) -> None:
        """Close what was opened here; a stream belongs to its owner."""
        if isinstance(self.source, (io.FileIO, Pack)):
            self.source.close()


def paths_of(what: Uploadable) -> tuple[Path, ...]:
    """One path or several, as paths; none, for a stream."""
    if isinstance(what, (str, os.PathLike)):
        return (Path(what),)
    if not isinstance(what, Sequence):
        return ()
    if not what:
        raise UsageError("there is nothing to upload")
    return tuple(map(Path, what))
