"""The start: what the log and the ring still say, and making good what a crash cut short.

The last group of entries may be half-written, for nothing proves that it was synced; of it only what is
whole counts, body and key included. What it was to replace is still there then.
"""

from __future__ import annotations

import logging

from repram.crypto import atrest
from repram.errors import IntegrityFailure
from repram.storaged.disk.arena import NO_SLOT
from repram.storaged.disk.entries import Entry, Kind, Pair, bound_to, sealed_size
from repram.storaged.disk.files import Files
from repram.storaged.disk.log import need
from repram.storaged.disk.place import Place
from repram.storaged.disk.ring import BUCKET
from repram.storaged.disk.scan import Damage, Found, entries_of
from repram.storaged.disk.writer import Ask, Change, Writer

_log = logging.getLogger(__name__)


class Recovery:
    """One start."""

    def __init__(self, files: Files, writer: Writer, now: int) -> None:
        self._files = files
        self._writer = writer
        self._buckets = writer.buckets
        self._arena = writer.arena
        self._now = now
        self._known: dict[bytes, Found] = {}
        self._kills: list[Found] = []
        self._torn: dict[bytes, int] = {}  # keys with a half-written entry, and its horizon
        self._damaged: list[Damage] = []
        self._sure = (0, 0)  # up to here everything was synced
        self._keyless = 0

    def run(self) -> list[Place]:
        """The facts whose time is not over. Whatever had to be destroyed has been, before it returns."""
        writer = self._writer
        writer.now = self._now
        writer.number = self._buckets.load()
        self._buckets.take_overdue(self._now)
        self._buckets.sync()
        last_group = self._read()
        self._cut_tail()
        for found in last_group:
            if self._is_whole(found):
                self._take(found)
            else:
                self._torn[found.entry.key] = found.entry.horizon
        places = self._settle()
        for _ in writer.renew_doomed(self._buckets.due(self._now + (1 << 40))):
            pass
        self._report(len(places))
        return places

    # ---- reading

    def _read(self) -> list[Found]:
        """Takes all but the last group, which it returns."""
        group: list[Found] = []
        for segment in sorted(self._writer.log.segments.values(), key=lambda one: one.number):
            for found in entries_of(self._files, segment, self._writer.store_id):
                if isinstance(found, Damage):
                    self._damaged.append(found)
                    continue
                self._writer.number = max(self._writer.number, found.entry.number)
                if group and found.entry.group != group[0].entry.group:
                    self._take_all(group)
                    group = []
                group.append(found)
        return group

    def _take_all(self, group: list[Found]) -> None:
        for found in group:
            self._take(found)
        self._sure = (group[-1].segment.number, group[-1].end)

    def _take(self, found: Found) -> None:
        entry = found.entry
        if entry.kind is Kind.MARK:
            return
        if entry.kind in (Kind.PUT, Kind.DROP):
            self._buckets.doom(entry.former, self._now)
            found.segment.owed.update(entry.former)
        known = self._known.get(entry.key)
        if entry.kind is not Kind.DROP:
            self._known[entry.key] = found
            return
        self._kills.append(found)
        if known is not None and known.entry.number < entry.generation:
            del self._known[entry.key]

    def _cut_tail(self) -> None:
        """Cut off what the log ends with if it makes no sense, and sync what nothing proves to be synced."""
        log = self._writer.log
        if self._damaged and self._damaged[-1].ends_the_log(log):
            tail = self._damaged.pop()
            _log.info(
                "the disk: an unfinished write of %d bytes was cut off", tail.end - tail.start
            )
            log.cut_tail(tail.segment, tail.start)
        if self._damaged and self._damaged[-1].segment.number == log.active:
            log.begin_another()
        log.make_sure()

    def _is_whole(self, found: Found) -> bool:
        entry = found.entry
        if not entry.size or entry.until <= self._now:
            return True
        slot = self._unwrap(entry)
        if slot == NO_SLOT:
            return False
        try:
            return found.body_at < self._sure or self._opens(found, slot)
        finally:
            self._arena.give_back(slot)

    def _opens(self, found: Found, slot: int) -> bool:
        number, offset = found.body_at
        segment = self._writer.log.segments.get(number)
        if segment is None:
            return False
        sealed = bytearray(sealed_size(found.entry.size))
        self._files.read_into(segment.file, sealed, offset)
        try:
            atrest.open_body(self._arena.key(slot), sealed)
        except IntegrityFailure:
            return False
        return True

    def _unwrap(self, entry: Entry) -> int:
        """The slot that has the item key, or none."""
        pair = Pair(entry.until // BUCKET, entry.generation)
        key = self._buckets.key(pair)
        if key is None:
            return NO_SLOT
        slot = self._arena.take()
        try:
            atrest.unwrap(key, entry.wrapped, bound_to(entry.key, pair), self._arena.key(slot))
        except IntegrityFailure:
            self._arena.give_back(slot)
            return NO_SLOT
        return slot

    # ---- what is kept from now on

    def _settle(self) -> list[Place]:
        kills = [self._void(found) for found in self._kills if found.entry.horizon > self._now]
        places = []
        for found in self._known.values():
            place = self._place(found) if found.entry.until > self._now else None
            if place is not None:
                places.append(place)
            elif found.entry.horizon > self._now:
                self._buckets.doom(found.entry.former, self._now)
                kills.append(self._void(found))
        for kill in kills:
            need(kill)
            self._writer.hold_kill(kill)
        self._overrule_torn(places)
        return places

    def _place(self, found: Found) -> Place | None:
        entry = found.entry
        place = Place(entry.key, entry.meta, entry.size, entry.until, entry.horizon)
        place.head, place.head_size = found.segment, entry.head_size
        if entry.size:
            number, offset = found.body_at
            segment = self._writer.log.segments.get(number)
            place.slot = self._unwrap(entry)
            if segment is None or place.slot == NO_SLOT:
                self._keyless += 1
                return None
            place.at = (segment, offset)
            place.generation = entry.generation
            if entry.kind in (Kind.COPY, Kind.AMEND):
                place.former = self._buckets.alive(entry.former)
            self._buckets.join(place)
        need(place)
        return place

    def _void(self, found: Found) -> Place:
        """What makes sure that nothing older of this key comes back."""
        entry = found.entry
        kill = Place(entry.key, b"", 0, entry.horizon, entry.horizon)
        kill.head, kill.head_size = found.segment, entry.head_size
        kill.before = entry.generation if entry.kind is Kind.DROP else entry.number + 1
        return kill

    def _overrule_torn(self, places: list[Place]) -> None:
        """Say again what holds of keys with a half-written entry, or the next start takes it for whole."""
        if not self._torn:
            return
        kept = [place for place in places if place.key in self._torn]
        lost = self._torn.keys() - {place.key for place in kept}
        self._writer.carry_batch(kept, None)
        voids = (Place(key, b"", 0, self._torn[key], 0) for key in sorted(lost))
        self._writer.write([Change(Ask.DROP, void, None) for void in voids])

    def _report(self, kept: int) -> None:
        lost = sum(damage.end - damage.start for damage in self._damaged)
        self._writer.unreadable = len(self._damaged) + self._keyless
        if lost or self._keyless or self._torn:
            _log.warning(
                "the disk: %d bytes of the log in %d places could not be read, %d facts have lost "
                "their keys, and %d changes were cut short; %d facts are whole",
                lost,
                len(self._damaged),
                self._keyless,
                len(self._torn),
                kept,
            )
