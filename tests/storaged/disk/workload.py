"""A script of changes, and a ledger of what was acknowledged, against which any disk tier is held."""

from __future__ import annotations

import random
from pathlib import Path
from typing import NamedTuple

from repram.errors import RepramError
from repram.storaged.disk.files import Files
from repram.storaged.disk.place import Place
from repram.storaged.disk.tier import DiskTier
from tests.storaged.disk.disks import PowerCut

START = 1_800_000_000_000
FOLDER = Path("/store")
SEGMENT = 6_000
SLOTS = 64  # of a ring: 16 minutes


class Said(NamedTuple):
    """What was asked for a key."""

    meta: bytes
    body: bytes
    until: int


def open_tier(files: Files, folder: Path = FOLDER, seed: int = 1) -> DiskTier:
    chance = random.Random(seed)

    def draw(into: memoryview) -> None:
        into[:] = chance.randbytes(len(into))

    return DiskTier.open(folder, files=files, draw=draw, segment_size=SEGMENT, slots=SLOTS)


class Ledger:
    """Asks a tier, and knows for each key what it may answer: what was acknowledged, or anything since."""

    def __init__(self, tier: DiskTier, now: int = START) -> None:
        self.tier = tier
        self.now = now
        self.places: dict[bytes, Place] = {}
        self.sure: dict[bytes, Said] = {}
        self.asked: list[tuple[bytes, Said | None]] = []
        self.ending: list[bytes] = []  # keys that have to be gone after a `tend` 20 seconds later
        self.destroyed: list[bytes] = []

    def put(self, key: bytes, said: Said) -> None:
        if place := self.places.get(key):
            self.ending += self.openers(place)
            self.places[key] = self.tier.replace(place, key, said.meta, said.body, said.until)
        else:
            self.places[key] = self.tier.put(key, said.meta, said.body, said.until)
        self.asked.append((key, said))

    def amend(self, key: bytes, meta: bytes, until: int) -> None:
        self.places[key] = self.tier.amend(self.places[key], meta, until)
        body = next((said.body for k, said in reversed(self.asked) if k == key and said), None)
        self.asked.append((key, Said(meta, self.sure[key].body if body is None else body, until)))

    def drop(self, key: bytes) -> None:
        place = self.places.pop(key)
        self.ending += self.openers(place)
        self.tier.drop(place, ended=True)
        self.asked.append((key, None))

    async def settle(self) -> None:
        await self.tier.settled()
        for key, said in self.asked:
            if said is None:
                self.sure.pop(key, None)
            else:
                self.sure[key] = said
        self.asked.clear()

    async def tend(self, later: int) -> None:
        """So many milliseconds later; what had to be destroyed by then has been."""
        ending = self.ending
        self.now += later
        for key, place in list(self.places.items()):
            if place.until <= self.now:
                ending += [
                    secret
                    for place in [self.places.pop(key)]
                    for secret in self.openers(place)
                    if (place.bucket + 1) * 15_000 <= self.now
                ]
                self.tier.drop(place, ended=False)
        await self.tier.tend(self.now)
        if later > 20_000:
            self.destroyed += ending
            self.ending = []

    def openers(self, place: Place) -> list[bytes]:
        buckets = self.tier._writer.buckets
        pairs = buckets.alive((place.pair, *place.former))
        return [bytes(key) for pair in pairs if (key := buckets.key(pair)) is not None]

    def check(self, tier: DiskTier, successor: Ledger | None = None) -> None:
        """What a tier restores was acknowledged, or asked for since; a successor may go on with it."""
        found: dict[bytes, Said] = {}
        for fact in list(tier.restore(self.now)):
            body = bytes(tier.body(fact.place))
            assert fact.key not in found
            assert len(body) == fact.size
            found[fact.key] = Said(fact.meta, body, fact.until)
            if successor:
                successor.places[fact.key] = fact.place
                successor.sure[fact.key] = found[fact.key]
        for key in {*self.sure, *found, *(key for key, _ in self.asked)}:
            allowed: list[Said | None] = [self.sure.get(key)]
            allowed += [said for asked, said in self.asked if asked == key]
            live = [said if said and said.until > self.now else None for said in allowed]
            assert found.get(key) in live, (key, found.get(key), live)


class History(Ledger):
    """Remembers everything that was ever said of a key."""

    def __init__(self, tier: DiskTier) -> None:
        super().__init__(tier)
        self.said: dict[bytes, list[Said | None]] = {}

    async def settle(self) -> None:
        for key, said in self.asked:
            self.said.setdefault(key, []).append(said)
        await super().settle()


async def script(ledger: Ledger) -> None:
    """A little of everything: bodies of many sizes, groups, renewals, ends, replacements, time, and segments
    that fill up, are emptied, and go."""
    chance = random.Random(7)

    def said(name: bytes, size: int, ttl: int) -> Said:
        return Said(b"about " + name, chance.randbytes(size), ledger.now + ttl)

    for round_ in range(3):
        names = [b"%d/%d" % (round_, index) for index in range(5)]
        for index, name in enumerate(names):
            ledger.put(name, said(name, (0, 40, 700, 2500, 700)[index], 90_000 + 20_000 * index))
            if index % 2:
                await ledger.settle()
        ledger.put(b"same", said(b"same", 300, 500_000))
        await ledger.settle()
        ledger.amend(names[1], b"renewed", ledger.now + 300_000)
        ledger.amend(names[4], b"shorter", ledger.now + 50_000)
        ledger.drop(names[2])
        await ledger.settle()
        ledger.amend(names[1], b"renewed again", ledger.now + 400_000)
        await ledger.settle()
        ledger.drop(names[0])
        await ledger.tend(21_000)
        await ledger.tend(21_000)
        if round_:
            ledger.drop(b"%d/1" % (round_ - 1))
    await ledger.settle()
    await ledger.tend(70_000)
    ledger.put(b"last", said(b"last", 100, 100_000))
    await ledger.settle()


async def few_facts(ledger: Ledger) -> None:
    """A little of everything, in so few bytes that each of them can be looked at."""
    for index in range(6):
        body = bytes([index]) * (index * 60)
        ledger.put(b"key%d" % index, Said(b"meta", body, START + 500_000 + index * 40_000))
    await ledger.settle()
    ledger.amend(b"key2", b"renewed", START + 800_000)
    ledger.put(b"key3", Said(b"other", b"instead", START + 800_000))
    await ledger.settle()
    ledger.drop(b"key4")
    ledger.put(b"key6", Said(b"last", b"of all" * 20, START + 800_000))
    await ledger.settle()


async def until_it_fails(files: Files) -> Ledger | None:
    """The script, as far as it comes; None when not even the tier came to be."""
    try:
        tier = open_tier(files)
    except (PowerCut, RepramError):
        return None
    ledger = Ledger(tier)
    try:
        list(tier.restore(START))
        await script(ledger)
    except (PowerCut, RepramError):
        return ledger
    finally:
        tier._thread.shutdown()
    return ledger
