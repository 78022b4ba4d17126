"""What happens in the disk tier's one thread: groups of changes, keys destroyed, segments reclaimed."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from enum import Enum, auto
from itertools import count, islice
from pathlib import Path
from typing import Final, NamedTuple

from repram.crypto import atrest
from repram.errors import LocalError, RepramError
from repram.storaged.disk.arena import NO_SLOT, Arena
from repram.storaged.disk.buckets import Bucket, Buckets, Draw
from repram.storaged.disk.entries import FORMER_MAX, Entry, Kind, Pair, bound_to, pack, sealed_size
from repram.storaged.disk.files import Files, told
from repram.storaged.disk.log import Log, Segment, let_go, need
from repram.storaged.disk.place import Place
from repram.storaged.tier import Bytes

SLICE: Final = 1000  # facts that are handled before others have a turn
_CARRIED: Final = 8 << 20  # bytes that a slice moves at most


class Ask(Enum):
    """What the event loop asks for."""

    PUT = auto()
    AMEND = auto()
    DROP = auto()


class Change(NamedTuple):
    """One thing asked for: about a place, which takes over from an old one."""

    ask: Ask
    place: Place
    old: Place | None


class Written(NamedTuple):
    """Where something will stand once the group is synced."""

    place: Place
    head: Segment
    head_size: int
    at: tuple[Segment, int] | None
    pair: Pair
    former: tuple[Pair, ...]


class Writer:
    """All of it runs in one thread, so nothing here is locked."""

    def __init__(
        self,
        files: Files,
        folder: Path,
        *,
        log: Log,
        buckets: Buckets,
        arena: Arena,
        draw: Draw,
        store_id: bytes,
    ) -> None:
        self._files = files
        self._folder = folder
        self.unreadable = 0  # entries of the log that could not be taken up at the start
        self.log = log
        self.buckets = buckets
        self.arena = arena
        self._draw = draw
        self.store_id = store_id
        self.number = 0
        self.now = 0
        self.released: deque[Place] = deque()
        self._group = 0
        self._taken: list[int] = []
        self._kills: list[tuple[int, int, Place]] = []  # a heap, by how long each is needed
        self._order = count()

    def close(self) -> None:
        """Wipe keys and let go of files."""
        self.arena.wipe()
        self.log.segments.clear()

    # ---- groups of changes

    def write(self, changes: list[Change]) -> None:
        """All of them survive a power cut when this returns; or it raises, and none has come to be."""
        if not changes:
            return
        try:
            self._begin()
            written = [self._enter(change) for change in changes]
            self._sync()
        except OSError as error:
            self._give_up()
            raise told(error, self._folder) from error
        except RepramError:  # a body that had to be read again is damaged
            self._give_up()
            raise
        self._taken.clear()
        for change, where in zip(changes, written, strict=True):
            self._agree(change, where)

    def mark(self) -> None:
        """Note that everything before has been synced: the next start need not look at it closely."""
        try:
            self._begin()
            self._append(Kind.MARK, Place(b"", b"", 0, 0, 0), None)
            self._sync()
        except OSError as error:
            self._give_up()
            raise told(error, self._folder) from error

    def _begin(self) -> None:
        self.log.begin()
        self._group = self.number + 1

    def _sync(self) -> None:
        self.buckets.sync()  # first, so that no entry is found whose key was lost
        self.log.sync()

    def _give_up(self) -> None:
        self.log.give_up()
        while self._taken:
            self.arena.give_back(self._taken.pop())

    def _enter(self, change: Change) -> Written:
        place, old = change.place, change.old
        if change.ask is Ask.DROP:
            return self._append(Kind.DROP, place, None, self._openers(old) if old else ())
        where = self._enter_fact(change.ask, place, old)
        place.at, place.generation, place.former = where.at, where.pair.generation, where.former
        return where

    def _enter_fact(self, ask: Ask, place: Place, old: Place | None) -> Written:
        if ask is Ask.PUT:
            owed = self._openers(old) if old else ()
            return self._put(place, place.pending or b"", owed)
        if old is None:
            raise LocalError("only what is there is amended")
        place.slot, place.at = old.slot, old.at
        former = self._openers(old)
        if len(former) >= FORMER_MAX:
            # Wrapped by more keys than an entry can name: it starts over with an item key of its own.
            return self._put(place, self._body_of(old), former)
        return self._append(Kind.AMEND, place, None, former)

    def _openers(self, place: Place) -> tuple[Pair, ...]:
        """The keys that open what a place's item key seals."""
        return self.buckets.alive((place.pair, *place.former))

    def _put(self, place: Place, body: Bytes, owed: tuple[Pair, ...]) -> Written:
        if not place.size:
            return self._append(Kind.PUT, place, None, owed)
        place.slot = self.arena.take()
        self._taken.append(place.slot)
        key = self.arena.key(place.slot)
        self._draw(key)
        return self._append(Kind.PUT, place, atrest.seal_body(key, body), owed)

    def _body_of(self, place: Place) -> Bytes:
        if place.pending is not None:
            return place.pending
        return atrest.open_body(self.arena.key(place.slot), self._sealed(place))

    def _sealed(self, place: Place) -> bytearray:
        sealed = bytearray(sealed_size(place.size))
        if place.at is not None:
            self._files.read_into(place.at[0].file, sealed, place.at[1])
        return sealed

    def _append(
        self, kind: Kind, place: Place, sealed: Bytes | None, former: tuple[Pair, ...] = ()
    ) -> Written:
        """Wrap the item key, if there is one, and append."""
        self.number += 1
        number, generation, wrapped = self.number, 0, b""
        size = (
            0 if place.slot == NO_SLOT else place.size
        )  # a key may have gone while this was on its way
        if kind is Kind.DROP:
            generation = place.before = place.before or number
        elif size:
            pair, key = self.buckets.current(place.bucket, number)
            generation = pair.generation
            bound = bound_to(place.key, pair)
            wrapped = bytes(atrest.wrap(key, self.arena.key(place.slot), bound))
            if kind is not Kind.PUT:
                former = tuple(one for one in dict.fromkeys(former) if one != pair)
        body_at = (place.at[0].number, place.at[1]) if place.at and kind is Kind.AMEND else (0, 0)
        entry = Entry(
            kind, place.key, place.meta, size, number,
            self._group, place.until, place.horizon, generation, body_at, wrapped, former,
        )  # fmt: skip
        head = pack(entry, self.store_id)
        segment, offset = self.log.append(head, sealed)
        if kind in (Kind.PUT, Kind.DROP):
            segment.owed.update(former)
        at = place.at if sealed is None else (segment, offset + len(head))
        still = former if kind in (Kind.COPY, Kind.AMEND) else ()
        return Written(place, segment, len(head), at, Pair(place.bucket, generation), still)

    def _agree(self, change: Change, where: Written) -> None:
        """It is written: the old place gives way to the new one."""
        place, old = change.place, change.old
        if old is not None and change.ask is Ask.AMEND and old.slot == place.slot:
            let_go(old)
            self.buckets.leave(old)
        elif old is not None:
            self._forget(old, ended=True)
        self._stand(where)
        place.pending = None
        place.instead = None
        if change.ask is Ask.DROP:
            self.hold_kill(place)

    def _stand(self, where: Written) -> None:
        place = where.place
        place.head, place.head_size = where.head, where.head_size
        need(place)
        if place.slot != NO_SLOT:
            self.buckets.join(place)

    def hold_kill(self, kill: Place) -> None:
        """Keep the entry that says something is void, for as long as what it voids might be found."""
        heapq.heappush(self._kills, (kill.horizon, next(self._order), kill))

    def _forget(self, place: Place, *, ended: bool) -> None:
        let_go(place)
        self.buckets.leave(place)
        self._lose_key(place, ended=ended)

    def _lose_key(self, place: Place, *, ended: bool) -> None:
        """Wipe an item key, and have every key destroyed that still opens it after its time."""
        if place.slot == NO_SLOT:
            return
        self.arena.give_back(place.slot)
        place.slot = NO_SLOT
        pairs = (place.pair, *place.former)
        self.buckets.doom((p for p in pairs if ended or p.bucket > place.bucket), self.now)

    # ---- once a second

    def tend(self, now: int) -> Iterator[bool]:
        """A slice of work at each step, so that changes can be written in between."""
        self.now = now
        try:
            for bucket in self.buckets.take_overdue(now):
                yield from self._members_lose_keys(bucket)
            self.buckets.sync()
            while self.released:
                for _ in range(min(SLICE, len(self.released))):
                    self._forget(self.released.popleft(), ended=False)
                yield True
            while self._kills and self._kills[0][0] <= now:
                let_go(heapq.heappop(self._kills)[2])
            yield from self.renew_doomed(self.buckets.due(now))
            yield from self._reclaim()
        except OSError as error:
            self._give_up()
            raise told(error, self._folder) from error

    def _members_lose_keys(self, bucket: Bucket) -> Iterator[bool]:
        members = iter(list(bucket.members))
        while batch := list(islice(members, SLICE)):
            for place in batch:
                self._lose_key(place, ended=False)
            yield True

    def renew_doomed(self, buckets: list[Bucket]) -> Iterator[bool]:
        """New keys for what lives in these buckets, and then no old ones."""
        if not buckets:
            return
        for bucket in buckets:
            self.number += 1
            self.buckets.renew(bucket, self.number)
        for bucket in buckets:
            if bucket.half_renewed:
                moving = (p for p in list(bucket.members) if p.slot != NO_SLOT)
                yield from self._carry(p for p in moving if p.pair != bucket.pair)
        for bucket in buckets:
            if bucket.half_renewed and all(p.pair == bucket.pair for p in bucket.members):
                self.buckets.retire(bucket)
        self.buckets.sync()
        yield True

    def _reclaim(self) -> Iterator[bool]:
        """Give back segments that nobody needs; empty those that few need."""
        for segment in list(self.log.segments.values()):
            if segment.number == self.log.active or segment.live * 2 >= segment.size:
                continue
            yield from self._carry(list(segment.needed_by), out_of=segment)
            segment.owed.intersection_update(self.buckets.doomed)
            if not segment.needed_by and not segment.owed:
                self.log.remove(segment)
                yield True

    def _carry(self, places: Iterable[Place], out_of: Segment | None = None) -> Iterator[bool]:
        """Write again, at the end of the log and under the keys of today, what is said of these places."""
        batch: list[Place] = []
        size = 0
        for place in places:
            batch.append(place)
            size += sealed_size(place.size) if place.at and place.at[0] is out_of else 0
            if len(batch) >= SLICE or size >= _CARRIED:
                self.carry_batch(batch, out_of)
                batch, size = [], 0
                yield True
        self.carry_batch(batch, out_of)
        yield True

    def carry_batch(self, places: list[Place], out_of: Segment | None) -> None:
        """One group of it."""
        still = [place for place in places if place.head and place in place.head.needed_by]
        if not still:
            return
        self._begin()
        written = [self._again(place, out_of) for place in still]
        self._sync()
        for place, where in zip(still, written, strict=True):
            let_go(place)
            place.at, place.generation, place.former = where.at, where.pair.generation, where.former
            self._stand(where)

    def _again(self, place: Place, out_of: Segment | None) -> Written:
        if place.before:
            return self._append(Kind.DROP, place, None)
        former = self._openers(place)
        if place.at is not None and place.at[0] is out_of:
            return self._append(Kind.COPY, place, self._sealed(place), former)
        return self._append(Kind.AMEND, place, None, former)
