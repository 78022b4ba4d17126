"""What a transfer tells while it is under way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Began:
    """It is known what there is to do: so many bytes (None: not known before the end), of which so
    many had gone in an earlier attempt that this one takes up."""

    total: int | None
    resumed: int


@dataclass(frozen=True, slots=True)
class Moved:
    """How many bytes have gone, of how many when that is known."""

    done: int
    total: int | None


@dataclass(frozen=True, slots=True)
class Trouble:
    """A host failed, and the transfer goes on: it is tried again, or others do without it."""

    host: str
    message: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something in a folder does not travel: a device, what cannot be read, a link that leads out."""

    path: str
    why: str


@dataclass(frozen=True, slots=True)
class Finished:
    """All is done: so many bytes of content, padding not counted."""

    size: int


Event: TypeAlias = Began | Moved | Trouble | LeftOut | Finished
