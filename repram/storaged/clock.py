"""The node's time: the wall clock's at the start, and from then on CLOCK_BOOTTIME's."""

from __future__ import annotations

import time
from collections.abc import Callable


def anchored() -> Callable[[], int]:
    """Milliseconds that go on through suspend and never jump, whoever sets the wall clock."""
    ahead = time.time_ns() // 1_000_000 - _boottime()
    return lambda: _boottime() + ahead


def _boottime() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
