"""How a node is, gathered from its rooms for whoever watches it: the pages of `health`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from repram.storaged.audit import SWEPT_AFTER
from repram.storaged.disk.tier import Counts, DiskTier
from repram.storaged.health import Watched
from repram.storaged.holdings import chunks, ends, entries, versions
from repram.storaged.metrics import Standing

if TYPE_CHECKING:
    from repram.storaged.node import Node

_KINDS: Final = {
    chunks.LETTER: "chunk",
    ends.LETTER: "end",
    versions.RECORD: "record",
    versions.FLOOR: "floor",
    entries.ENTRY: "entry",
    entries.HEAD: "feed",
    entries.FORK: "fork",
}


def watched(node: Node, stop: asyncio.Event) -> Watched:
    """What the pages of this node show; `stop` is set once it is to end."""
    return Watched(
        metrics=lambda: node.metrics.page(standing(node, stop)),
        unhealthy=lambda: _trouble(node),
        unready=lambda: _unready(node, stop),
    )


def standing(node: Node, stop: asyncio.Event) -> Standing:
    """All numbers, as they are now."""
    book, clock = node.book, node.clock
    on_disk = book.tier.counts() if isinstance(book.tier, DiskTier) else Counts(0, 0, 0)
    late = book.overdue(clock.now() - SWEPT_AFTER) if clock.settled else 0
    return Standing(
        tier=book.tier.name,
        capacity=book.capacity,
        used=book.used,
        items={kind: book.held[letter] for letter, kind in _KINDS.items()},
        overdue=late,
        expired=book.expired,
        ended=book.ended,
        shredded=on_disk.shredded,
        unreadable=on_disk.unreadable,
        log_bytes=on_disk.log_bytes,
        clock_offset=clock.offset / 1_000,
        settled=clock.settled,
        draining=node.keeper.draining or stop.is_set(),
        kernel_drops=node.front.kernel_drops,
        transport=node.front.counters(),
    )


def _trouble(node: Node) -> str:
    return node.book.tier.trouble if isinstance(node.book.tier, DiskTier) else ""


def _unready(node: Node, stop: asyncio.Event) -> str:
    if stop.is_set():
        return "it is shutting down"
    if node.keeper.draining:
        return "it is being emptied and takes nothing new"
    if not node.clock.settled:
        return "it does not know the time yet, and holds everything back"
    return ""
