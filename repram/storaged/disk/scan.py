"""Reading the log back: from head to head, past bodies, and past what is damaged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from repram.storaged.disk.entries import HEAD_MAX, MAGIC, Entry, Kind, parse
from repram.storaged.disk.files import Files
from repram.storaged.disk.log import Log, Segment

_WINDOW: Final = 256 << 10


class Found(NamedTuple):
    """An entry and where it stands."""

    entry: Entry
    segment: Segment
    offset: int

    @property
    def end(self) -> int:
        """Where the next one begins."""
        return self.offset + self.entry.full_size

    @property
    def body_at(self) -> tuple[int, int]:
        """Segment and offset of its sealed body."""
        if self.entry.kind is Kind.AMEND:
            return self.entry.body_at
        return self.segment.number, self.offset + self.entry.head_size


class Damage(NamedTuple):
    """Bytes of the log that make no sense."""

    segment: Segment
    start: int
    end: int

    def ends_the_log(self, log: Log) -> bool:
        """Whether nothing follows, as after a write that was cut short."""
        return self.segment.number == log.active and self.end == self.segment.size


def entries_of(files: Files, segment: Segment, store_id: bytes) -> Iterator[Found | Damage]:
    """All that a segment holds, in order."""
    window = _Window(files, segment)
    offset = 0
    while offset < segment.size:
        entry = parse(window.at(offset), store_id)
        if entry is not None and offset + entry.full_size <= segment.size:
            found = Found(entry, segment, offset)
            yield found
            offset = found.end
        else:
            start, offset = offset, _next_entry(window, offset + 1, segment.size, store_id)
            yield Damage(segment, start, offset)


def _next_entry(window: _Window, offset: int, size: int, store_id: bytes) -> int:
    """Where the next whole entry begins; the end, if there is none."""
    while offset < size:
        ahead = bytes(window.at(offset))
        place = ahead.find(MAGIC)
        if place < 0:
            offset += max(1, len(ahead) - len(MAGIC) + 1)
            continue
        offset += place
        entry = parse(window.at(offset), store_id)
        if entry is not None and offset + entry.full_size <= size:
            return offset
        offset += 1
    return size


class _Window:
    """A part of a segment in memory, for heads are small and often close to each other."""

    def __init__(self, files: Files, segment: Segment) -> None:
        self._files = files
        self._segment = segment
        self._bytes = bytearray(_WINDOW)
        self._start = 0
        self._count = 0

    def at(self, offset: int) -> memoryview:
        """At least a whole head from here on, or all that there is."""
        have = self._start + self._count - offset
        if offset < self._start or have < min(HEAD_MAX, self._segment.size - offset):
            self._start = offset
            self._count = self._files.read_into(self._segment.file, self._bytes, offset)
        first = offset - self._start
        return memoryview(self._bytes)[first : min(self._count, first + HEAD_MAX)]
