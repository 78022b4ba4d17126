"""The node's time: it never goes back, runs on through suspend, and owes the wall clock little.

It runs on CLOCK_BOOTTIME from an anchor. The wall clock is asked at start, and afterwards only for warnings:
set it as you like while a node runs, and nothing lives longer or dies sooner. What a node with something to
lose remembers of its time (`Mark`) is in a file; without a boot in between, it decides alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from ctypes import CDLL, Structure, byref, c_byte, c_int, c_long, c_uint
from pathlib import Path
from typing import Final, NamedTuple

from repram.errors import ClockRefused

WARN_AT: Final = 500  # milliseconds between the node's time and the wall clock
REFUSE_AT: Final = (
    2_000  # past this, no new items: their deadlines would mean something else to clients
)

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_TIME_ERROR: Final = (
    5  # what adjtimex returns, and the flag that it sets, when nothing sets the clock
)
_STA_UNSYNC: Final = 0x40

_log = logging.getLogger(__name__)


class Reading(NamedTuple):
    """What the machine's clocks say, in milliseconds, and whether anything keeps the wall clock right."""

    wall: int
    boot: int
    boot_id: bytes
    synchronised: bool


class Mark(NamedTuple):
    """The node's time at some moment, and where CLOCK_BOOTTIME of which boot stood then."""

    time: int
    boot: int
    boot_id: bytes


UNKNOWN: Final = Mark(0, 0, b"")  # there was a mark, and it cannot be read


class Clock:
    """`now()` is the node's time.

    While it is not `settled`, the true time is not known, but is not before `now()`: what is held is
    neither served nor shredded. Readings come from outside; `boottime` is the one clock asked each time.
    """

    def __init__(self, boottime: Callable[[], int], reading: Reading, mark: Mark | None) -> None:
        self._boottime = boottime
        self._boot_id = reading.boot_id
        self.settled = True
        self.offset = 0  # of the wall clock to the node's time, when it was last looked at
        if mark is None:
            self._anchor(reading, reading.wall)
        elif mark.boot_id == reading.boot_id != b"" and mark.boot <= reading.boot:
            self._anchor(reading, mark.time + reading.boot - mark.boot)
        else:
            self._anchor(reading, mark.time)
            self.settled = False
        self.check(reading)

    def now(self) -> int:
        """Milliseconds since 1970, as this node has it."""
        return self._boottime() + self._ahead

    def check(self, reading: Reading) -> None:
        """Look at the wall clock: to settle by it, or to warn of it."""
        if not self.settled and reading.synchronised and reading.wall >= self._at(reading):
            self._settle(reading)
        before, self.offset = self.offset, reading.wall - self._at(reading)
        if self.settled and (abs(before) >= WARN_AT) != (abs(self.offset) >= WARN_AT):
            how = "is again close to" if abs(self.offset) < WARN_AT else "has left"
            _log.warning("the wall clock %s the node's time offset_ms=%d", how, self.offset)

    def accept(self, reading: Reading) -> None:
        """The node's owner says that the wall clock is right. Even so, time does not go back."""
        self._settle(reading)
        self.check(reading)

    def refuse_unsettled(self) -> None:
        """Raise ClockRefused as long as nobody knows what time it is."""
        if not self.settled:
            raise ClockRefused(
                "this node does not know the time since its machine started, and holds everything back",
                hint="It goes on when the machine's clock is synchronised, or after "
                "`repram storaged clock accept`.",
            )

    def refuse_new(self) -> None:
        """Raise ClockRefused when the wall clock is too far away for new deadlines to mean one thing."""
        self.refuse_unsettled()
        if abs(self.offset) > REFUSE_AT:
            raise ClockRefused(
                f"this node's time and its machine's clock are {abs(self.offset) / 1000:.1f} s apart, so it "
                "takes nothing new"
            )

    def mark(self) -> Mark | None:
        """What to remember; nothing while unsettled, for then the old mark says more."""
        if not self.settled:
            return None
        boot = self._boottime()
        return Mark(boot + self._ahead, boot, self._boot_id)

    def _settle(self, reading: Reading) -> None:
        self._anchor(reading, max(reading.wall, self._at(reading)))
        self.settled = True

    def _anchor(self, reading: Reading, now: int) -> None:
        self._ahead = now - reading.boot

    def _at(self, reading: Reading) -> int:
        return reading.boot + self._ahead


def boottime() -> int:
    """CLOCK_BOOTTIME goes on through suspend and never jumps."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def read() -> Reading:
    """What this machine's clocks say now."""
    boot_id = b""
    with suppress(OSError, ValueError):
        boot_id = bytes.fromhex(_BOOT_ID.read_text("ascii").strip().replace("-", ""))
    return Reading(time.time_ns() // 1_000_000, boottime(), boot_id, _synchronised())


class _Timex(Structure):
    """The start of the kernel's struct, and room enough for the rest."""

    _fields_ = (
        ("modes", c_uint),
        ("_errors", c_long * 4),  # offset, freq, maxerror, esterror
        ("status", c_int),
        ("_rest", c_byte * 256),
    )


def _synchronised() -> bool:
    """Whether the kernel believes that someone (NTP, the hypervisor) keeps the wall clock right."""
    asked = _Timex()
    try:
        state = CDLL(None).adjtimex(byref(asked))
    except (OSError, AttributeError):
        return False
    return 0 <= state < _TIME_ERROR and not asked.status & _STA_UNSYNC
