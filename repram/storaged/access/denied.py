"""What a node's owner does not want on it: items, and owners with all that is theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from repram.errors import NotAllowed, NotFound
from repram.ids import ItemId
from repram.storaged.access.table import Table


class Denial(msgspec.Struct, frozen=True):
    """One item or one owner, by its 32 bytes."""

    kind: Literal["item", "owner"]
    id: Annotated[bytes, Meta(min_length=32, max_length=32)]
    reason: Annotated[str, Meta(max_length=200)] = ""

    def row(self) -> dict[str, str]:
        """As people see it."""
        return {"kind": self.kind, "id": str(ItemId(self.id)), "reason": self.reason}


class Denied:
    """The list; a change is on the disk before it counts."""

    def __init__(self, path: Path | None) -> None:
        self._table = Table(Denial, path)
        self._index(self._table.read())

    def refuse(self, item: bytes, owner: bytes) -> None:
        """Raise NotAllowed for what is on the list."""
        if item in self._items or owner in self._owners:
            raise NotAllowed(
                "the owner of this node does not want this here", hint="Store on another node."
            )

    def add(self, denial: Denial) -> None:
        """Refuse this from now on; once is enough."""
        self._keep([*(each for each in self.all if not _same(each, denial)), denial])

    def remove(self, kind: str, raw: bytes) -> None:
        """Refuse it no more."""
        left = [each for each in self.all if (each.kind, each.id) != (kind, raw)]
        if len(left) == len(self.all):
            raise NotFound(
                f"the {kind} {ItemId(raw)} is not on the list", hint="`repram storaged deny ls`"
            )
        self._keep(left)

    def _keep(self, denials: list[Denial]) -> None:
        self._table.write(denials)
        self._index(denials)

    def _index(self, denials: list[Denial]) -> None:
        self.all = denials
        self._items = {each.id for each in denials if each.kind == "item"}
        self._owners = {each.id for each in denials if each.kind == "owner"}


def _same(one: Denial, other: Denial) -> bool:
    return (one.kind, one.id) == (other.kind, other.id)
