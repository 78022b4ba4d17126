"""The log: segments to which entries are appended, and what of each is still needed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from repram.storaged.disk.entries import Pair, sealed_size
from repram.storaged.disk.files import Files, OpenFile
from repram.storaged.disk.place import Place
from repram.storaged.tier import Bytes

SEGMENT_SIZE: Final = 64 << 20
_AT_ONCE: Final = 4 << 20  # bytes that are gathered before they are written
_NAME: Final = re.compile(r"([0-9]{8})\.seg")


class Segment:
    """One file of the log; it knows who needs it."""

    __slots__ = ("file", "live", "needed_by", "number", "owed", "size")

    def __init__(self, number: int, file: OpenFile, size: int) -> None:
        self.number = number
        self.file = file
        self.size = size
        self.live = 0  # bytes that someone needs
        self.needed_by: dict[Place, int] = {}
        self.owed: set[Pair] = (
            set()
        )  # keys whose end entries here ask for; until then it has to stay

    def need(self, place: Place, size: int) -> None:
        """So many bytes here belong to a place."""
        self.live += size
        self.needed_by[place] = self.needed_by.get(place, 0) + size

    def let_go(self, place: Place) -> None:
        """Nothing here belongs to it any more."""
        self.live -= self.needed_by.pop(place, 0)


class Log:
    """Appends; what was appended since the last `sync` can be cut off again."""

    def __init__(self, files: Files, folder: Path, segment_size: int) -> None:
        self._files = files
        self._folder = folder
        self._segment_size = segment_size
        self.segments: dict[int, Segment] = {}
        self._parts: list[Bytes] = []
        self._gathered = 0
        self._broken = False
        self._new_names = False
        self._ended: int | None = None  # the number of a segment that takes no more
        files.make_folder(folder)
        for name in files.names(folder):
            if match := _NAME.fullmatch(name):
                file = files.open(folder / name)
                self.segments[int(match[1])] = Segment(int(match[1]), file, files.size(file))
        self._sure = self._end()

    def begin(self) -> None:
        """Before anything is appended: cut off what a failure left behind, and remember the end."""
        if self._broken:
            self._cut_back()
            self._broken = False
        self._sure = self._end()

    def append(self, head: bytes, body: Bytes | None) -> tuple[Segment, int]:
        """Where the entry begins."""
        segment = self._with_room()
        offset = segment.size
        parts = (head,) if body is None else (head, body)
        size = sum(map(len, parts))
        self._parts.extend(parts)
        self._gathered += size
        segment.size += size
        if self._gathered >= _AT_ONCE:
            self._write_out()
        return segment, offset

    def sync(self) -> None:
        """All that was appended survives a power cut when this returns."""
        if not self.segments:
            return
        self._write_out()
        self._files.sync(self.segments[self.active].file)
        if self._new_names:
            self._files.sync_folder(self._folder)
            self._new_names = False
        self._sure = self._end()

    def give_up(self) -> None:
        """Something could not be written: all since `begin` is void."""
        self._parts, self._gathered = [], 0
        self._broken = True

    def remove(self, segment: Segment) -> None:
        """Nobody needs it any more."""
        del self.segments[segment.number]
        self._files.unlink(segment.file.path)

    @property
    def active(self) -> int:
        """The number of the segment that is appended to."""
        return max(self.segments, default=0)

    def make_sure(self) -> None:
        """At the start: sync what a process that was killed did not. All segments but the last one are, for
        each was before the next one was made."""
        self._new_names = True
        self.sync()

    def cut_tail(self, segment: Segment, size: int) -> None:
        """Cut off what a crash left half-written."""
        self._files.truncate(segment.file, size)
        segment.size = size

    def begin_another(self) -> None:
        """What comes next begins a new segment. Behind damage it could fill up what was too short for the
        entry that it seems to be, and vanish in it."""
        self._ended = self.active

    def _end(self) -> tuple[int, int]:
        last = self.segments.get(self.active)
        return self.active, last.size if last else 0

    def _with_room(self) -> Segment:
        last = self.segments.get(self.active)
        if last is not None and last.size < self._segment_size and last.number != self._ended:
            return last
        if last is not None:
            self._write_out()
            self._files.sync(last.file)
        number = self.active + 1
        file = self._files.open(self._folder / f"{number:08}.seg", create=True)
        self._new_names = True
        self.segments[number] = Segment(number, file, 0)
        return self.segments[number]

    def _write_out(self) -> None:
        if self._parts:
            last = self.segments[self.active]
            self._files.write(last.file, self._parts, last.size - self._gathered)
            self._parts, self._gathered = [], 0

    def _cut_back(self) -> None:
        number, size = self._sure
        for later in sorted((n for n in self.segments if n > number), reverse=True):
            self.remove(self.segments[later])
            self._new_names = True  # or what was refused would come back behind what came after it
        if segment := self.segments.get(number):
            self._files.truncate(segment.file, size)
            segment.size = size


def need(place: Place) -> None:
    """Enter a place where its head and its body stand."""
    if place.head is not None:
        place.head.need(place, place.head_size)
    if place.at is not None:
        place.at[0].need(place, sealed_size(place.size))


def let_go(place: Place) -> None:
    """The other way round."""
    if place.head is not None:
        place.head.let_go(place)
    if place.at is not None:
        place.at[0].let_go(place)
