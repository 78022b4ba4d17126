"""The nodes that a person has added, and which of them is meant."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Self

import msgspec
from msgspec import Meta

from repram.crypto.links import Invite
from repram.errors import Conflict, NotFound, UsageError
from repram.ids import INVITE_SCHEME, NodeAddress
from repram.proto.connection import Secret
from repram.sdk.state import StateFile, check_name, is_name, state_folder

HOSTS_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class Host:
    """A node to store on: its address, and the secret of an invite where it wants one."""

    address: NodeAddress
    secret: Secret | None = field(default=None, repr=False)
    name: str = ""

    @classmethod
    def parse(cls, text: str, name: str = "") -> Self:
        """Read an address or an invite as a person pastes it."""
        if text.strip().startswith(INVITE_SCHEME):
            invite = Invite.parse(text)
            return cls(invite.node, Secret(invite.id, invite.secret), name)
        return cls(NodeAddress.parse(text), None, name)

    def line(self) -> str:
        """What `parse` reads; an invite is a secret."""
        if self.secret is None:
            return str(self.address)
        return str(Invite(self.address, self.secret.id, self.secret.secret))


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A host in the file: its address, or its invite."""

    name: Annotated[str, Meta(max_length=63)]
    line: Annotated[str, Meta(max_length=512)]


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file."""

    hosts: Annotated[tuple[Row, ...], Meta(max_length=HOSTS_MAX)] = ()
    default: Annotated[str, Meta(max_length=63)] = ""


class Hosts:
    """The list, in a file that holds secrets."""

    def __init__(self, path: Path | None = None) -> None:
        self._file = StateFile(path or state_folder(os.environ) / "hosts.json", Table)

    def all(self) -> tuple[Host, ...]:
        """In the order in which they were added."""
        return tuple(Host.parse(row.line, row.name) for row in self._file.read().hosts)

    def default(self) -> Host | None:
        """The only one, or the one that was made the default."""
        table = self._file.read()
        wanted = table.hosts[0].name if len(table.hosts) == 1 else table.default
        return next((host for host in self.all() if host.name == wanted), None)

    def named(self, name: str) -> Host:
        """The host of this name."""
        for host in self.all():
            if host.name == name:
                return host
        raise NotFound(
            f"no host is called {name[:63]!r}", hint="`repram hosts ls` lists those that are known."
        )

    def add(self, host: Host, *, default: bool = False) -> Host:
        """Remember it, under its name or one that is made from its address; the host as it is kept.

        The same node under the same name is replaced: its address or its invite is a new one.
        """
        added = host

        def change(table: Table) -> Table:
            nonlocal added
            rows = {row.name: row for row in table.hosts}
            name = host.name or _free_name(host.address, rows)
            check_name(name)
            if name in rows and Host.parse(rows[name].line).address.key != host.address.key:
                raise Conflict(
                    f"another node is called {name!r} already",
                    hint=f"Give it a --name, or remove the other: `repram hosts rm {name}`.",
                )
            if len(rows | {name: ()}) > HOSTS_MAX:
                raise UsageError(f"there are {HOSTS_MAX} hosts already; remove one first")
            added = Host(host.address, host.secret, name)
            rows[name] = Row(name, added.line())
            return Table(tuple(rows.values()), name if default else table.default)

        self._file.update(change)
        return added

    def remove(self, name: str) -> None:
        """Forget it, and the secret of its invite."""

        def change(table: Table) -> Table:
            rest = tuple(row for row in table.hosts if row.name != name)
            return Table(rest, "" if table.default == name else table.default)

        self.named(name)
        self._file.update(change)

    def chosen(self, wanted: str | None, environment: Mapping[str, str]) -> Host:
        """The host that is meant: by name or address, else by $REPRAM_HOST, else the default."""
        if wanted is None:
            wanted = environment.get("REPRAM_HOST") or None
        if wanted is not None:
            return self._meant(wanted)
        if (host := self.default()) is not None:
            return host
        known = ", ".join(host.name for host in self.all())
        if known:
            raise UsageError(
                f"several hosts are known ({known}), and none of them is the default",
                hint="Name one with --host, or add it again with --default.",
            )
        raise UsageError(
            "no node to store on is known",
            hint="Add one with `repram hosts add`, or start one with `repram storaged run --public` "
            "and give its address as --host or in $REPRAM_HOST.",
        )

    def _meant(self, text: str) -> Host:
        if is_name(text):
            try:
                return self.named(text)
            except NotFound as error:  # of a host; what was asked of it is another matter
                raise UsageError(str(error), hint=error.hint) from None
        host = Host.parse(text)
        if host.secret is None:
            for each in self.all():
                if each.address.key == host.address.key:
                    return Host(host.address, each.secret, each.name)
        return host


def _free_name(address: NodeAddress, taken: Mapping[str, Row]) -> str:
    """The same node keeps the name that it has."""
    for name, row in taken.items():
        if Host.parse(row.line).address.key == address.key:
            return name
    stem = address.at.host.strip("_:").replace(":", "-")[:56] or "node"
    names = (stem, *(f"{stem}-{number}" for number in range(2, HOSTS_MAX + 2)))
    return next(name for name in names if name not in taken)
