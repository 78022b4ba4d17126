"""A snapshot: all that a node in memory holds, sealed, in one file, and the keys of its buckets beside it.

Each is written under bucket keys of its own, to another file that then takes the name of the one before,
whose keys are destroyed when that is sure. In between, a key goes when its time is over; and as soon as
anything is changed that was sealed by way of it (ended, replaced, renewed, counted), before anyone hears of
the change. So a snapshot never brings back what is over, nor an older state of what is not; at worst it
brings back less.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from blake3 import blake3

from repram.crypto import atrest
from repram.errors import Conflict, IntegrityFailure, RepramError
from repram.storaged.disk.arena import Arena
from repram.storaged.disk.buckets import Buckets, Draw
from repram.storaged.disk.entries import Entry, Kind, Pair, bound_to, pack, sealed_size
from repram.storaged.disk.files import Files, OpenFile, told
from repram.storaged.disk.log import Segment
from repram.storaged.disk.ring import BUCKET, SLOTS, Ring
from repram.storaged.disk.scan import Found, entries_of
from repram.storaged.tier import Bytes, Fact

# No random id, as a store on disk has: it would be one thing more to be damaged, and the keys in the ring
# tell one snapshot from another.
_ID: Final = blake3(b"repram v1 snapshot").digest()

_log = logging.getLogger(__name__)


class Snapshot:
    """`restore` once, before anything else; then `write` every now and then, and `tend` once a second.

    All that touches files and keys happens in one thread, in the order in which it was asked for.
    """

    def __init__(
        self, files: Files, path: Path, lock: OpenFile, *, ring: Ring, arena: Arena, draw: Draw
    ) -> None:
        """Use `open`."""
        self._files, self._path, self._lock = files, path, lock
        self._ring, self._arena, self._draw = ring, arena, draw
        self._buckets = Buckets(ring, arena, draw)
        self._thread = ThreadPoolExecutor(1, "repram-snapshot")
        self._now = 0
        self._generation = 0  # the greatest there was
        self._first = 0  # of the snapshot that is being written
        self._writing = False
        self._outdated: set[int] = set()  # buckets whose keys have to go
        self._erasing: asyncio.Task[RepramError | None] | None = None
        self._file: OpenFile | None = None
        self._end = self._count = 0

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        draw: Draw = atrest.draw_random,
        files: Files | None = None,
        slots: int = SLOTS,
    ) -> Snapshot:
        """The snapshot in this file, with its keys in FILE.keys; Conflict when another node has it."""
        files = files or Files()
        keys = path.with_name(path.name + ".keys")
        try:
            files.make_folder(path.parent)
            lock = files.open(keys, create=keys.name not in files.names(path.parent))
            if not files.lock(lock):
                raise Conflict(
                    f"another node keeps its snapshot in {path}",
                    hint="Stop it, or give this one another file.",
                )
            ring, _ = Ring.open(files, keys, _ID, slots)
        except OSError as error:
            raise told(error, path.parent) from error
        return cls(files, path, lock, ring=ring, arena=Arena(), draw=draw)

    # ---- taking up

    def restore(self, now: int) -> Iterator[Fact]:
        """What it holds whose time is not over, the body as the place. What was to be destroyed has been."""
        self._now = now
        try:
            self._generation = self._buckets.load()
            self._buckets.take_overdue(now)
            found, damaged = self._read()
            standing = {each.entry.generation for each in found}
            self._buckets.destroy_unless(standing.__contains__)
            self._buckets.sync()
        except OSError as error:
            raise told(error, self._path.parent) from error
        return self._facts(found, damaged)

    def _read(self) -> tuple[list[Found], bool]:
        """Its entries, and whether anything of it is damaged or missing."""
        if self._path.name not in self._files.names(self._path.parent):
            return [], False
        file = self._files.open(self._path)
        segment = Segment(1, file, self._files.size(file))
        found, damaged, last = [], False, None
        for each in entries_of(self._files, segment, _ID):
            last = each
            if not isinstance(each, Found):
                damaged = True
            elif each.entry.kind is Kind.PUT:
                found.append(each)
        whole = isinstance(last, Found) and last.entry.kind is Kind.MARK
        return found, damaged or not whole

    def _facts(self, found: list[Found], damaged: bool) -> Iterator[Fact]:
        keys: set[bytes] = set()
        lost = 0
        for each in found:
            entry = each.entry
            if entry.until <= self._now or entry.key in keys:
                continue
            try:
                body = self._body(each)
            except (IntegrityFailure, OSError):
                lost += 1
                continue
            if body is not None:
                keys.add(entry.key)
                yield Fact(entry.key, entry.meta, entry.until, entry.size, body)
        _log.info("the snapshot: %d facts are here again", len(keys))
        if damaged or lost:
            _log.warning(
                "the snapshot %s is damaged%s: %d of its facts cannot be read, besides those of "
                "which nothing is left",
                self._path,
                " or cut short" if damaged else "",
                lost,
            )

    def _body(self, found: Found) -> Bytes | None:
        """None: its key has been destroyed."""
        entry = found.entry
        pair = Pair(entry.until // BUCKET, entry.generation)
        key = self._buckets.key(pair)
        if key is None:
            return None
        if not entry.size:
            return b""
        sealed = bytearray(sealed_size(entry.size))
        self._files.read_into(found.segment.file, sealed, found.body_at[1])
        slot = self._arena.take()
        try:
            item_key = self._arena.key(slot)
            atrest.unwrap(key, entry.wrapped, bound_to(entry.key, pair), item_key)
            return atrest.open_body(item_key, sealed)
        finally:
            self._arena.give_back(slot)

    # ---- forgetting

    def outdate(self, until: int) -> None:
        """What was to be kept until then has changed: it must not come back as it was. Sure when `settled`
        returns."""
        number = until // BUCKET
        if self._writing or self._buckets.has(number):
            self._outdated.add(number)

    async def settled(self) -> None:
        """Nothing that was outdated before this call comes back when it returns."""
        if self._outdated:
            numbers, self._outdated = self._outdated, set()
            self._erasing = asyncio.create_task(self._erase(numbers))
        if self._erasing is not None:
            error = await asyncio.shield(self._erasing)
            if error is not None:
                raise error

    async def tend(self, now: int) -> None:
        """Destroy the keys whose time is over."""
        self._now = now
        await self.settled()
        try:
            await self._in_thread(self._destroy_overdue)
        except OSError as error:
            raise told(error, self._path.parent) from error

    async def _erase(self, numbers: set[int]) -> RepramError | None:
        try:
            await self._in_thread(self._destroy, numbers)
        except OSError as error:
            self._outdated |= numbers  # to be synced by whoever comes next
            return told(error, self._path.parent)
        return None

    def _destroy(self, numbers: Iterable[int]) -> None:
        # What of these buckets is still to be written gets other keys, which do not pass for these.
        self._generation += 1
        self._buckets.destroy(numbers)
        self._buckets.sync()

    def _destroy_overdue(self) -> None:
        self._buckets.take_overdue(self._now)
        self._buckets.sync()

    # ---- writing

    async def write(self, parts: Iterator[list[Fact]], now: int) -> None:
        """Write all of it and destroy the keys of the one before. After a RepramError that one stays."""
        self._now = now
        self._writing = True  # from now on, what is outdated may be in a part that is on its way
        try:
            await self._in_thread(self._begin)
            for facts in parts:
                await self._in_thread(self._append, facts)
            await self._in_thread(self._finish)
        except OSError as error:
            raise told(error, self._path.parent) from error
        finally:
            self._thread.submit(self._let_go)  # behind what a cancelled caller has left running
            self._writing = False

    async def close(self) -> None:
        """Let go of files, and wipe keys from memory."""
        try:
            await self.settled()
        finally:
            self._thread.shutdown()
            self._arena.wipe()
            del self._lock, self._ring, self._buckets

    async def _in_thread(self, do: Callable[..., None], *arguments: object) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, do, *arguments)

    def _begin(self) -> None:
        self._generation += 1
        self._first = self._generation
        self._file = self._files.open(self._beside, create=True)
        self._end = self._count = 0

    def _append(self, facts: list[Fact]) -> None:
        reached = (fact for fact in facts if self._ring.reaches(fact.until, self._now))
        self._write_out([part for fact in reached for part in self._sealed(fact)])

    def _finish(self) -> None:
        file = self._file
        if file is None:
            return
        self._write_out([self._head(Kind.MARK, Fact(b"", b"", 0, 0, None), 0, b"")])
        self._files.sync(file)
        self._buckets.sync()
        self._files.rename(self._beside, self._path)
        self._file = None
        self._files.sync_folder(self._path.parent)
        self._buckets.destroy_unless(lambda generation: generation >= self._first)
        self._buckets.sync()

    def _let_go(self) -> None:
        """Of one that was not finished: it could be read as little as if it had not been begun."""
        if self._file is not None:
            self._file = None
            self._buckets.destroy_unless(lambda generation: generation < self._first)

    @property
    def _beside(self) -> Path:
        return self._path.with_name(self._path.name + ".new")

    def _sealed(self, fact: Fact) -> Iterator[Bytes]:
        pair, key = self._buckets.since(fact.until // BUCKET, self._first, self._generation)
        if not fact.size:
            yield self._head(Kind.PUT, fact, pair.generation, b"")
            return
        slot = self._arena.take()
        try:
            item_key = self._arena.key(slot)
            self._draw(item_key)
            wrapped = atrest.wrap(key, item_key, bound_to(fact.key, pair))
            yield self._head(Kind.PUT, fact, pair.generation, wrapped)
            yield atrest.seal_body(item_key, fact.place)
        finally:
            self._arena.give_back(slot)

    def _head(self, kind: Kind, fact: Fact, generation: int, wrapped: Bytes) -> bytes:
        self._count += 1
        entry = Entry(
            kind, fact.key, fact.meta, fact.size, self._count,
            self._first, fact.until, fact.until, generation, (0, 0), bytes(wrapped), (),
        )  # fmt: skip
        return pack(entry, _ID)

    def _write_out(self, parts: list[Bytes]) -> None:
        if self._file is not None:
            self._files.write(self._file, parts, self._end)
            self._end += sum(map(len, parts))
