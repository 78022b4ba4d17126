"""Who waits for the next entry of a feed. Each knows its own place, so nothing queues up for it here."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from repram.errors import Busy

FOLLOWERS_MAX: Final = 256  # in all; each takes one of the calls that may be under way


class Followers:
    """An event for each of them, by feed."""

    def __init__(self) -> None:
        self.count = 0
        self._by_feed: dict[bytes, set[asyncio.Event]] = {}

    def refuse_more(self) -> None:
        """Busy when there are as many as there may be."""
        if self.count >= FOLLOWERS_MAX:
            raise Busy(f"{self.count} others follow feeds of this node, and it takes no more")

    @contextmanager
    def joined(self, feed: bytes) -> Iterator[asyncio.Event]:
        """An event that is set whenever something has happened to the feed."""
        self.refuse_more()
        happened = asyncio.Event()
        self.count += 1
        self._by_feed.setdefault(feed, set()).add(happened)
        try:
            yield happened
        finally:
            self.count -= 1
            self._by_feed[feed].discard(happened)
            if not self._by_feed[feed]:
                del self._by_feed[feed]

    def tell(self, feed: bytes) -> None:
        """Something has happened to it."""
        for happened in self._by_feed.get(feed, ()):
            happened.set()
