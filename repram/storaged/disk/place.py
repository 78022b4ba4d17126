"""A place: one fact as the disk tier knows it."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from repram.storaged.disk.arena import NO_SLOT
from repram.storaged.disk.entries import Pair
from repram.storaged.disk.ring import BUCKET
from repram.storaged.tier import Bytes

if TYPE_CHECKING:
    from repram.storaged.disk.log import Segment


class State(Enum):
    """How far it has come."""

    KEPT = auto()  # or on its way
    UNDONE = auto()  # it could not be written
    GONE = auto()  # dropped, or amended to another place


class Place:
    """A fact: what is said of it, where it stands, and which keys have to do with it.

    What the event loop asks for is set when it is made; where it stands is the writer's to set.
    """

    __slots__ = (
        "at",
        "before",
        "former",
        "generation",
        "head",
        "head_size",
        "horizon",
        "instead",
        "key",
        "meta",
        "pending",
        "size",
        "slot",
        "state",
        "until",
    )

    def __init__(self, key: bytes, meta: bytes, size: int, until: int, horizon: int) -> None:
        self.key = key
        self.meta = meta
        self.size = size
        self.until = until
        self.horizon = max(until, horizon)
        self.state = State.KEPT
        self.instead: Place | None = None  # what is kept if this one comes to nothing
        self.pending: Bytes | None = None  # the body, until it has been written
        self.head: Segment | None = None
        self.head_size = 0
        self.at: tuple[Segment, int] | None = None  # the sealed body
        self.slot = NO_SLOT  # of the item key in the arena
        self.generation = 0  # of the bucket key that wraps it
        self.former: tuple[Pair, ...] = ()
        self.before = 0  # for what is dropped: see Kind.DROP

    @property
    def bucket(self) -> int:
        """The bucket whose key goes when this fact's time is over."""
        return self.until // BUCKET

    @property
    def pair(self) -> Pair:
        """The bucket key that wraps its item key."""
        return Pair(self.bucket, self.generation)

    def kept(self) -> Place | None:
        """This one, or the one that is kept in its stead because it could not be written."""
        place: Place | None = self
        while place is not None and place.state is State.UNDONE:
            place = place.instead
        return place
