"""Disks that fail: power that is cut at any call, calls that are refused, bytes that never arrived."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from repram.storaged.disk.files import Files, OpenFile
from repram.storaged.tier import Bytes

SECTOR = 512
Step = tuple[int, bytes | None]  # written at an offset; None: cut off there


class PowerCut(Exception):
    """Nothing more happens on this disk."""


class Inode:
    """What a file holds, and what of it has been synced."""

    def __init__(self, synced: bytes = b"") -> None:
        self.synced = synced
        self.now = bytearray(synced)
        self.steps: list[Step] = []

    def step(self, step: Step) -> None:
        apply(self.now, step)
        self.steps.append(step)


class Handle(OpenFile):
    """An open file of a simulated disk."""

    __slots__ = ("inode",)

    def __init__(self, path: Path, inode: Inode) -> None:
        super().__init__(path, os.open("/dev/null", os.O_RDONLY))
        self.inode = inode


def apply(content: bytearray, step: Step) -> None:
    offset, data = step
    if data is None:
        del content[offset:]
        content.extend(bytes(max(0, offset - len(content))))
        return
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(data)] = data


class SimulatedDisk(Files):
    """In memory. Each changing call has a number; at one of them power is cut, or an error comes."""

    def __init__(self) -> None:
        self.names_now: dict[Path, Inode] = {}
        self.names_synced: dict[Path, Inode] = {}
        self.calls = 0
        self.cut_at: int | None = None
        self.fail: dict[int, int] = {}  # an errno by call
        self.failing: int | None = None  # the errno of every call
        self.kinds: list[str] = []

    def _count(self, kind: str) -> None:
        if self.cut_at is not None and self.calls >= self.cut_at:
            raise PowerCut
        self.calls += 1
        self.kinds.append(kind)
        error = self.failing if self.failing is not None else self.fail.get(self.calls - 1)
        if error is not None:
            raise OSError(error, os.strerror(error))

    # ---- what Files does

    def make_folder(self, folder: Path) -> None:
        pass

    def names(self, folder: Path) -> list[str]:
        depth = len(folder.parts)
        return sorted(
            {path.parts[depth] for path in self.names_now if path.parts[:depth] == folder.parts}
        )

    def open(self, path: Path, *, create: bool = False) -> OpenFile:
        if create:
            self._count("create")
            if path in self.names_now:
                self.names_now[path].step((0, None))
            else:
                self.names_now[path] = Inode()
        return Handle(path, self.names_now[path])

    def size(self, file: OpenFile) -> int:
        return len(inode(file).now)

    def read_into(self, file: OpenFile, into: bytearray | memoryview, offset: int) -> int:
        found = inode(file).now[offset : offset + len(into)]
        memoryview(into)[: len(found)] = found
        return len(found)

    def write(self, file: OpenFile, buffers: Sequence[Bytes], offset: int) -> None:
        data = b"".join(buffers)
        try:
            self._count("write")
        except OSError:
            inode(file).step((offset, data[: len(data) // 2]))
            raise
        inode(file).step((offset, data))

    def sync(self, file: OpenFile) -> None:
        self._count("sync")
        node = inode(file)
        node.synced, node.steps = bytes(node.now), []

    def sync_folder(self, folder: Path) -> None:
        self._count("sync folder")
        for names in (self.names_now, self.names_synced):
            for path in [path for path in names if path.parts[:-1] == folder.parts]:
                if path in self.names_now:
                    self.names_synced[path] = self.names_now[path]
                else:
                    del self.names_synced[path]

    def truncate(self, file: OpenFile, size: int) -> None:
        self._count("truncate")
        inode(file).step((size, None))

    def rename(self, path: Path, to: Path) -> None:
        self._count("rename")
        self.names_now[to] = self.names_now.pop(path)

    def unlink(self, path: Path) -> None:
        self._count("unlink")
        del self.names_now[path]

    def lock(self, file: OpenFile) -> bool:
        return True

    # ---- what is there afterwards

    def after_kill(self) -> Self:
        """The process died, the machine did not: the same disk, and all that was written."""
        self.cut_at = None
        return self

    def after_power_cut(self, chance: random.Random | None) -> SimulatedDisk:
        """Without chance, all that was not synced is gone; with it, any of it may be there, in pieces."""
        disk = SimulatedDisk()
        paths = {*self.names_now, *self.names_synced}
        for path in sorted(paths):
            synced, now = self.names_synced.get(path), self.names_now.get(path)
            node = synced if chance is None or chance.random() < 0.5 else now
            if node is not None:
                disk.names_now[path] = disk.names_synced[path] = survivor(node, chance)
        return disk

    def holds(self, secret: bytes) -> bool:
        """Whether some file has these bytes in it."""
        return any(secret in node.now for node in self.names_now.values())


def inode(file: OpenFile) -> Inode:
    assert isinstance(file, Handle)
    return file.inode


def survivor(node: Inode, chance: random.Random | None) -> Inode:
    content = bytearray(node.synced)
    for offset, data in node.steps if chance else ():
        assert chance
        if data is None:
            if chance.random() < 0.5:
                apply(content, (offset, None))
            continue
        for start in range(-(offset % SECTOR), len(data), SECTOR):
            first, last = max(0, start), min(len(data), start + SECTOR)
            if chance.random() < 0.5:
                apply(content, (offset + first, data[first:last]))
    return Inode(bytes(content))


FULL, BROKEN = errno.ENOSPC, errno.EIO
