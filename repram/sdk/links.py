"""The links that were made here: what became of them, and what can still be done about them.

Each stands in a file of its own, with the keys that end and renew what it names; it goes when its time is
over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from repram.crypto.links import Link
from repram.ids import NodeAddress

State: TypeAlias = Literal["live", "revoked"]


@dataclass(frozen=True, slots=True)
class Made:
    """One link that was made here; times in milliseconds of this machine's clock."""

    link: Link
    kind: Literal["file", "tree"]
    name: str
    size: int
    made: int
    expires: int
    hosts: tuple[NodeAddress, ...]
    downloads: int  # 0: as often as anyone likes
    password: bool
    people: int  # to how many it was sealed; 0: to whoever has the link
    state: State


@dataclass(frozen=True, slots=True)
class Standing:
    """How a link stands on one host, as the host says."""

    host: NodeAddress
    remaining: int  # milliseconds; 0: it is not there
    left: int | None  # downloads; None: without a limit, or it is not there
    under_way: int
    trouble: str  # why the host could not be asked, or ""


@dataclass(frozen=True, slots=True)
class Happened:
    """One thing that was done with a link, and when it would expire from then on."""

    what: Literal["made", "extended", "revoked"]
    time: int
    expires: int


class Links:
    """All of them. A link is named by its text, its `Link`, or the first characters of its id."""

    async def ls(self) -> tuple[Made, ...]:
        """Those that live, and those that were revoked before their time; the newest first."""
        raise NotImplementedError

    async def info(self, which: str | Link) -> tuple[Made, tuple[Standing, ...]]:
        """What it is, and how it stands on each host that has it."""
        raise NotImplementedError

    async def revoke(self, which: str | Link) -> Made:
        """Have every host forget it, now and for good; Unreachable names those that could not be told."""
        raise NotImplementedError

    async def extend(self, which: str | Link, ttl: str) -> Made:
        """Let it live for so long from now on; never shorter than before."""
        raise NotImplementedError

    async def history(self, which: str | Link) -> tuple[Happened, ...]:
        """What was done with it, the oldest first."""
        raise NotImplementedError
