"""One direction of a path: what befalls a datagram between two hosts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import IntEnum
from random import Random

from tests.sim.marked import CE


class Fate(IntEnum):
    """What became of one datagram that was offered to a link."""

    DELIVERED = 0
    LOST = 1
    BURST_LOST = 2
    OVERFLOWED = 3
    OVERSIZE = 4
    BLACKED_OUT = 5
    UNROUTED = 6


@dataclass(frozen=True, slots=True)
class Burst:
    """Gilbert-Elliott: a good and a bad state, and the share that is lost in the bad one.

    The chance to enter it is per datagram. Its length is a time, so that whoever sends rarely is
    not caught in it for long: on the average so many microseconds."""

    enter: float
    length: int
    loss: float = 1.0


@dataclass(frozen=True, slots=True)
class Rows:
    """Loss in rows: this share of all datagrams, always so many one after another, however far apart."""

    share: float
    length: int

    @property
    def begins(self) -> float:
        """The chance that one which was not lost with the one before it begins a row."""
        return self.share / (self.length - self.share * (self.length - 1))


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """Times are microseconds, sizes bytes, rates bytes a second; zero turns a thing off.

    A link `marks` a share of what may be marked, and all of it while more than so many bytes wait;
    or it bleaches: no mark gets through.
    Of `mtu_changes` each says from when on the MTU is another one."""

    delay: int = 10_000
    jitter: int = 0
    rate: int = 0
    queue: int = 256 * 1024
    loss: float = 0.0
    burst: Burst | None = None
    rows: Rows | None = None
    duplicate: float = 0.0
    reorder: float = 0.0
    reorder_delay: int = 20_000
    corrupt: float = 0.0
    corrupt_bits: int = 8
    mtu: int = 65_507
    mtu_changes: tuple[tuple[int, int], ...] = ()
    marks: float = 0.0
    marks_above: int = 0
    bleaches: bool = False
    blackouts: tuple[tuple[int, int], ...] = ()

    def queue_delay(self) -> int:
        """How long a datagram stands in a full queue."""
        return self.queue * 1_000_000 // self.rate if self.rate else 0

    def mtu_at(self, now: int) -> int:
        """The largest datagram that passes now."""
        return next((mtu for since, mtu in reversed(self.mtu_changes) if since <= now), self.mtu)


Arrivals = list[tuple[int, bytes]]
NOTHING: Arrivals = []


class Link:
    """Carries datagrams one way; every kind of mishap draws from a generator of its own."""

    def __init__(self, settings: LinkSettings, seed: str) -> None:
        self.settings = settings
        self.counts: Counter[str] = Counter()
        self._loss = Random(f"{seed}/loss")
        self._burst = Random(f"{seed}/burst")
        self._rows = Random(f"{seed}/rows")
        self._jitter = Random(f"{seed}/jitter")
        self._duplicate = Random(f"{seed}/duplicate")
        self._reorder = Random(f"{seed}/reorder")
        self._corrupt = Random(f"{seed}/corrupt")
        self._marks = Random(f"{seed}/marks")
        self._burst_ends = -1
        self._row_left = 0
        self._queue_empty_at = 0  # nanoseconds: a microsecond is too coarse at high rates
        self._jitter_slot = -1
        self._jitter_from = 0.0
        self._jitter_to = 0.0

    def carry(self, now: int, datagram: bytes) -> tuple[Fate, Arrivals]:
        """Say what becomes of a datagram sent now, and which copies arrive when."""
        settings = self.settings
        if len(datagram) > settings.mtu_at(now):
            return self._dropped(Fate.OVERSIZE)
        for start, end in settings.blackouts:
            if start <= now < end:
                return self._dropped(Fate.BLACKED_OUT)
        leaves = now
        if settings.rate:
            leaves = self._through_queue(now, len(datagram))
            if leaves < 0:
                return self._dropped(Fate.OVERFLOWED)
        if settings.loss and self._loss.random() < settings.loss:
            return self._dropped(Fate.LOST)
        if settings.burst and self._lost_in_burst(settings.burst, leaves):
            return self._dropped(Fate.BURST_LOST)
        if settings.rows and self._lost_in_row(settings.rows):
            return self._dropped(Fate.BURST_LOST)
        return Fate.DELIVERED, self._copies(leaves + settings.delay, datagram)

    def mark(self, now: int, ecn: int) -> int:
        """The ECN bits with which a datagram arrives that was sent now with these."""
        settings = self.settings
        if not ecn or settings.bleaches:
            return 0
        waiting = (self._queue_empty_at - now * 1000) * settings.rate // 1_000_000_000
        crowded = settings.marks_above and waiting > settings.marks_above
        if crowded or (settings.marks and self._marks.random() < settings.marks):
            self.counts["link_marked"] += 1
            return CE
        return ecn

    def _dropped(self, fate: Fate) -> tuple[Fate, Arrivals]:
        self.counts[f"link_{fate.name.lower()}"] += 1
        return fate, NOTHING

    def _through_queue(self, now: int, size: int) -> int:
        """The time at which the last byte leaves, or -1 when the queue has no room."""
        rate = self.settings.rate
        start = max(self._queue_empty_at, now * 1000)
        waiting = (start - now * 1000) * rate // 1_000_000_000
        if waiting + size > self.settings.queue:
            return -1
        self._queue_empty_at = start + size * 1_000_000_000 // rate
        return -(-self._queue_empty_at // 1000)

    def _lost_in_burst(self, burst: Burst, now: int) -> bool:
        if now > self._burst_ends and self._burst.random() < burst.enter:
            self._burst_ends = now + int(self._burst.expovariate(1 / burst.length))
        return now <= self._burst_ends and self._burst.random() < burst.loss

    def _lost_in_row(self, rows: Rows) -> bool:
        if not self._row_left and self._rows.random() < rows.begins:
            self._row_left = rows.length
        lost = self._row_left > 0
        self._row_left -= lost
        return lost

    def _copies(self, arrival: int, datagram: bytes) -> Arrivals:
        settings = self.settings
        if settings.jitter:
            arrival += self._wandering(arrival, settings.jitter)
        if settings.reorder and self._reorder.random() < settings.reorder:
            self.counts["link_reordered"] += 1
            arrival += 1 + int(self._reorder.random() * settings.reorder_delay)
        arrived = self._maybe_corrupted(datagram) if settings.corrupt else datagram
        if settings.duplicate and self._duplicate.random() < settings.duplicate:
            self.counts["link_duplicated"] += 1
            again = arrival + int(self._duplicate.random() * settings.reorder_delay)
            return [(arrival, arrived), (again, datagram)]
        return [(arrival, arrived)]

    def _wandering(self, time: int, jitter: int) -> int:
        """A delay that wanders in straight lines, never so fast that it reorders."""
        slot, within = divmod(time, 2 * jitter)
        if slot != self._jitter_slot:
            follows = slot == self._jitter_slot + 1
            self._jitter_from = self._jitter_to if follows else self._jitter.random() * jitter
            self._jitter_to = self._jitter.random() * jitter
            self._jitter_slot = slot
        slope = (self._jitter_to - self._jitter_from) / (2 * jitter)
        return int(self._jitter_from + slope * within)

    def _maybe_corrupted(self, datagram: bytes) -> bytes:
        if self._corrupt.random() >= self.settings.corrupt:
            return datagram
        self.counts["link_corrupted"] += 1
        spoiled = bytearray(datagram)
        flips = 1 + self._corrupt.randrange(self.settings.corrupt_bits)
        for bit in self._corrupt.sample(range(8 * len(spoiled)), min(flips, 8 * len(spoiled))):
            spoiled[bit >> 3] ^= 1 << (bit & 7)
        return bytes(spoiled)
