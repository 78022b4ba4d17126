"""Files and folders as one stream: looked at once to know how much there is, then read once."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Final

from repram.content.chunker import Joined
from repram.content.entries import (
    MAX_DEPTH,
    MAX_MODE,
    MAX_PATH,
    Entry,
    Kind,
    LeftOut,
    leads_out,
)
from repram.content.folders import names_in
from repram.content.names import shown
from repram.errors import Changed, UsageError

_PIECE: Final = 1 << 18
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK  # a fifo would block
_KINDS: Final = tuple(Kind)
# Kind, depth, mode, time, size, and the lengths of name and target, which follow: what a million entries
# take is what this takes of each.
_NOTE: Final = struct.Struct(">BHHqQHH")


class Pack:
    """A Source of everything under `paths`, links not followed but for the paths themselves.

    What does not travel stands in `left_out`. What changes before it has been read raises Changed.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.size = 0  # of the whole stream
        self.entries = 0
        self.left_out: list[LeftOut] = []
        self._notes = bytearray()
        self._roots = _named(paths)
        for name, path in self._roots.items():
            self._look(name, [], os.fsencode(path), None)
        if not self.entries:
            raise UsageError("there is nothing to upload: nothing of it is a file, folder or link")
        self._pieces = self._stream()
        self._joined = Joined(self._pieces)

    @property
    def roots(self) -> tuple[str, ...]:
        """What lies in no folder, as it is called at the other end."""
        return tuple(os.fsdecode(name) for name in self._roots)

    def read(self, limit: int, /) -> bytes:
        """The next bytes: as many as asked for, but at the end."""
        return self._joined.read(limit)

    def close(self) -> None:
        """Close what is open; what was not read is not read any more."""
        self._pieces.close()

    # ---- looking ----

    def _look(self, name: bytes, above: list[bytes], where: bytes, folder: int | None) -> None:
        """Note an entry and what lies in it; `where` is its name in `folder`, or a root's path."""
        parts = [*above, name]
        path = b"/".join(parts)
        if len(parts) > MAX_DEPTH or len(path) >= MAX_PATH:
            self.left_out.append(LeftOut(path, "it lies too deep in folders"))
            return
        try:
            self._note(parts, where, folder)
        except OSError as error:
            self.left_out.append(LeftOut(path, f"cannot be read: {error.strerror}"))

    def _note(self, parts: list[bytes], where: bytes, folder: int | None) -> None:
        path, status = (
            b"/".join(parts),
            os.stat(where, dir_fd=folder, follow_symlinks=folder is None),
        )
        if stat.S_ISDIR(status.st_mode):
            opened = os.open(where, _FOLDER | _nofollow(folder), dir_fd=folder)
            try:
                self._add(Kind.FOLDER, parts, status)
                for name in sorted(names_in(opened)):
                    self._look(name, parts, name, opened)
            finally:
                os.close(opened)
        elif stat.S_ISREG(status.st_mode):
            if not os.access(where, os.R_OK, dir_fd=folder, effective_ids=True):
                raise PermissionError(13, "Permission denied")
            self._add(Kind.FILE, parts, status)
        elif stat.S_ISLNK(status.st_mode):
            target = os.readlink(where, dir_fd=folder)
            if leads_out(path, target):
                self.left_out.append(LeftOut(path, "it is a link that leads out of the folder"))
            else:
                self._add(Kind.LINK, parts, status, target)
        else:
            self.left_out.append(LeftOut(path, "it is a device, pipe or socket"))

    def _add(
        self, kind: Kind, parts: list[bytes], status: os.stat_result, target: bytes = b""
    ) -> None:
        size = status.st_size if kind is Kind.FILE else 0
        mode, depth = status.st_mode & MAX_MODE, len(parts) - 1
        note = (_KINDS.index(kind), depth, mode, status.st_mtime_ns, size)
        self._notes += _NOTE.pack(*note, len(parts[-1]), len(target)) + parts[-1] + target
        header = Entry(kind, b"/".join(parts), mode, status.st_mtime_ns, size, target).encode()
        self.size += len(header) + size
        self.entries += 1

    # ---- reading ----

    def _noted(self) -> Iterator[Entry]:
        at, parts = 0, list[bytes]()
        while at < len(self._notes):
            kind, depth, mode, modified, size, name, target = _NOTE.unpack_from(self._notes, at)
            middle = at + _NOTE.size + name
            del parts[depth:]
            parts.append(bytes(self._notes[middle - name : middle]))
            at = middle + target
            link = bytes(self._notes[middle:at])
            yield Entry(_KINDS[kind], b"/".join(parts), mode, modified, size, link)

    def _stream(self) -> Generator[bytes]:
        folders: list[int] = []
        try:
            for entry in self._noted():
                yield entry.encode()
                above, _, name = entry.path.rpartition(b"/")
                depth = above.count(b"/") + 1 if above else 0
                while len(folders) > depth:
                    os.close(folders.pop())
                folder = folders[-1] if folders else None
                where = name if folders else os.fsencode(self._roots[name])
                if entry.kind == Kind.FOLDER:
                    folders.append(_open(entry, where, folder, _FOLDER))
                elif entry.kind == Kind.FILE:
                    yield from _content(entry, where, folder)
        finally:
            for opened in folders:
                os.close(opened)


def _named(paths: Sequence[Path]) -> dict[bytes, Path]:
    """The roots by their names, in the order in which entries come."""
    roots: dict[bytes, Path] = {}
    for path in paths:
        name = os.fsencode(os.path.basename(os.path.abspath(path)))  # noqa: PTH100, PTH119  # `..` goes, links stay
        if not name:
            raise UsageError("the whole of a machine is not uploaded", hint="Name a folder in it.")
        if name in roots:
            raise UsageError(
                f"two of what is to be uploaded are called {shown(os.fsdecode(name))}",
                hint="Upload them one by one, or the folder that they lie in.",
            )
        if not path.exists():
            raise UsageError(f"{shown(str(path))} is not there", hint="Check the path.")
        roots[name] = path
    return dict(sorted(roots.items()))


def _nofollow(folder: int | None) -> int:
    """Only a path that somebody named is followed when it is a link."""
    return 0 if folder is None else os.O_NOFOLLOW


def _open(entry: Entry, where: bytes, folder: int | None, flags: int) -> int:
    try:
        return os.open(where, flags | _nofollow(folder), dir_fd=folder)
    except OSError as error:
        raise _changed(entry, error.strerror) from None


def _content(entry: Entry, where: bytes, folder: int | None) -> Iterator[bytes]:
    """Exactly the bytes that the header announces, or Changed."""
    opened = _open(entry, where, folder, _FILE)
    try:
        _check_same(entry, opened)
        missing = entry.size
        while missing:
            piece = os.read(opened, min(_PIECE, missing))
            if not piece:
                raise _changed(entry, "it is shorter now")
            yield piece
            missing -= len(piece)
        _check_same(entry, opened)
    finally:
        os.close(opened)


def _check_same(entry: Entry, opened: int) -> None:
    status = os.fstat(opened)
    now = (stat.S_ISREG(status.st_mode), status.st_size, status.st_mtime_ns)
    if now != (True, entry.size, entry.modified):
        raise _changed(entry, "it was written to")


def _changed(entry: Entry, why: str | None) -> Changed:
    return Changed(f"{shown(os.fsdecode(entry.path))} changed while it was being uploaded: {why}")
