"""The tier on disk: the event loop's side, which asks; all I/O happens in one other thread."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

from blake3 import blake3

from repram.buffers import unset
from repram.crypto import atrest
from repram.errors import IntegrityFailure, LocalError, NotFound, RepramError
from repram.storaged.disk.arena import NO_SLOT, Arena
from repram.storaged.disk.buckets import Buckets, Draw
from repram.storaged.disk.entries import BODY_MAX, sealed_size
from repram.storaged.disk.files import Files, OpenFile, told
from repram.storaged.disk.log import SEGMENT_SIZE, Log
from repram.storaged.disk.place import Place, State
from repram.storaged.disk.recovery import Recovery
from repram.storaged.disk.ring import SLOTS, Ring
from repram.storaged.disk.writer import Ask, Change, Writer
from repram.storaged.tier import KEY_MAX, META_MAX, Bytes, Fact

OVERHEAD: Final = 512  # what a fact costs beside its body: head, index, and room to reclaim
_STORE_MAGIC: Final = b"repram store 1\n\x00"
_ID_SIZE: Final = 32

_log = logging.getLogger(__name__)


class Counts(NamedTuple):
    """Numbers for whoever watches a node."""

    shredded: int  # keys destroyed since the start
    unreadable: int  # entries of the log that were lost
    log_bytes: int


class DiskTier:
    """Keeps facts in a folder. `restore` comes first; `tend` about once a second."""

    name = "disk"
    durable = True
    prompt = False

    def __init__(
        self, files: Files, folder: Path, store: OpenFile, ring: Ring, writer: Writer
    ) -> None:
        self._files = files
        self._folder = folder
        self._store = store  # open as long as it is locked
        self._ring = ring
        self._writer = writer
        self._thread = ThreadPoolExecutor(1, "repram-disk")
        self._used = 0
        self._now = 0
        self._restored = False
        self._asked: list[Change] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._released: list[Place] = []
        self._busy = False
        self._told = ""

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        keys: Path | None = None,
        draw: Draw = atrest.draw_random,
        files: Files | None = None,
        segment_size: int = SEGMENT_SIZE,
        slots: int = SLOTS,
    ) -> DiskTier:
        """The tier in this folder, with the ring of keys in `keys` if that is elsewhere; new if need be."""
        files = files or Files()
        try:
            store, store_id = _store(files, folder, draw)
            place = keys or folder / "keys"
            ring, new = Ring.open(files, place / "ring", store_id, slots)
            log = Log(files, folder / "log", segment_size)
        except OSError as error:
            raise told(error, folder) from error
        if new and log.segments:
            _log.warning("the ring of keys in %s is new: what was stored before is gone", place)
        arena = Arena()
        writer = Writer(
            files,
            folder,
            log=log,
            buckets=Buckets(ring, arena, draw),
            arena=arena,
            draw=draw,
            store_id=store_id,
        )
        return cls(files, folder, store, ring, writer)

    # ---- asking

    @property
    def trouble(self) -> str:
        """What the disk refuses just now; nothing when it does as it is told."""
        return self._told

    def counts(self) -> Counts:
        """What is to be seen of it from outside."""
        sizes = [segment.size for segment in list(self._writer.log.segments.values())]
        return Counts(self._writer.buckets.shredded, self._writer.unreadable, sum(sizes))

    @property
    def used(self) -> int:
        """Bytes that live facts take; what is dead and not yet reclaimed does not count."""
        return self._used

    def cost(self, size: int) -> int:
        """What a fact with a body of this size takes of the capacity."""
        return size + OVERHEAD

    def put(self, key: bytes, meta: bytes, body: Bytes, until: int) -> Place:
        """Keep a fact of a key that is not kept."""
        return self._put(key, meta, body, until, None)

    def replace(self, place: Place, key: bytes, meta: bytes, body: Bytes, until: int) -> Place:
        """Keep a fact in the place of one of the same key. If it comes to nothing, that one is still kept."""
        return self._put(key, meta, body, until, place)

    def amend(self, place: Place, meta: bytes, until: int) -> Place:
        """Other meta and another time for a fact. If that comes to nothing, the old ones still hold."""
        old = self._kept(place)
        self._check(old.key, meta, old.size, until)
        new = Place(old.key, meta, old.size, until, old.horizon)
        new.pending, new.at, new.slot = old.pending, old.at, old.slot  # to be read meanwhile
        self._ask(Ask.AMEND, new, old)
        return new

    def drop(self, place: Place, *, ended: bool) -> None:
        """Keep a fact no longer; a place that came to nothing may be dropped or not."""
        kept = place.kept()
        if kept is None or kept.state is State.GONE:
            return
        self._used -= self.cost(kept.size)
        if ended or kept.horizon > kept.until:
            self._ask(Ask.DROP, Place(kept.key, b"", 0, kept.horizon, 0), kept)
        else:
            kept.state = State.GONE
            self._released.append(kept)

    def body(self, place: Place) -> Bytes:
        """A fact's body; IntegrityFailure when what is kept is damaged."""
        kept = self._kept(place)
        pending = kept.pending
        if pending is not None:
            return pending
        if kept.at is None:
            return b""
        try:
            return self._read(kept)
        except IntegrityFailure:
            self._kept(place)  # dropped while it was being read
            raise
        except OSError as error:
            raise told(error, self._folder) from error

    def undone(self, place: Place) -> bool:
        """Whether this place is one that could not be written."""
        return place.state is State.UNDONE

    async def settled(self) -> None:
        """Everything that was asked before this call survives a power cut when it returns."""
        if self._asked or self._busy:
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            self._wake()
            await waiting

    # ---- start, once a second, end

    def restore(self, now: int) -> Iterator[Fact]:
        """The facts from before a restart whose time is not over. What was to be destroyed has been."""
        if self._restored:
            raise LocalError("a disk tier is restored once")
        self._now = now
        try:
            places = Recovery(self._files, self._writer, now).run()
        except OSError as error:
            raise told(error, self._folder) from error
        self._restored = True
        self._used = sum(self.cost(place.size) for place in places)
        return (Fact(p.key, p.meta, p.until, p.size, p) for p in places)

    async def tend(self, now: int) -> None:
        """Destroy keys whose time is over, make up for drops, tidy up. A disk that fails is told of once,
        and asked again the next time."""
        self._now = now
        count = len(self._released)  # of which the group to come knows
        try:
            await self.settled()
        except RepramError as error:
            self._tell(error)
        self._writer.released.extend(self._released[:count])
        del self._released[:count]
        steps = self._writer.tend(now)
        loop = asyncio.get_running_loop()
        try:
            while await loop.run_in_executor(self._thread, next, steps, False):
                pass
        except RepramError as error:
            self._tell(error)
        else:
            self._told = ""

    async def close(self) -> None:
        """Settle, let go of files, and wipe keys."""
        try:
            await self.settled()
            if self._restored:
                await asyncio.get_running_loop().run_in_executor(self._thread, self._writer.mark)
        finally:
            self._thread.shutdown()
            self._writer.close()
            del self._store, self._ring

    # ---- groups of changes

    def _put(self, key: bytes, meta: bytes, body: Bytes, until: int, old: Place | None) -> Place:
        self._check(key, meta, len(body), until)
        kept = None if old is None else self._kept(old)
        place = Place(key, meta, len(body), until, kept.horizon if kept else 0)
        place.pending = body
        self._used += self.cost(len(body)) - (self.cost(kept.size) if kept else 0)
        self._ask(Ask.PUT, place, kept)
        return place

    def _check(self, key: bytes, meta: bytes, size: int, until: int) -> None:
        if not self._restored:
            raise LocalError("a disk tier is restored before it is used")
        if len(key) > KEY_MAX or len(meta) > META_MAX or size > BODY_MAX:
            raise LocalError("this fact is larger than a tier takes")
        if size and not self._ring.reaches(until, self._now):
            raise LocalError("this fact is to be kept for longer than the ring of keys reaches")

    def _ask(self, ask: Ask, place: Place, old: Place | None) -> None:
        place.instead = old
        if old is not None:
            old.state = State.GONE
        self._asked.append(Change(ask, place, old))

    def _kept(self, place: Place) -> Place:
        kept = place.kept()
        if kept is None or kept.state is State.GONE:
            raise NotFound("this fact is not kept any more")
        return kept

    def _wake(self) -> None:
        """Hand everything asked so far to the thread, unless it is busy: then when it is done."""
        if self._busy:
            return
        self._busy = True
        asked, self._asked = self._asked, []
        waiting, self._waiting = self._waiting, []
        writing = asyncio.get_running_loop().run_in_executor(
            self._thread, self._writer.write, asked
        )
        writing.add_done_callback(lambda done: self._written(done, asked, waiting))

    def _written(
        self,
        done: asyncio.Future[None],
        asked: list[Change],
        waiting: list[asyncio.Future[None]],
    ) -> None:
        self._busy = False
        error = done.exception()
        if error is not None:
            self._undo([*asked, *self._asked])
            waiting, self._waiting = waiting + self._waiting, []
        for one in waiting:
            if not one.done():
                one.set_result(None) if error is None else one.set_exception(error)
        if self._waiting:
            self._wake()

    def _undo(self, changes: list[Change]) -> None:
        """Nothing of this has come to be. What was dropped stays so: that will be written yet."""
        for change in reversed(changes):
            if change.ask is Ask.DROP:
                continue
            place, old = change.place, change.place.instead
            if place.state is not State.GONE:
                self._used -= self.cost(place.size)
            place.state, place.pending, place.slot = State.UNDONE, None, NO_SLOT
            if old is not None:
                self._used += self.cost(old.size)
                old.state = State.KEPT
        self._asked = []
        for change in changes:
            if change.ask is Ask.DROP and change.old and (kept := self._gone(change.old)):
                self._ask(Ask.DROP, change.place, kept)
        self._released = [self._gone(place) or place for place in self._released]

    def _gone(self, place: Place) -> Place | None:
        """What was dropped: if that came to nothing, then what it was to take over from."""
        kept = place.kept()
        if kept is not None and kept is not place:
            self._used -= self.cost(kept.size)
            kept.state = State.GONE
        return kept

    def _read(self, place: Place) -> Bytes:
        at, slot = place.at, place.slot
        if at is None or slot == NO_SLOT:
            raise NotFound("this fact's time is over, and its key is gone")
        sealed = unset(sealed_size(place.size))
        if self._files.read_into(at[0].file, sealed, at[1]) < len(sealed):
            raise IntegrityFailure("the stored bytes are cut short")
        return atrest.open_body(self._writer.arena.key(slot), sealed)

    def _tell(self, error: RepramError) -> None:
        """Once, not once a second."""
        if str(error) != self._told:
            self._told = str(error)
            _log.error("%s", error)


def _store(files: Files, folder: Path, draw: Draw) -> tuple[OpenFile, bytes]:
    """The file that says which store this is, locked, and the store's id."""
    files.make_folder(folder)
    names = files.names(folder)
    file = files.open(folder / "store", create="store" not in names)
    if not files.lock(file):
        raise RepramError(
            f"another process uses {folder}", hint="Stop the other node, or give this one a folder."
        )
    for copy in range(2):
        content = bytearray(len(_STORE_MAGIC) + 2 * _ID_SIZE)
        files.read_into(file, content, copy * len(content))
        store_id = bytes(content[len(_STORE_MAGIC) : -_ID_SIZE])
        if content == _identity(store_id):
            files.sync(file)  # whoever made it may have been killed before it could
            files.sync_folder(folder)
            return file, store_id
    if "log" in names:
        raise RepramError(
            f"the file {folder / 'store'} is damaged, and nothing in the folder can be read without it",
            hint="Restore that file from a copy, or start with an empty folder.",
        )
    drawn = bytearray(_ID_SIZE)
    draw(memoryview(drawn))
    content = _identity(bytes(drawn))
    files.write(file, [content, content], 0)
    files.sync(file)
    files.sync_folder(folder)
    return file, bytes(drawn)


def _identity(store_id: bytes) -> bytearray:
    content = _STORE_MAGIC + store_id
    return bytearray(content + blake3(content).digest())
