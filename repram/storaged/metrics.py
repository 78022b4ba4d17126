"""What a node counts, under the names that docs/operations.md lists.

Rooms count in plain integers of their own, which `Standing` gathers when someone asks. Only what has to be
timed is told here as it happens: an answer, and an `fsync`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from resource import getpagesize
from typing import Final

import repram
from repram.proto.rpc import Code
from repram.storaged.exposition import Family, Histogram, Kind, Labels, page

_PREFIX: Final = "repram_storaged_"
_REQUEST_BOUNDS: Final = (
    *(0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005),
    *(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)
_FSYNC_BOUNDS: Final = (
    *(0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025),
    *(0.05, 0.1, 0.25, 0.5, 1.0, 5.0),
)
_UNREADABLE: Final = "unreadable"  # the verb of what was no request that this node knows
_HANDSHAKES: Final = {
    "completed": "handshakes_completed",
    "failed": "handshakes_failed",
    "refused": "refused_out",
    "asked_for_cookie": "retries_out",
}
_DROPPED: Final = "dropped_"
# Counters of the transport that are shown under names of their own, or are no counters.
_TOLD_ELSEWHERE: Final = frozenset(
    {*("datagrams_in", "datagrams_out", "bytes_in", "bytes_out", "sessions", "streams")}
    | {*("arena_used", "arena_peak"), *_HANDSHAKES.values()}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the node stands at one moment, and what its rooms have counted since it started."""

    tier: str
    capacity: int
    used: int
    items: Mapping[str, int]  # by kind
    overdue: int = 0  # items that are still here past their deadline; there must be none
    expired: int = 0
    ended: int = 0
    shredded: int = 0  # bucket keys destroyed
    unreadable: int = 0  # entries of the log that were damaged
    log_bytes: int = 0
    clock_offset: float = 0.0  # seconds
    settled: bool = True
    draining: bool = False
    kernel_drops: int = 0
    transport: Mapping[str, int] = field(default_factory=dict)  # Core.counters()


class _Answers:
    __slots__ = ("codes", "seconds")

    def __init__(self) -> None:
        self.codes: defaultdict[int, int] = defaultdict(int)
        self.seconds = Histogram(_REQUEST_BOUNDS)


class Metrics:
    """One a node; told from the event loop's thread."""

    def __init__(self, started: float) -> None:
        """`started`: seconds since 1970."""
        self._started = started
        self._answers: defaultdict[type | None, _Answers] = defaultdict(_Answers)
        self._fsyncs = Histogram(_FSYNC_BOUNDS)

    def answered(self, kind: type | None, code: int, nanoseconds: int) -> None:
        """A request of this kind (None: it could not be read) was answered with this code; 0: done."""
        answers = self._answers[kind]
        answers.codes[code] += 1
        answers.seconds.observe(nanoseconds * 1e-9)

    def synced(self, seconds: float) -> None:
        """An `fsync` took so long."""
        self._fsyncs.observe(seconds)

    def page(self, standing: Standing) -> str:
        """Everything in Prometheus' text format."""
        return page(self._families(standing))

    def _families(self, now: Standing) -> Iterator[Family]:
        yield from self._of_requests()
        yield from self._of_items(now)
        yield from self._of_the_process(now)
        yield from _of_the_transport(now.transport, now.kernel_drops)

    def _of_requests(self) -> Iterator[Family]:
        counts: dict[Labels, float] = {}
        seconds: dict[Labels, float | Histogram] = {}
        for kind, answers in self._answers.items():
            verb = _verb(kind)
            seconds[verb,] = answers.seconds
            counts |= {(verb, _outcome(code)): count for code, count in answers.codes.items()}
        yield _family("requests_total", "counter", _REQUESTS, counts, ("verb", "outcome"))
        yield Family(_PREFIX + "request_seconds", "histogram", _SECONDS, seconds, ("verb",))

    def _of_items(self, now: Standing) -> Iterator[Family]:
        yield _by("items", "gauge", "Items that are held.", "kind", now.items)
        yield _one("used_bytes", "gauge", "What they take, all costs included.", now.used)
        yield _one("capacity_bytes", "gauge", "What they may take at most.", now.capacity)
        yield _one("overdue_items", "gauge", "Items past their deadline; must be 0.", now.overdue)
        yield _one("expired_items_total", "counter", "Items whose time was over.", now.expired)
        yield _one("ended_items_total", "counter", "Items ended before their time.", now.ended)
        yield _one("shredded_buckets_total", "counter", "Bucket keys destroyed.", now.shredded)
        yield _one("unreadable_entries_total", "counter", _DAMAGED, now.unreadable)
        yield _one("log_bytes", "gauge", "Size of the body log on disk.", now.log_bytes)
        yield Family(
            _PREFIX + "fsync_seconds", "histogram", "How long an fsync took.", {(): self._fsyncs}
        )

    def _of_the_process(self, now: Standing) -> Iterator[Family]:
        yield _one("clock_offset_seconds", "gauge", _OFFSET, now.clock_offset)
        yield _one("clock_settled", "gauge", "1 once the clock is trusted.", now.settled)
        yield _one("draining", "gauge", "1 while it is shutting down.", now.draining)
        yield _one("resident_bytes", "gauge", "Memory that the process takes.", resident_bytes())
        yield _one("start_time_seconds", "gauge", "When it started, since 1970.", self._started)
        labels: dict[Labels, float] = {(repram.__version__, now.tier): 1.0}
        yield _family("info", "gauge", "Always 1.", labels, ("version", "tier"))


_REQUESTS: Final = "Requests answered."
_SECONDS: Final = "From a request's arrival, with its body, until its answer was ready."
_DAMAGED: Final = "Entries of the log that are damaged, each of which is lost."
_OFFSET: Final = "How far the clock is off, as far as others can tell; positive: it is behind."


def _of_the_transport(counters: Mapping[str, int], kernel_drops: int) -> Iterator[Family]:
    def count(name: str) -> int:
        return counters.get(name, 0)

    yield _one("sessions", "gauge", "Sessions that are open.", count("sessions"))
    yield _one("streams", "gauge", "Streams that are open.", count("streams"))
    handshakes = {outcome: count(name) for outcome, name in _HANDSHAKES.items()}
    yield _by("handshakes_total", "counter", "Handshakes, by outcome.", "outcome", handshakes)
    yield _one("received_bytes_total", "counter", "Bytes of UDP that came.", count("bytes_in"))
    yield _one("sent_bytes_total", "counter", "Bytes of UDP that went.", count("bytes_out"))
    yield _one("received_datagrams_total", "counter", "Datagrams in.", count("datagrams_in"))
    yield _one("sent_datagrams_total", "counter", "Datagrams out.", count("datagrams_out"))
    dropped = {
        name.removeprefix(_DROPPED): value
        for name, value in counters.items()
        if name.startswith(_DROPPED)
    }
    dropped["kernel"] = kernel_drops  # its buffer was full
    yield _by("dropped_datagrams_total", "counter", "Datagrams dropped.", "cause", dropped)
    memory = {"used": count("arena_used"), "peak": count("arena_peak")}
    yield _by("transport_memory_bytes", "gauge", "For data in flight.", "state", memory)
    others = {
        name: value
        for name, value in counters.items()
        if name not in _TOLD_ELSEWHERE and not name.startswith(_DROPPED)
    }
    yield _by("transport_events_total", "counter", "All else it counts.", "event", others)


def resident_bytes() -> int:
    """What the process takes of the machine's memory; 0 where the kernel does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * getpagesize()
    except (OSError, IndexError, ValueError):
        return 0


def _verb(kind: type | None) -> str:
    return _UNREADABLE if kind is None else kind.__name__.lower()


def _outcome(code: int) -> str:
    return Code(code).name.lower() if code else "done"


def _family(
    name: str, kind: Kind, about: str, samples: Mapping[Labels, float], labels: tuple[str, ...] = ()
) -> Family:
    return Family(_PREFIX + name, kind, about, dict(samples), labels)


def _one(name: str, kind: Kind, about: str, value: float) -> Family:
    return _family(name, kind, about, {(): float(value) if isinstance(value, bool) else value})


def _by(name: str, kind: Kind, about: str, label: str, values: Mapping[str, int]) -> Family:
    return _family(name, kind, about, {(key,): value for key, value in values.items()}, (label,))
