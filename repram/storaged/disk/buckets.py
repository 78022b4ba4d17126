"""The keys of buckets, in memory and in the ring, and which of them have to be destroyed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from repram.storaged.disk.arena import Arena
from repram.storaged.disk.entries import Pair
from repram.storaged.disk.place import Place
from repram.storaged.disk.ring import BUCKET, Cell, Ring

Draw: TypeAlias = Callable[[memoryview], None]
GATHER: Final = (
    20_000  # milliseconds in which what ended early is gathered before buckets are renewed
)


class Bucket:
    """15 seconds of deadlines: its keys by generation, of which the last is in use, and whom they serve."""

    __slots__ = ("cells", "members", "number", "slots")

    def __init__(self, number: int) -> None:
        self.number = number
        self.cells: dict[int, Cell] = {}
        self.slots: dict[int, int] = {}
        self.members: dict[Place, None] = {}

    @property
    def pair(self) -> Pair:
        """The key that wraps from now on."""
        return Pair(self.number, max(self.cells))

    @property
    def half_renewed(self) -> bool:
        """Whether an old key is still there beside the one that took its place."""
        return len(self.cells) > 1


class Buckets:
    """Makes, renews and destroys bucket keys. Nothing is sure before `sync`."""

    def __init__(self, ring: Ring, arena: Arena, draw: Draw) -> None:
        self._ring = ring
        self._arena = arena
        self._draw = draw
        self._by_number: dict[int, Bucket] = {}
        self._unsynced: dict[
            int, tuple[Cell, int] | None
        ] = {}  # by cell: what it holds; None: erased
        self.doomed: dict[Pair, int] = {}  # keys that still open something ended, and since when
        self.shredded = 0  # keys destroyed since the start

    def load(self) -> int:
        """Take up what the ring holds; the greatest generation in it."""
        scratch = self._arena.take()
        greatest = 0
        for cell in self._ring.cells(self._arena.key(scratch)):
            slot = self._arena.take()
            self._arena.key(slot)[:] = self._arena.key(scratch)
            self._enter(cell, slot)
            greatest = max(greatest, cell.pair.generation)
        self._arena.give_back(scratch)
        return greatest

    def key(self, pair: Pair) -> memoryview | None:
        """The key itself, unless it has been destroyed."""
        bucket = self._by_number.get(pair.bucket)
        slot = bucket.slots.get(pair.generation) if bucket else None
        return None if slot is None else self._arena.key(slot)

    def alive(self, pairs: Iterable[Pair]) -> tuple[Pair, ...]:
        """Those whose key has not been destroyed."""
        return tuple(pair for pair in pairs if self.key(pair) is not None)

    def current(self, number: int, generation: int) -> tuple[Pair, memoryview]:
        """The key that a bucket wraps under; if it has none, it gets one of this generation."""
        bucket = self._by_number.get(number)
        if bucket is None:
            bucket = self._make(number, generation, None)
        return bucket.pair, self._arena.key(bucket.slots[bucket.pair.generation])

    def since(self, number: int, first: int, generation: int) -> tuple[Pair, memoryview]:
        """The key of a bucket that is of generation `first` or later. If it has none, it gets one of
        `generation`, beside the one from before."""
        bucket = self._by_number.get(number)
        if bucket is None or bucket.pair.generation < first:
            bucket = self._make(number, generation, bucket)
        return bucket.pair, self._arena.key(bucket.slots[bucket.pair.generation])

    def has(self, number: int) -> bool:
        """Whether a bucket has a key."""
        return number in self._by_number

    def destroy(self, numbers: Iterable[int]) -> None:
        """Destroy all keys of these buckets."""
        for number in numbers:
            if bucket := self._by_number.get(number):
                self._erase(bucket, list(bucket.cells))

    def destroy_unless(self, wanted: Callable[[int], bool]) -> None:
        """Destroy the keys of all generations but those."""
        for bucket in list(self._by_number.values()):
            self._erase(bucket, [each for each in bucket.cells if not wanted(each)])

    def join(self, place: Place) -> None:
        """A fact is wrapped by the key of its bucket."""
        if bucket := self._by_number.get(place.bucket):
            bucket.members[place] = None

    def leave(self, place: Place) -> None:
        """It is no longer."""
        if bucket := self._by_number.get(place.bucket):
            bucket.members.pop(place, None)

    def doom(self, pairs: Iterable[Pair], now: int) -> None:
        """These keys open something that has ended."""
        for pair in self.alive(pairs):
            self.doomed.setdefault(pair, now)

    def due(self, now: int) -> list[Bucket]:
        """Buckets with a key that has been doomed for long enough, or that were being renewed."""
        numbers = {
            pair.bucket for pair, since in self.doomed.items() if not 0 <= now - since < GATHER
        }
        numbers.update(b.number for b in self._by_number.values() if b.half_renewed)
        return [self._by_number[number] for number in sorted(numbers)]

    def renew(self, bucket: Bucket, generation: int) -> None:
        """Give it a new key beside the doomed one; or none, when it serves nobody any more."""
        if not bucket.members:
            self._erase(bucket, list(bucket.cells))
        elif bucket.pair in self.doomed and not bucket.half_renewed:
            self._make(bucket.number, generation, bucket)

    def retire(self, bucket: Bucket) -> None:
        """Destroy all its keys but the one in use."""
        self._erase(bucket, sorted(bucket.cells)[:-1])

    def take_overdue(self, now: int) -> list[Bucket]:
        """Destroy the keys of the buckets whose time is over."""
        over = [
            bucket for bucket in self._by_number.values() if (bucket.number + 1) * BUCKET <= now
        ]
        for bucket in over:
            self._erase(bucket, list(bucket.cells))
        return over

    def sync(self) -> None:
        """What was made and destroyed stays so across a power cut."""
        if not self._unsynced:
            return
        # Written again until it succeeds: a kernel that once failed to sync a page takes it for clean.
        for position, content in self._unsynced.items():
            if content is None:
                self._ring.erase(position)
            else:
                self._ring.write(content[0], self._arena.key(content[1]))
        self._ring.sync()
        self._unsynced.clear()

    def _make(self, number: int, generation: int, bucket: Bucket | None) -> Bucket:
        before = self._by_number.get(number - self._ring.slots)
        if before is not None:
            self._erase(before, list(before.cells))  # it stands where this one belongs
        slot = self._arena.take()
        self._draw(self._arena.key(slot))
        pair = Pair(number, generation)
        beside = bucket.cells[bucket.pair.generation] if bucket else None
        cell = self._ring.cell_of(pair, beside)
        self._unsynced[cell.position] = (cell, slot)
        return self._enter(cell, slot)

    def _enter(self, cell: Cell, slot: int) -> Bucket:
        bucket = self._by_number.setdefault(cell.pair.bucket, Bucket(cell.pair.bucket))
        bucket.cells[cell.pair.generation] = cell
        bucket.slots[cell.pair.generation] = slot
        return bucket

    def _erase(self, bucket: Bucket, generations: list[int]) -> None:
        """In memory at once; on disk when `sync` succeeds, however often that takes."""
        for generation in generations:
            cell = bucket.cells.pop(generation)
            self._arena.give_back(bucket.slots.pop(generation))
            self.doomed.pop(cell.pair, None)
            self.shredded += 1
            self._unsynced[cell.position] = None
        if not bucket.cells:
            del self._by_number[bucket.number]
