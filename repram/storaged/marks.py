"""Where a node keeps its clock's mark: two slots in one file, written in turn, in place, and synced.

A power cut in the middle of a write spoils one slot, and the other has the time of a few seconds before.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Final, Self

from blake3 import blake3

from repram.errors import RepramError
from repram.storaged.clock import UNKNOWN, Mark

_SLOT: Final = struct.Struct(">8sQQQ16s")
_MAGIC: Final = b"repram\0\1"
_CHECKSUM_SIZE: Final = 16
_SPACING: Final = 4096  # apart, so that no sector holds both


class MarkFile:
    """`last` is what the file said when it was opened: None for a new one, UNKNOWN for a spoiled one."""

    def __init__(self, fd: int, path: Path, last: Mark | None, number: int) -> None:
        """Use `open`."""
        self.last = last
        self._fd, self._path, self._number = fd, path, number

    @classmethod
    def open(cls, path: Path) -> Self:
        """An empty file, and one that is not there, is a new one; its room is taken by the first mark."""
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            new = os.fstat(fd).st_size == 0
            slots = [_parsed(os.pread(fd, _SPACING, place)) for place in (0, _SPACING)]
            if new:
                _sync_folder(path.parent)
        except OSError as error:
            raise _failed(path, error) from error
        found = [slot for slot in slots if slot]
        if not found:
            return cls(fd, path, None if new else UNKNOWN, 0)
        number, mark = max(found)
        return cls(fd, path, mark, number)

    def write(self, mark: Mark) -> None:
        """Remember this mark; it is on the disk when this returns."""
        self._number += 1
        packed = _SLOT.pack(
            _MAGIC, self._number, mark.time, mark.boot, mark.boot_id.ljust(16, b"\0")
        )
        try:
            os.pwrite(
                self._fd,
                packed + blake3(packed).digest(_CHECKSUM_SIZE),
                self._number % 2 * _SPACING,
            )
            os.fdatasync(self._fd)
        except OSError as error:
            raise _failed(self._path, error) from error

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)


def _parsed(slot: bytes) -> tuple[int, Mark] | None:
    packed, checksum = slot[: _SLOT.size], slot[_SLOT.size : _SLOT.size + _CHECKSUM_SIZE]
    if len(packed) < _SLOT.size or blake3(packed).digest(_CHECKSUM_SIZE) != checksum:
        return None
    magic, number, time, boot, boot_id = _SLOT.unpack(packed)
    return (number, Mark(time, boot, boot_id)) if magic == _MAGIC else None


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _failed(path: Path, error: OSError) -> RepramError:
    return RepramError(
        f"cannot keep the node's time in {path}: {error.strerror}",
        hint="Make room on this disk, or give the node another folder.",
    )
