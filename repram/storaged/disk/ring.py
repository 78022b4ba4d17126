"""The ring of bucket keys: a file of fixed size, overwritten in place: a key is destroyed where it stands.

A bucket is 15 seconds of deadlines and has two cells: while it is given a new key, both are valid, and no
crash in between loses what either wraps.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from blake3 import blake3

from repram.crypto import atrest
from repram.crypto.xchacha import KEY_SIZE, TAG_SIZE
from repram.storaged.disk.entries import NUMBER_MAX, Pair
from repram.storaged.disk.files import Files, OpenFile

BUCKET: Final = 15_000  # milliseconds of deadlines under one key
SLOTS: Final = (
    31 * 24 * 3_600_000 // BUCKET
)  # the longest lease, and a day for clocks and what ends late
_HEADER_SIZE: Final = 4096
_HEADER: Final = struct.Struct(">8sQ")
_MAGIC: Final = b"rpring\x00\x01"
_NAMES: Final = struct.Struct(">QQ")  # bucket and generation
_CELL_SIZE: Final = _NAMES.size + KEY_SIZE + TAG_SIZE
_WINDOW: Final = 1024 * _CELL_SIZE
_NOTHING: Final = bytes(_CELL_SIZE)
_BUCKETS: Final = 1 << 32  # so many have a name in the log


class Cell(NamedTuple):
    """Where a key stands in the ring."""

    position: int
    pair: Pair


class Ring:
    """Keys in cells; in memory it keeps none."""

    def __init__(self, files: Files, file: OpenFile, slots: int) -> None:
        self._files = files
        self._file = file
        self.slots = slots

    @classmethod
    def open(cls, files: Files, path: Path, store_id: bytes, slots: int) -> tuple[Ring, bool]:
        """The ring of this store, and whether it is a new one, because there was none."""
        header = _header(store_id, slots)
        files.make_folder(path.parent)
        if path.name in files.names(path.parent):
            file = files.open(path)
            found = bytearray(len(header))
            files.read_into(file, found, 0)
            if found == header and files.size(file) == _size(slots):
                files.sync(file)  # whoever wrote to it last may have been killed before it could
                files.sync_folder(path.parent)
                return cls(files, file, slots), False
        file = files.open(path, create=True)
        files.write(file, [header, bytes(_size(slots) - len(header))], 0)
        files.sync_folder(path.parent)  # the file itself is synced with its first key
        return cls(files, file, slots), True

    def cells(self, into: memoryview) -> Iterator[Cell]:
        """Every valid cell; while one is handed out, its key stands in `into`."""
        window = bytearray(_WINDOW)
        nothing = bytes(_WINDOW)
        for start in range(0, self.slots * 2 * _CELL_SIZE, _WINDOW):
            count = self._files.read_into(self._file, window, _HEADER_SIZE + start)
            if window == nothing:
                continue
            for offset in range(0, count, _CELL_SIZE):
                cell = _read(memoryview(window)[offset : offset + _CELL_SIZE])
                index = (start + offset) // _CELL_SIZE
                if cell is not None and index // 2 == cell.bucket % self.slots:
                    into[:] = memoryview(window)[offset + _NAMES.size :][:KEY_SIZE]
                    yield Cell(index, cell)
            window[:] = nothing

    def reaches(self, until: int, now: int) -> bool:
        """Whether there is a cell for this time while the present and the near past have theirs."""
        return until // BUCKET < now // BUCKET + self.slots - 4

    def cell_of(self, pair: Pair, beside: Cell | None) -> Cell:
        """Where a key belongs: not over the one `beside`, which is still in use."""
        first = pair.bucket % self.slots * 2
        return Cell(first + (beside is not None and beside.position == first), pair)

    def write(self, cell: Cell, key: memoryview) -> None:
        """Put a key into its cell."""
        content = bytearray(_CELL_SIZE)
        names = _NAMES.pack(*cell.pair)
        content[: _NAMES.size] = names
        memoryview(content)[_NAMES.size :][:KEY_SIZE] = key
        content[-TAG_SIZE:] = atrest.check_of(key, names)
        try:
            self._files.write(self._file, [content], _offset(cell.position))
        finally:
            content[:] = _NOTHING

    def erase(self, position: int) -> None:
        """Overwrite a cell; its key is destroyed once this has been synced."""
        self._files.write(self._file, [_NOTHING], _offset(position))

    def sync(self) -> None:
        """What was written and erased stays so across a power cut."""
        self._files.sync(self._file)


def _read(content: memoryview) -> Pair | None:
    if content == _NOTHING:
        return None
    key = content[_NAMES.size :][:KEY_SIZE]
    if atrest.check_of(key, bytes(content[: _NAMES.size])) != content[-TAG_SIZE:]:
        return None
    pair = Pair(*_NAMES.unpack_from(content))
    return pair if pair.bucket < _BUCKETS and pair.generation <= NUMBER_MAX else None


def _header(store_id: bytes, slots: int) -> bytes:
    names = _HEADER.pack(_MAGIC, slots)
    return (names + blake3(names, key=store_id).digest()).ljust(_HEADER_SIZE, b"\x00")


def _size(slots: int) -> int:
    return _HEADER_SIZE + slots * 2 * _CELL_SIZE


def _offset(position: int) -> int:
    return _HEADER_SIZE + position * _CELL_SIZE
