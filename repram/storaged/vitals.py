"""How a node is, gathered from its rooms for whoever watches it: the pages of `health`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from repram.storaged.audit import SWEPT_AFTER
from repram.storaged.health import Watched
from repram.storaged.metrics import Standing

if TYPE_CHECKING:
    from repram.storaged.node import Node

_KINDS: Final = {b"c": "chunk", b"e": "end", b"f": "feed", b"r": "record"}


def watched(node: Node, stop: asyncio.Event) -> Watched:
    """What the pages of this node show; `stop` is set once it is to end."""
    return Watched(
        metrics=lambda: node.metrics.page(standing(node, stop)),
        unhealthy=lambda: "",
        unready=lambda: _unready(node, stop),
    )


def standing(node: Node, stop: asyncio.Event) -> Standing:
    """All numbers, as they are now."""
    book, clock = node.book, node.clock
    late = book.overdue(clock.now() - SWEPT_AFTER) if clock.settled else 0
    return Standing(
        tier=book.tier.name,
        capacity=book.capacity,
        used=book.used,
        items={_kind(letter): count for letter, count in book.held.items()},
        overdue=late,
        expired=book.expired,
        ended=book.ended,
        clock_offset=clock.offset / 1_000,
        settled=clock.settled,
        draining=node.keeper.draining or stop.is_set(),
        kernel_drops=node.front.kernel_drops,
        transport=node.front.counters(),
    )


def _kind(letter: bytes) -> str:
    return _KINDS.get(letter, letter.decode("latin-1"))


def _unready(node: Node, stop: asyncio.Event) -> str:
    if stop.is_set():
        return "it is shutting down"
    if node.keeper.draining:
        return "it is being emptied and takes nothing new"
    if not node.clock.settled:
        return "it does not know the time yet, and holds everything back"
    return ""
