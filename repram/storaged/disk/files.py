"""Every call that the disk tier makes to the file system, so that a test can stand in for a disk."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Final

from repram.errors import Full, RepramError
from repram.storaged.tier import Bytes

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_BUFFERS: Final = 512  # handed to one system call; the kernel takes 1024 at most


class OpenFile:
    """An open file. It closes when the last who reads from it lets go, for a number given back too early
    might be another file's by then."""

    __slots__ = ("descriptor", "path")

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor

    def __del__(self) -> None:
        os.close(self.descriptor)


class Files:
    """The real disk."""

    def make_folder(self, folder: Path) -> None:
        """For this user alone; it may be there already."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def names(self, folder: Path) -> list[str]:
        """What stands in a folder."""
        return sorted(path.name for path in folder.iterdir())

    def open(self, path: Path, *, create: bool = False) -> OpenFile:
        """For reading and writing; `create`: empty, in the place of what was there."""
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        flags |= os.O_CREAT | os.O_TRUNC if create else 0
        return OpenFile(path, os.open(path, flags, 0o600))

    def size(self, file: OpenFile) -> int:
        """In bytes."""
        return os.fstat(file.descriptor).st_size

    def read_into(self, file: OpenFile, into: bytearray | memoryview, offset: int) -> int:
        """Fill a buffer; how many bytes there were, which are fewer only at the end of the file."""
        view, done = memoryview(into), 0
        while done < len(view):
            count = os.preadv(file.descriptor, [view[done:]], offset + done)
            if not count:
                break
            done += count
        return done

    def write(self, file: OpenFile, buffers: Sequence[Bytes], offset: int) -> None:
        """All of it, or OSError."""
        for first in range(0, len(buffers), _BUFFERS):
            batch = [memoryview(buffer) for buffer in buffers[first : first + _BUFFERS]]
            while batch:
                count = os.pwritev(file.descriptor, batch, offset)
                offset += count
                while batch and count >= len(batch[0]):
                    count -= len(batch.pop(0))
                if batch:
                    batch[0] = batch[0][count:]

    def sync(self, file: OpenFile) -> None:
        """What was written survives a power cut when this returns."""
        os.fdatasync(file.descriptor)

    def sync_folder(self, folder: Path) -> None:
        """Which files there are survives a power cut when this returns."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def truncate(self, file: OpenFile, size: int) -> None:
        """Cut off what stands behind."""
        os.ftruncate(file.descriptor, size)

    def rename(self, path: Path, to: Path) -> None:
        """Give a file another's name, whole, in its place; sure once the folder has been synced."""
        path.rename(to)

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        path.unlink()

    def lock(self, file: OpenFile) -> bool:
        """Whether no other process has it; it is ours until it is closed."""
        try:
            fcntl.flock(file.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class TimedFiles(Files):
    """The real disk, and how long each of its syncs takes, in seconds."""

    def __init__(self, synced: Callable[[float], None]) -> None:
        self._synced = synced

    def sync(self, file: OpenFile) -> None:
        """What was written survives a power cut when this returns."""
        began = perf_counter()
        super().sync(file)
        self._synced(perf_counter() - began)


def told(error: OSError, folder: Path) -> RepramError:
    """What the operating system said, for the person who runs the node."""
    what = error.strerror or str(error)
    if error.errno in _FULL:
        return Full(
            f"the disk under {folder} has no room left: {what}",
            hint="Free some space there; the node goes on by itself.",
        )
    return RepramError(
        f"the disk under {folder} failed: {what}",
        hint="Look at the kernel's log (`dmesg`) and at the health of the disk.",
    )
