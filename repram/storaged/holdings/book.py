"""The book: every live fact of a node by its key, exact about time, over a tier that keeps them.

What a fact means is the affair of its kind (`chunks`, `records`, `feeds`, …), each with an `Entry` of its
own and a key that begins with a letter of its own. Time comes from outside.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import msgspec

from repram.errors import Full, RepramError
from repram.ids import format_size
from repram.storaged.passing import Passing
from repram.storaged.tier import Bytes, Fact, Place, Tier

INDEXED: Final = 1536  # bytes of memory that a fact takes at most whose body is elsewhere
_SPAN: Final = 100  # milliseconds that share a place in the queue
_COPIED: Final = 500  # facts that are copied before others have a turn
_COPIED_SIZE: Final = 8 << 20


class Entry(msgspec.Struct, gc=False):
    """One live fact. Not watched by the garbage collector, for there may be millions: holds no cycles."""

    key: bytes
    until: int
    size: int  # of the body
    place: Place

    def meta(self) -> bytes:
        """All that a restart needs to know of it beside key, time and body."""
        raise NotImplementedError


Read = Callable[[Fact], Entry]
Gone = Callable[[Entry], None]


class Book:
    """Facts by key. One past its time is not there, whether or not its bytes have been freed yet.

    The queue costs O(1) a fact: what is due within the same tenth of a second stands together, and only
    those spans are kept in order. A live entry stands in it at least once, no later than it is due; one
    whose time was put off is met early and moved on, so that renewing and replacing leave nothing behind.
    """

    def __init__(self, tier: Tier, capacity: int, memory: int | None = None) -> None:
        """`memory` is for a tier that keeps bodies elsewhere: two thirds for the index of what is there, the
        rest for bodies on their way."""
        self.tier = tier
        self.capacity = capacity
        self.memory = memory and memory * 2 // 3
        self.passing = Passing(memory and memory // 3)
        self.beside = 0  # bytes of what hangs on facts, as their kinds count it
        self.on_its_way = 0
        self._entries: dict[bytes, Entry] = {}
        self._settling: set[asyncio.Task[None]] = set()
        self._due: dict[int, list[bytes]] = {}  # keys by span
        self._spans: list[int] = []  # a heap
        self._kinds: dict[bytes, tuple[Read, Gone]] = {}
        self._checks: list[Callable[[int], None]] = []
        self.held: Counter[bytes] = Counter()  # entries by the letter of their kind
        self.expired = self.ended = 0  # so many were, since the start
        self.changes = 0  # of what is kept, and until when
        self.outdated: Callable[[int], None] | None = None  # see `on_outdated`

    def __len__(self) -> int:
        return len(self._entries)

    def add_kind(self, letter: bytes, read: Read, gone: Gone) -> None:
        """Facts whose key begins so are read by one function after a restart, and told to another when
        they are gone: expired, dropped or replaced."""
        self._kinds[letter] = (read, gone)

    def after_restore(self, check: Callable[[int], None]) -> None:
        """Once all is taken up again, this is told the time, and may drop what should not be there."""
        self._checks.append(check)

    def on_outdated(self, tell: Callable[[int], None]) -> None:
        """A copy made before says something else of a fact now than the book does: this is told until when
        the copy has it kept, before anyone hears of the change."""
        self.outdated = tell

    # ---- asking

    def get(self, key: bytes, now: int) -> Entry | None:
        """The live entry of that key: exactly at its time it is gone."""
        entry = self._entries.get(key)
        return entry if entry is not None and entry.until > now else None

    def latest(self, key: bytes) -> Entry | None:
        """The entry of that key, even one past its time that has not been swept yet."""
        return self._entries.get(key)

    def entries(self) -> Iterator[Entry]:
        """All of them, those past their time included until they are swept."""
        return iter(self._entries.values())

    def copied(self, now: int) -> Iterator[list[Fact]]:
        """All that lives now, a few facts at a time; in between, others may have their turn."""
        part: list[Fact] = []
        size = 0
        for entry in list(self._entries.values()):
            if entry.until <= now or self._entries.get(entry.key) is not entry:
                continue
            part.append(Fact(entry.key, entry.meta(), entry.until, entry.size, entry.place))
            size += entry.size
            if len(part) >= _COPIED or size >= _COPIED_SIZE:
                yield part
                part, size = [], 0
        yield part

    def overdue(self, since: int, *, most: int = 10_000) -> int:
        """How many entries were due by then and are still here; counted up to a number that is bad enough."""
        late: set[bytes] = set()
        ahead = [0]  # places in the heap of spans, which has the earlier ones above the later ones
        while ahead and len(late) < most:
            at = ahead.pop()
            if at < len(self._spans) and self._spans[at] * _SPAN <= since:
                late.update(
                    key
                    for key in self._due[self._spans[at]]
                    if (entry := self._entries.get(key)) is not None and entry.until <= since
                )
                ahead += (2 * at + 1, 2 * at + 2)
        return len(late)

    @property
    def used(self) -> int:
        """Bytes that are taken, those on their way included."""
        return self.tier.used + self.on_its_way + self.beside

    @property
    def indexed(self) -> int:
        """Bytes of memory that facts take, their bodies not included."""
        return len(self._entries) * INDEXED + self.beside

    # ---- changing

    @contextmanager
    def room(self, size: int, now: int) -> Iterator[None]:
        """Keep room for a body that is on its way, or raise Full before it comes."""
        cost = self.tier.cost(size)
        self.make_room(cost, now)
        self.on_its_way += cost
        try:
            yield
        finally:
            self.on_its_way -= cost

    def make_room(self, cost: int, now: int) -> None:
        """What has expired makes room; nothing else does. What takes less is always taken."""
        while self.used + cost > self.capacity:
            if not self.expire(now):
                raise Full(
                    f"this node is full: {format_size(self.used)} of {format_size(self.capacity)} are "
                    f"taken, and {format_size(cost)} more do not fit"
                )
        while self.memory is not None and cost > 0 and self.indexed + INDEXED > self.memory:
            if not self.expire(now):
                raise Full(
                    f"this node is full: with {len(self)} items the {format_size(self.memory)} of memory "
                    f"are taken that it has to know them by"
                )

    def keep(self, entry: Entry, body: Bytes, now: int) -> None:
        """A new fact, in the place of the one of its key if there is one; the caller settles the tier."""
        before = self._entries.get(entry.key)
        freed = 0 if before is None else self.tier.cost(before.size)
        self.make_room(self.tier.cost(entry.size) - freed, now)
        before = self._entries.pop(entry.key, None)  # unless making room has swept it
        meta = self._meta(entry)
        if before is None:
            entry.place = self.tier.put(entry.key, meta, body, entry.until)
        else:
            entry.key = before.key  # the queue holds this one
            entry.place = self.tier.replace(before.place, entry.key, meta, body, entry.until)
        self._entries[entry.key] = entry
        self.held[entry.key[:1]] += 1
        self._changed(None if before is None else before.until)
        if before is not None:
            self._tell(before)  # who is told finds in `latest` what came in its place
        if before is None or entry.until < before.until:
            self._queue(entry)

    def amend(self, entry: Entry, until: int) -> None:
        """What is known of an entry, or its time, has changed; the caller settles the tier."""
        before, entry.until = entry.until, until
        entry.place = self.tier.amend(entry.place, self._meta(entry), until)
        self._changed(before)
        if until < before:
            self._queue(entry)

    def drop(self, entry: Entry) -> None:
        """It is over before its time; the caller settles the tier."""
        if self._entries.get(entry.key) is entry:
            del self._entries[entry.key]
            self.tier.drop(entry.place, ended=True)
            self.ended += 1
            self._changed(entry.until)
            self._tell(entry)

    def sweep(self, key: bytes, now: int) -> None:
        """Free the entry of this key, if its time has come."""
        entry = self._entries.get(key)
        if entry is not None and entry.until <= now:
            self._expired(key, now)

    def take_back(self, entry: Entry) -> None:
        """It could not be written: it never was here."""
        if self._entries.get(entry.key) is entry:
            del self._entries[entry.key]
            self._tell(entry)

    def take_back_if_undone(self, entry: Entry) -> None:
        """The same, if so it is."""
        if self.tier.undone(entry.place):
            self.take_back(entry)

    def put_back(self, entry: Entry) -> None:
        """What came in its place could not be written: it is here again."""
        self._entries[entry.key] = entry
        self.held[entry.key[:1]] += 1
        self._queue(entry)

    def revert(self, entry: Entry, until: int) -> None:
        """Its other time could not be written: it has the one from before."""
        entry.until = until
        self._queue(entry)

    async def settled(self, look: Callable[[], None]) -> None:
        """All that was asked of the tier so far is written, or it raises. Then `look` sees what became of it,
        even when whoever waited has gone meanwhile."""
        try:
            await self.tier.settled()
        except asyncio.CancelledError:
            left = asyncio.create_task(self._settled_later(look))
            self._settling.add(left)
            left.add_done_callback(self._settling.discard)
            raise
        except RepramError:
            look()
            raise
        look()

    async def _settled_later(self, look: Callable[[], None]) -> None:
        with suppress(RepramError):
            await self.tier.settled()
        look()

    def body(self, entry: Entry) -> Bytes:
        """The bytes; IntegrityFailure when they are damaged."""
        return self.tier.body(entry.place)

    # ---- time

    def restore(self, now: int) -> int:
        """Take up what the tier remembers; how many facts that was."""
        for fact in self.tier.restore(now):
            kind = self._kinds.get(fact.key[:1])
            if kind is None:
                self.tier.drop(
                    fact.place, ended=False
                )  # of a later version: nobody here can serve it
                continue
            entry = kind[0](fact)
            entry.place = fact.place
            self._entries[entry.key] = entry
            self.held[entry.key[:1]] += 1
            self._queue(entry)
        for check in self._checks:
            check(now)
        return len(self._entries)

    def expire(self, now: int, limit: int = 500) -> int:
        """Free at most so many entries whose time has come and say how many; 0: none is left."""
        freed = 0
        while self._spans and self._spans[0] * _SPAN <= now:
            due = self._due[self._spans[0]]
            while due:
                if freed >= limit:
                    return freed
                freed += self._expired(due.pop(), now)
            del self._due[heapq.heappop(self._spans)]
        return freed

    def _expired(self, key: bytes, now: int) -> bool:
        entry = self._entries.get(key)
        if entry is None:
            return False
        if entry.until > now:
            self._queue(entry)
            return False
        del self._entries[key]
        self.tier.drop(entry.place, ended=False)
        self.expired += 1
        self.changes += 1
        self._tell(entry)
        return True

    def _queue(self, entry: Entry) -> None:
        """In the span that ends at or after its time."""
        span = -(-entry.until // _SPAN)
        due = self._due.get(span)
        if due is None:
            due = self._due[span] = []
            heapq.heappush(self._spans, span)
        due.append(entry.key)

    def _changed(self, before: int | None) -> None:
        """`before`: until when what does not hold any more was to be kept."""
        self.changes += 1
        if before is not None and self.outdated is not None:
            self.outdated(before)

    def _meta(self, entry: Entry) -> bytes:
        return entry.meta() if self.tier.durable else b""

    def _tell(self, entry: Entry) -> None:
        self.held[entry.key[:1]] -= 1
        kind = self._kinds.get(entry.key[:1])
        if kind is not None:
            kind[1](entry)
