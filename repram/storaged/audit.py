"""What is held, seen from its deadlines: nothing may be past its own."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from repram.ids import to_base64url
from repram.storaged.holdings.book import Book

SWEPT_AFTER: Final = (
    1_000  # milliseconds in which the sweep, twice a second, must have met what is due
)
_LISTED_MAX: Final = 1_000
_AT_ONCE: Final = 5_000  # entries looked at without letting requests through
_MINUTE: Final = 60_000
_BOUNDS: Final = {
    "1m": _MINUTE,
    "10m": 10 * _MINUTE,
    "1h": 60 * _MINUTE,
    "6h": 360 * _MINUTE,
    "1d": 1_440 * _MINUTE,
    "7d": 7 * 1_440 * _MINUTE,
    "30d": 30 * 1_440 * _MINUTE,
}


async def audit(book: Book, now: int) -> dict[str, Any]:
    """Everything past its deadline, and how many items and bytes have how long still."""
    counts = dict.fromkeys([*_BOUNDS, "more"], 0)
    sizes = dict(counts)
    overdue: list[dict[str, Any]] = []
    past = 0
    for number, entry in enumerate(list(book.entries())):
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
        left = entry.until - now
        if left <= -SWEPT_AFTER:
            past += 1
            if len(overdue) < _LISTED_MAX:
                overdue.append({"key": to_base64url(entry.key), "late_ms": -left})
        span = next((name for name, bound in _BOUNDS.items() if left <= bound), "more")
        counts[span] += 1
        sizes[span] += entry.size
    spans = [
        {"within": name, "items": counts[name], "bytes": sizes[name]} for name in [*_BOUNDS, "more"]
    ]
    return {"items": sum(counts.values()), "overdue": past, "listed": overdue, "remaining": spans}
