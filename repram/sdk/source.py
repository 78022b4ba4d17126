"""What is uploaded: a file by its path, or a stream."""

from __future__ import annotations

import io
import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeAlias

from repram.content.chunker import Source
from repram.content.head import MAX_MODE
from repram.content.names import portable_name, shown
from repram.content.refs import check_size
from repram.errors import UsageError

Uploadable: TypeAlias = str | os.PathLike[str] | Source

STREAM_MODE = 0o666  # what a new file gets; the recipient's umask takes from it


@dataclass(frozen=True, slots=True)
class Content:
    """An open source and what the manifest says of it; the size of a stream is known only at its end."""

    source: Source
    name: str
    size: int | None
    modified: int
    mode: int

    @classmethod
    def open(cls, what: Uploadable, name: str | None) -> Self:
        """Open a path, or take a stream as it is; call in a thread: opening a pipe may block."""
        if not isinstance(what, (str, os.PathLike)):
            return cls(what, portable_name(name or "stream"), None, time.time_ns(), STREAM_MODE)
        path = Path(what)
        try:
            file = io.FileIO(path)
        except OSError as error:
            raise _unreadable(path, error) from None
        status = os.fstat(file.fileno())
        named = portable_name(name or path.name)
        if not stat.S_ISREG(status.st_mode):
            return cls(file, named, None, time.time_ns(), STREAM_MODE)
        return cls(file, named, status.st_size, status.st_mtime_ns, status.st_mode & MAX_MODE)

    def check(self) -> None:
        """Refuse now what would be refused at its end."""
        if self.size is not None:
            check_size(self.size)

    def close(self) -> None:
        """Close what was opened here; a stream belongs to its owner."""
        if isinstance(self.source, io.FileIO):
            self.source.close()


def _unreadable(path: Path, error: OSError) -> UsageError:
    if isinstance(error, IsADirectoryError):
        return UsageError(
            f"{shown(str(path))} is a folder, and this version uploads files",
            hint=f"Pack it: `tar cz {shown(path.name)} | repram upload -`.",
        )
    return UsageError(f"cannot read {shown(str(path))}: {error.strerror}", hint="Check the path.")
