"""A packed tree becomes files and folders again: nothing of it can reach out of the folder it is given.

Everything is opened by one name in an open folder, and never through a link, as links are made last.
What has arrived can be taken up after an interruption: beside the tree stand its headers as they came.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

from repram.content import entries
from repram.content.chunker import Joined, Source
from repram.content.entries import LENGTH, Entry, Kind, LeftOut, Order
from repram.content.folders import OURS, Folders, names_in, new_folder, remove
from repram.crypto.xchacha import Bytes
from repram.errors import IntegrityFailure

MAX_REFUSED: Final = 1_000  # that are named; a hostile tree may have any number
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_AGAIN: Final = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_OUR_FILE: Final = 0o600  # an earlier attempt's files have to open
_PIECE: Final = 1 << 18
# What a file system answers to a name that it cannot hold, or holds already: as `a` when there is `A`.
_NO_SUCH_NAME: Final = {errno.EEXIST, errno.EILSEQ, errno.EINVAL, errno.ENAMETOOLONG}


class Unpack:
    """Takes the stream of a tree piece by piece, and makes what is in it in a new folder in `folder`.

    An entry that may not be is left out and named in `refused`; all others arrive.
    """

    def __init__(self, folder: int, name: bytes, on_root: Callable[[bytes], None]) -> None:
        self.seen = 0  # entries, refused or not
        self.seen_roots = 0
        self.refused: list[LeftOut] = []
        self.hostile = False  # something was refused that no honest sender writes
        self._unmade: bytes | None = (
            None  # how paths begin in the last folder that could not be made
        )
        self._on_root = on_root
        self.roots: dict[bytes, Entry] = {}  # what has been made in no folder
        self._order = Order()
        self.tree = new_folder(name, folder, 0o777)
        self._folders = Folders(self.tree)
        headers = os.open(b"headers", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600, dir_fd=folder)
        self._headers: BinaryIO = os.fdopen(headers, "r+b")
        self._held = bytearray()  # of a header that has not come whole
        self._missing = 0  # of the content that is coming
        self._file = -1  # where it goes; nowhere when its entry was refused
        self._modified = 0

    def close(self) -> None:
        """Close everything; what has come stays."""
        if self._file >= 0:
            os.close(self._file)
        self._folders.go_to([])
        self._headers.close()
        os.close(self.tree)

    def feed(self, data: Bytes) -> None:
        """The next bytes of the stream."""
        rest = memoryview(data)
        while rest:
            rest = self._content(rest) if self._missing else self._header(rest)
        self._headers.flush()

    def finish(self) -> None:
        """Make the links, and set modes and times of folders; roots get their modes once in place."""
        if self._held or self._missing:
            raise IntegrityFailure("the tree ends in the middle of an entry")
        above: list[Entry] = []
        for _, entry in self._kept():
            *folders, name = entry.path.split(b"/")
            while len(above) > len(folders):
                self._settle(above.pop())
            self._folders.go_to(folders)
            if entry.kind == Kind.FOLDER:
                above.append(entry)
            elif entry.kind == Kind.LINK:
                self._make_link(entry, name)
            elif ~entry.mode & _OUR_FILE:
                restrict(name, self._folders.here, entry.mode)
        while above:
            self._settle(above.pop())

    # ---- an earlier attempt ----

    def have(self) -> Source:
        """The stream as far as it has come: what is missing or longer than it should be ends it."""
        return Joined(self._had())

    def go_on(self, at: int) -> None:
        """Drop what is there behind the first `at` bytes of the stream; `feed` goes on from there."""
        position = headers = 0
        for raw, entry in self._kept():
            content = position + len(raw)
            if content > at:
                self._held += raw[: max(0, at - position)]
                break
            self._take_again(entry, min(entry.size, at - content))
            headers += len(raw)
            position = content + entry.size
        self._headers.seek(headers)
        self._headers.truncate()
        self._drop_what_follows()

    def _had(self) -> Iterator[bytes]:
        try:
            for raw, entry in self._kept():
                *folders, name = entry.path.split(b"/")
                self._folders.go_to(folders)
                yield raw
                if entry.kind == Kind.FILE:
                    yield from _content_of(entry, name, self._folders.here)
        except (OSError, IntegrityFailure):
            return  # whatever is wrong here comes again

    def _take_again(self, entry: Entry, there: int) -> None:
        """An entry that has been made, with `there` bytes of its content."""
        if self._order.refusal(entry) is not None:
            raise IntegrityFailure("what an earlier attempt has left is not what it wrote")
        *folders, name = entry.path.split(b"/")
        self._folders.go_to(folders)
        self._note(entry, name)
        self._count(entry)
        if entry.kind == Kind.FILE:
            self._file = os.open(name, _AGAIN, dir_fd=self._folders.here)
            os.ftruncate(self._file, there)
            os.lseek(self._file, there, os.SEEK_SET)
            self._expect(entry.size - there)
        elif entry.kind == Kind.LINK:
            remove(name, self._folders.here)  # links are made last

    def _drop_what_follows(self) -> None:
        """In order of names, whatever comes after the last entry that was taken again."""
        self._folders.go_to(self._order.folder)
        for depth, folder in enumerate(self._folders.all):
            bound = self._order.last[depth] if depth < len(self._order.last) else None
            for name in names_in(folder):
                if bound is None or name > bound:
                    remove(name, folder)

    def _kept(self) -> Iterator[tuple[bytes, Entry]]:
        """The headers of all that was made; one that was cut off is the end."""
        self._headers.seek(0)
        while len(length := self._headers.read(LENGTH.size)) == LENGTH.size:
            size = LENGTH.unpack(length)[0]
            encoded = self._headers.read(size)
            if len(encoded) < size:
                return
            yield length + encoded, entries.decode(encoded)

    # ---- what comes ----

    def _header(self, rest: memoryview) -> memoryview:
        held = self._held
        if len(held) < LENGTH.size:
            taken = LENGTH.size - len(held)
        else:
            taken = LENGTH.size + LENGTH.unpack_from(held)[0] - len(held)
        held += rest[:taken]
        if len(held) >= LENGTH.size and len(held) == LENGTH.size + LENGTH.unpack_from(held)[0]:
            header = bytes(held)
            held.clear()
            self._begin(entries.decode(header[LENGTH.size :]), header)
        return rest[taken:]

    def _begin(self, entry: Entry, header: bytes) -> None:
        self._count(entry)
        self._missing = entry.size
        why = self._order.refusal(entry)
        if why is not None:
            self.hostile |= self._unmade is None or not entry.path.startswith(self._unmade)
            self._refuse(entry, why)
            return
        try:
            self._make(entry)
        except OSError as error:
            if error.errno not in _NO_SUCH_NAME:
                raise
            self._unmade = entry.path + b"/"
            self._refuse(entry, f"cannot be made here: {error.strerror}")
        else:
            self._headers.write(header)

    def _refuse(self, entry: Entry, why: str) -> None:
        if len(self.refused) == MAX_REFUSED:
            why += "; and there are more, which are not named"
        if len(self.refused) <= MAX_REFUSED:
            self.refused.append(LeftOut(entry.path, why))

    def _make(self, entry: Entry) -> None:
        *folders, name = entry.path.split(b"/")
        if not folders:
            self._on_root(name)
        self._folders.go_to(folders)
        here = self._folders.here
        if entry.kind == Kind.FOLDER:
            os.mkdir(name, entry.mode | OURS, dir_fd=here)
        elif entry.kind == Kind.FILE:
            self._file = os.open(name, _NEW, entry.mode | _OUR_FILE, dir_fd=here)
        self._note(entry, name)
        if entry.kind == Kind.FILE:
            self._expect(entry.size)

    def _count(self, entry: Entry) -> None:
        self.seen += 1
        self.seen_roots += b"/" not in entry.path

    def _note(self, entry: Entry, name: bytes) -> None:
        self._order.take(entry)
        self._modified = entry.modified
        if b"/" not in entry.path:
            self.roots[name] = entry

    def _expect(self, size: int) -> None:
        """So much is still to come for the file that is open."""
        self._missing = size
        if not size:
            os.utime(self._file, ns=(self._modified, self._modified))
            os.close(self._file)
            self._file = -1

    def _content(self, rest: memoryview) -> memoryview:
        taken = rest[: self._missing]
        if self._file < 0:
            self._missing -= len(taken)  # of an entry that was refused
            return rest[len(taken) :]
        left = taken
        while left:
            left = left[os.write(self._file, left) :]
        self._expect(self._missing - len(taken))
        return rest[len(taken) :]

    # ---- what is done at the end ----

    def _make_link(self, entry: Entry, name: bytes) -> None:
        here = self._folders.here
        try:
            os.symlink(entry.target, name, dir_fd=here)
        except OSError as error:
            if error.errno not in _NO_SUCH_NAME:
                raise
            self._refuse(entry, f"cannot be made here: {error.strerror}")
        else:
            os.utime(name, ns=(entry.modified,) * 2, dir_fd=here, follow_symlinks=False)

    def _settle(self, entry: Entry) -> None:
        """A folder in which everything is."""
        *folders, name = entry.path.split(b"/")
        self._folders.go_to(folders)
        here = self._folders.here
        os.utime(name, ns=(entry.modified,) * 2, dir_fd=here, follow_symlinks=False)
        if folders:
            restrict(name, here, entry.mode)


def restrict(name: bytes, where: int | None, mode: int) -> None:
    """Take away what only its making needed: the umask has taken its part by then."""
    now = os.stat(name, dir_fd=where, follow_symlinks=False).st_mode
    if now & 0o777 & ~mode:
        os.chmod(name, now & mode, dir_fd=where)


def _content_of(entry: Entry, name: bytes, where: int) -> Iterator[bytes]:
    """What is there of a file; nothing when there is more than there should be."""
    opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=where)
    try:
        if os.fstat(opened).st_size > entry.size:
            raise IntegrityFailure("the file has grown")
        missing = entry.size
        while missing:
            piece = os.read(opened, min(_PIECE, missing))
            if not piece:
                raise IntegrityFailure("the rest has not come")
            yield piece
            missing -= len(piece)
    finally:
        os.close(opened)
