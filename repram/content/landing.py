"""Where a download becomes files: out of sight until all of it has verified, then there at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeAlias

from repram.content.appear import appear, check_free, sync_all
from repram.content.chunker import Joined, Source
from repram.content.entries import LeftOut
from repram.content.head import Head, Kind
from repram.content.part import Part, about
from repram.content.unpack import Unpack, restrict
from repram.crypto.xchacha import Bytes
from repram.errors import IntegrityFailure, LocalError

_PIECE: Final = 1 << 18
_CONTENT: Final = b"content"
_TREE: Final = b"tree"
_OUR_FILE: Final = 0o600


def folder_for(output: Path | None) -> Path:
    """Where a download gathers: the folder that it is to be in, whatever the link leads to."""
    if output is None:
        return Path()
    return output if output.is_dir() else output.parent


class FileLanding:
    """One file. `have` and `go_on` take up an earlier attempt; `commit` names it."""

    def __init__(self, part: Part, head: Head, named: Path | None, *, overwrite: bool) -> None:
        self.refused: list[LeftOut] = []  # as of a tree
        self.hostile = False
        self._part = part
        self._head = head
        self._target = named or part.folder / head.name  # `head.decode` has checked that it is one
        self._overwrite = overwrite
        self._fd = -1

    def __enter__(self) -> Self:
        if not self._overwrite:
            check_free(self._target)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        with about(self._target):
            self._fd = os.open(_CONTENT, flags, self._head.mode | _OUR_FILE, dir_fd=self._part.fd)
        return self

    def have(self) -> Source:
        """The content as far as an earlier attempt got; it has not been verified."""
        return Joined(self._had())

    def go_on(self, at: int) -> None:
        """Drop what is there behind the first `at` bytes; `write` goes on from there."""
        with about(self._target):
            os.ftruncate(self._fd, at)
            os.lseek(self._fd, at, os.SEEK_SET)

    def write(self, data: Bytes) -> None:
        """The next bytes; a full disk is an error that names the file."""
        rest = memoryview(data)
        with about(self._target):
            while rest:
                rest = rest[os.write(self._fd, rest) :]

    def commit(self) -> tuple[Path, ...]:
        """Make everything durable, then let the file appear under its name."""
        if os.fstat(self._fd).st_size != self._head.size:
            raise IntegrityFailure("the file is not as long as its head says")
        with about(self._target):
            restrict(_CONTENT, self._part.fd, self._head.mode)
            os.utime(self._fd, ns=(self._head.modified, self._head.modified))
            os.fsync(self._fd)
            appear(_CONTENT, self._part.fd, self._target, overwrite=self._overwrite)
            _fsync_folder(self._target.parent)
        return (self._target,)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def _had(self) -> Iterator[bytes]:
        at = 0
        while piece := os.pread(self._fd, _PIECE, at):
            at += len(piece)
            yield piece


class TreeLanding:
    """Files and folders. One root can be given another name; several can be put into a new folder."""

    def __init__(self, part: Part, head: Head, named: Path | None, *, overwrite: bool) -> None:
        self._part = part
        self._head = head
        self._named = named
        self._about = named or part.folder
        self._overwrite = overwrite
        self._unpack: Unpack | None = None

    def __enter__(self) -> Self:
        if not self._overwrite and (self._named or self._head.roots == 1):
            check_free(self._named or self._part.folder / self._head.name)
        with about(self._about):
            self._unpack = Unpack(self._part.fd, _TREE, self._check_root)
        return self

    @property
    def refused(self) -> list[LeftOut]:
        """What may not be made here; no more than some of it when it is very much."""
        return self._unpacking.refused

    @property
    def hostile(self) -> bool:
        """Whether some of that is what no honest sender writes."""
        return self._unpacking.hostile

    def have(self) -> Source:
        """The stream as far as an earlier attempt got; it has not been verified."""
        return self._unpacking.have()

    def go_on(self, at: int) -> None:
        """Drop what is there behind the first `at` bytes of the stream; `write` goes on from there."""
        with about(self._about):
            self._unpacking.go_on(at)

    def write(self, data: Bytes) -> None:
        """The next bytes of the stream; a full disk is an error that names the place."""
        with about(self._about):
            self._unpacking.feed(data)

    def commit(self) -> tuple[Path, ...]:
        """Make everything durable, then let it appear root by root."""
        unpack = self._unpacking
        if (unpack.seen, unpack.seen_roots) != (self._head.entries, self._head.roots):
            raise IntegrityFailure("the tree has not as many entries as its head says")
        if not unpack.roots:
            raise IntegrityFailure(f"nothing of this may be made here: it {unpack.refused[0].why}")
        with about(self._about):
            unpack.finish()
            sync_all(self._part.fd)
            places = self._place()
            _fsync_folder(places[0].parent)
        return places

    def _place(self) -> tuple[Path, ...]:
        roots = self._unpacking.roots
        if self._named is not None and self._head.roots > 1:
            for name, entry in roots.items():
                restrict(name, self._unpacking.tree, entry.mode)
            appear(_TREE, self._part.fd, self._named, overwrite=self._overwrite)
            return (self._named,)
        for name, entry in roots.items():
            target = self._target(name)
            appear(_TREE + b"/" + name, self._part.fd, target, overwrite=self._overwrite)
            restrict(
                os.fsencode(target), None, entry.mode
            )  # who may not write to it, may not move it
        return tuple(map(self._target, roots))

    def _target(self, root: bytes) -> Path:
        return self._named or self._part.folder / os.fsdecode(root)

    def _check_root(self, name: bytes) -> None:
        if not self._overwrite:
            check_free(self._target(name))

    @property
    def _unpacking(self) -> Unpack:
        if self._unpack is None:
            raise LocalError("a landing is entered first")
        return self._unpack

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._unpack is not None:
            self._unpack.close()


Landing: TypeAlias = FileLanding | TreeLanding


def landing_for(part: Part, head: Head, output: Path | None, *, overwrite: bool = False) -> Landing:
    """The way in for what the head announces: as `output`, or under its own name in that folder."""
    named = None if output is None or output.is_dir() else output
    if head.kind is Kind.FILE:
        return FileLanding(part, head, named, overwrite=overwrite)
    return TreeLanding(part, head, named, overwrite=overwrite)


def _fsync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
