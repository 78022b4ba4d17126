"""The node's two clocks, read at the edge and passed in as one value."""

from __future__ import annotations

import time
from typing import NamedTuple


class Moment(NamedTuple):
    """Milliseconds on the clock that decides about expiry, and on the wall, which is only told."""

    boot: int
    wall: int


def now() -> Moment:
    """CLOCK_BOOTTIME goes on through suspend and never jumps."""
    boot = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
    return Moment(boot, time.time_ns() // 1_000_000)
