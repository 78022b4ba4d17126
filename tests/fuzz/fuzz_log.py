"""A folder of the disk tier that is not as it was left, opened.

The first byte says which store it was; then come operations of eight bytes on its files: what, which, where
(2 bytes), a number (4 bytes). Whatever they do, opening it ends, in what is promised or in an error that is;
nothing is served that was never put; and whoever opens it again, or goes on with it, finds the same.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from repram.errors import IntegrityFailure, RepramError
from repram.storaged.disk.entries import Entry, Kind, Pair, pack
from repram.storaged.disk.scan import Found, entries_of
from repram.storaged.disk.tier import DiskTier
from tests.storaged.disk.disks import Inode, PowerCut, SimulatedDisk
from tests.storaged.disk.workload import (
    FOLDER,
    START,
    History,
    Said,
    few_facts,
    open_tier,
    script,
)

OPERATION: Final = struct.Struct(">BBHI")
CELLS, CELL = 4096, 64
STORE: Final = FOLDER / "store"
RING: Final = FOLDER / "keys" / "ring"
ODD: Final = (
    0,
    1,
    255,
    1 << 16,
    (1 << 31) - 1,
    (1 << 32) - 1,
    1 << 32,
    15_000 << 32,
    (1 << 64) - 1,
)


# ---- the stores that it begins with


@dataclass(frozen=True, slots=True)
class Store:
    """What was written, and all that was ever said."""

    files: dict[Path, bytes]
    said: dict[bytes, set[Said]]
    id: bytes
    entries: dict[Path, list[tuple[int, int, Entry]]]  # where each begins and ends

    def bodies(self, key: bytes) -> set[bytes]:
        """What has ever been put under a key."""
        return {said.body for said in self.said.get(key, ())}


def _written(
    writes: Callable[[History], object] | None, *, closed: bool, cut_at: int | None = None
) -> Store:
    disk = SimulatedDisk()
    disk.cut_at = cut_at
    history = History(open_tier(disk))
    tier = history.tier

    async def write() -> None:
        list(tier.restore(START))
        if writes is few_facts:
            await few_facts(history)
        elif writes is script:
            await script(history)
        if closed:
            await tier.close()

    try:
        asyncio.run(write())
    except (PowerCut, RepramError):
        disk = disk.after_power_cut(Random(cut_at))
    tier._thread.shutdown()
    said = {key: {each for each in all_ if each} for key, all_ in history.said.items()}
    for key, each in history.asked:
        if each:
            said.setdefault(key, set()).add(each)
    store_id = tier._writer.store_id
    files = {path: bytes(node.now) for path, node in disk.names_now.items()}
    return Store(files, said, store_id, _entries(disk, store_id))


def _entries(disk: SimulatedDisk, store_id: bytes) -> dict[Path, list[tuple[int, int, Entry]]]:
    tier = open_tier(disk)
    segments = tier._writer.log.segments.values()
    found = {
        segment.file.path: [
            (each.offset, each.end, each.entry)
            for each in entries_of(disk, segment, store_id)
            if isinstance(each, Found)
        ]
        for segment in segments
    }
    tier._thread.shutdown()
    return found


@cache
def stores() -> tuple[Store, ...]:
    """Of few facts and of many, closed, killed, cut off from power; and one without any."""
    return (
        _written(few_facts, closed=True),
        _written(few_facts, closed=False),
        _written(script, closed=True),
        _written(script, closed=False),
        *(_written(script, closed=False, cut_at=cut_at) for cut_at in (30, 61, 92)),
        _written(None, closed=True),
    )


# ---- what is done to them


class Tampering:
    """A store's files, while operations change them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.files = {path: bytearray(content) for path, content in store.files.items()}
        self.forged = False  # a head was sealed anew: what stands in heads is not ours any more
        self.now = START

    def do(self, what: int, which: int, at: int, number: int) -> None:
        """One operation."""
        if paths := sorted(self.files):
            OPERATIONS[what % len(OPERATIONS)](self, paths[which % len(paths)], at, number)

    def flip(self, path: Path, at: int, number: int) -> None:
        if content := self.files[path]:
            content[at % len(content)] ^= 1 << number % 8

    def write(self, path: Path, at: int, number: int) -> None:
        self.files[path][at : at + 4] = number.to_bytes(4, "big")

    def zero(self, path: Path, at: int, number: int) -> None:
        content = self.files[path]
        end = min(len(content), at + number % 4096)
        content[at:end] = bytes(max(0, end - at))

    def cut(self, path: Path, at: int, number: int) -> None:
        del self.files[path][at:]

    def lengthen(self, path: Path, at: int, number: int) -> None:
        self.files[path] += Random(number).randbytes(at % 8192)

    def take_out(self, path: Path, at: int, number: int) -> None:
        del self.files[path][at : at + number % 4096]

    def repeat(self, path: Path, at: int, number: int) -> None:
        content, size = self.files[path], number >> 16
        begin = number % (len(content) + 1)
        content[at:at] = content[begin : begin + size % 4096]

    def overwrite(self, path: Path, at: int, number: int) -> None:
        content = self.files[path]
        content[at : at + 64] = Random(number).randbytes(64)

    def remove(self, path: Path, at: int, number: int) -> None:
        del self.files[path]

    def rename(self, path: Path, at: int, number: int) -> None:
        """A segment gets another's number, or one that is absurd."""
        if path.parent.name == "log":
            number = at if at % 2 else number % 100_000_000
            self.files[path.parent / f"{number:08}.seg"] = self.files.pop(path)

    def copy_entry(self, path: Path, at: int, number: int) -> None:
        """An entry comes again, at the end or in between."""
        if found := self.store.entries.get(path):
            begin, end, _ = found[at % len(found)]
            target = self.files[sorted(self.files)[number % len(self.files)]]
            where = len(target) if number & 1 << 31 else found[number % len(found)][0]
            target[where:where] = self.store.files[path][begin:end]

    def forge_entry(self, path: Path, at: int, number: int) -> None:
        """An entry says something else, under a checksum that is right: the store's id is no secret."""
        if not (found := self.store.entries.get(path)):
            return
        begin, end, entry = found[at % len(found)]
        forged = _forged(entry, number)
        body = self.store.files[path][begin + entry.head_size : end]
        self.files[path][begin:end] = pack(forged, self.store.id) + body
        self.forged = True

    def copy_cell(self, path: Path, at: int, number: int) -> None:
        """A key stands in another cell, too."""
        if RING in self.files:
            begin, where = (CELLS + each % 128 * CELL for each in (at, number))
            self.files[RING][where : where + CELL] = self.files[RING][begin : begin + CELL]

    def erase_cell(self, path: Path, at: int, number: int) -> None:
        if RING in self.files:
            where = CELLS + at % 128 * CELL
            self.files[RING][where : where + CELL] = bytes(CELL)

    def wait(self, path: Path, at: int, number: int) -> None:
        """It is opened later."""
        self.now += number % 1_200_000


OPERATIONS: Final = tuple(
    operation
    for name, operation in vars(Tampering).items()
    if not name.startswith("_") and name != "do"
)
NAMES: Final = {operation.__name__: number for number, operation in enumerate(OPERATIONS)}
FIELDS: Final = (
    *("kind", "key", "meta", "size", "number", "group", "until"),
    *("horizon", "generation", "body_at", "wrapped", "former"),
)


def _forged(entry: Entry, number: int) -> Entry:
    name, choice = FIELDS[number % len(FIELDS)], number // len(FIELDS)
    odd = ODD[choice % len(ODD)] if choice % 2 else choice
    match name:
        case "kind":
            return entry._replace(kind=Kind(1 + choice % 5), wrapped=entry.wrapped or bytes(72))
        case "key":
            return entry._replace(key=Random(choice).randbytes(choice % 81))
        case "meta":
            return entry._replace(meta=bytes(choice % 4097))
        case "size":
            return entry._replace(size=odd & 0xFFFFFFFF)
        case "body_at":
            return entry._replace(body_at=(choice % 8, odd))
        case "wrapped":
            return entry._replace(wrapped=bytes(entry.wrapped)[::-1])
        case "former":
            pair = Pair(odd & 0xFFFFFFFF, choice)
            return entry._replace(former=(pair,) * (choice % 40))
    return entry._replace(**{name: odd})  # type: ignore[arg-type]


# ---- what comes of it


def try_(data: bytes) -> str:
    """Open it, and again, and go on."""
    store = stores()[data[0] % len(stores())] if data else stores()[0]
    tampering = Tampering(store)
    for operation in OPERATION.iter_unpack(data[1 : 1 + len(data[1:]) // 8 * 8]):
        tampering.do(*operation)
    disk = SimulatedDisk()
    for path, content in tampering.files.items():
        disk.names_now[path] = disk.names_synced[path] = Inode(bytes(content))
    first = _opened(disk, tampering.now)
    again = _opened(disk, tampering.now)
    if not first.tier or not again.tier:
        assert again.refused == first.refused
        return first.refused
    assert again.whole == first.whole, f"opened again, it holds {again}, not {first}"
    _judge(first.whole, store, tampering)
    more = Said(b"more", b"and its body", tampering.now + 100_000)
    again.tier.put(b"more", *more)
    again.tier._writer.write(again.tier._asked)
    again.tier._writer.mark()
    after = _opened(disk, tampering.now)
    wanted = {**first.whole, b"more": more}
    assert after.whole == wanted, f"gone on with, it holds {after}, not {wanted}"
    number = data[0] % len(stores()) if data else 0
    return f"{number} {len(first.whole)} {first.damaged} {first.tier.counts().unreadable}"


class Opened(NamedTuple):
    """What a folder serves, or why it does not."""

    whole: dict[bytes, Said]
    damaged: int = 0
    tier: DiskTier | None = None
    refused: str = ""


def _opened(disk: SimulatedDisk, now: int) -> Opened:
    try:
        tier = open_tier(disk, seed=disk.calls)
    except RepramError as error:
        return Opened({}, refused=f"{type(error).__name__}: {error}")
    whole: dict[bytes, Said] = {}
    facts = list(tier.restore(now))
    assert len({fact.key for fact in facts}) == len(facts), "a key comes twice"
    for fact in facts:
        assert fact.until > now, "its time is over"
        with suppress(IntegrityFailure):
            body = bytes(tier.body(fact.place))
            assert len(body) == fact.size
            whole[fact.key] = Said(fact.meta, body, fact.until)
    return Opened(whole, len(facts) - len(whole), tier)


def _judge(found: dict[bytes, Said], store: Store, tampering: Tampering) -> None:
    for key, said in found.items():
        if tampering.forged and said.body:
            assert said.body in store.bodies(key), f"{key!r} serves a body that it never had"
        elif not tampering.forged:
            assert said in store.said.get(key, ()), f"{key!r} serves what was never put: {said}"


# ---- one input made of others


def change(data: bytes, other: bytes, random: Random) -> bytes:
    """Another operation, one less, or another's; or another store."""
    first, rest = data[:1] or b"\0", data[1:]
    at = random.randrange(len(rest) // 8 + 1) * 8
    match random.randrange(8):
        case 0:
            return bytes([random.randrange(len(stores()))]) + rest
        case 1:
            return first + rest[:at] + rest[at + 8 :]
        case 2:
            begin = 1 + random.randrange(len(other) // 8 + 1) * 8
            return first + rest[:at] + other[begin : begin + 8] + rest[at:]
        case _ if len(rest) < 64:
            what = random.randrange(len(OPERATIONS))
            where = random.choice((random.randrange(1 << 16), random.randrange(6000)))
            made = OPERATION.pack(what, random.randrange(6), where, random.getrandbits(32))
            return first + rest[:at] + made + rest[at:]
        case _:
            return first + rest[8:]
