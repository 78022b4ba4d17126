"""The spaces that a person's programs know by name; one of them is there from its first use on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from repram.crypto.spaces import Space
from repram.errors import Conflict, NotFound, UsageError
from repram.sdk.state import StateFile, check_name, state_folder

OWN: Final = "default"
SPACES_MAX: Final = 256


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A space in the file."""

    name: Annotated[str, Meta(max_length=63)]
    line: Annotated[str, Meta(max_length=128)]


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file."""

    spaces: Annotated[tuple[Row, ...], Meta(max_length=SPACES_MAX)] = ()


class Spaces:
    """The list, in a file that holds secrets."""

    def __init__(self, path: Path | None = None) -> None:
        self._file = StateFile(path or state_folder(os.environ) / "spaces.json", Table)

    def names(self) -> tuple[str, ...]:
        """What they are called here."""
        return tuple(row.name for row in self._file.read().spaces)

    def named(self, name: str) -> Space:
        """The space of this name."""
        return _found(self._file.read(), name)

    def own(self) -> Space:
        """This person's own, made when it is first asked for, by one program alone."""

        def change(table: Table) -> Table:
            if any(row.name == OWN for row in table.spaces):
                return table
            return Table((*table.spaces, Row(OWN, str(Space.new()))))

        return _found(self._file.update(change), OWN)

    def add(self, name: str, space: Space) -> None:
        """Know it by this name; Conflict when another has it."""
        check_name(name)

        def change(table: Table) -> Table:
            line = str(space)
            for row in table.spaces:
                if row.name == name and row.line == line:
                    return table
                if row.name == name:
                    raise Conflict(
                        f"another space is called {name!r} already",
                        hint="Give this one another name.",
                    )
            if len(table.spaces) >= SPACES_MAX:
                raise UsageError(f"there are {SPACES_MAX} spaces already")
            return Table((*table.spaces, Row(name, line)))

        self._file.update(change)


def _found(table: Table, name: str) -> Space:
    for row in table.spaces:
        if row.name == name:
            return Space.parse(row.line)
    raise NotFound(
        f"no space is called {name[:63]!r}",
        hint="`repram space ls` lists those that are known; `space new` and `space join` add one.",
    )
