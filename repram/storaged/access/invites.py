"""Who may store on a node that is not public: the bearers of its invites."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from repram.crypto.links import INVITE_ID_SIZE, SECRET_SIZE
from repram.errors import Full, NotFound, UsageError
from repram.ids import from_base64url, to_base64url
from repram.storaged.access.table import Table

INVITES_MAX: Final = 1024  # as many secrets as the transport holds at once
NAME_MAX: Final = 64


class Granted(msgspec.Struct, frozen=True):
    """An invite as its node knows it; a quota of 0 is none but the node's capacity."""

    id: Annotated[bytes, Meta(min_length=INVITE_ID_SIZE, max_length=INVITE_ID_SIZE)]
    secret: Annotated[bytes, Meta(min_length=SECRET_SIZE, max_length=SECRET_SIZE)]
    name: Annotated[str, Meta(max_length=NAME_MAX)]
    write_only: bool
    quota: Annotated[int, Meta(ge=0)]
    created: Annotated[int, Meta(ge=0)]

    def __repr__(self) -> str:
        return f"Granted({to_base64url(self.id)} {self.name!r})"


class Invites:
    """All invites of a node, by id; a change is on the disk before it counts."""

    def __init__(self, path: Path | None, entropy: Callable[[int], bytes]) -> None:
        self._table = Table(Granted, path)
        self._entropy = entropy
        self.by_id = {each.id: each for each in self._table.read()}

    def grant(self, *, name: str, write_only: bool, quota: int, now: int) -> Granted:
        """A new invite."""
        if len(self.by_id) >= INVITES_MAX:
            raise Full(
                f"this node has {INVITES_MAX} invites, and cannot have more",
                hint="Revoke those that nobody uses: `repram storaged invite --ls`.",
            )
        if len(name) > NAME_MAX or not name.isprintable():
            raise UsageError(f"an invite's name has at most {NAME_MAX} printable characters")
        if quota < 0:
            raise UsageError("a quota is a size")
        new = Granted(
            self._entropy(INVITE_ID_SIZE), self._entropy(SECRET_SIZE), name, write_only, quota, now
        )
        self._keep({**self.by_id, new.id: new})
        return new

    def revoke(self, named: str) -> Granted:
        """Take back the invite of this id or, when only one has it, of this name."""
        gone = self._find(named)
        self._keep({id_: each for id_, each in self.by_id.items() if id_ != gone.id})
        return gone

    def _find(self, named: str) -> Granted:
        try:
            return self.by_id[from_base64url(named, INVITE_ID_SIZE)]
        except (UsageError, KeyError):
            found = [each for each in self.by_id.values() if each.name == named != ""]
        if len(found) == 1:
            return found[0]
        if found:
            raise UsageError(f"{len(found)} invites have the name {named!r}", hint="Give the id.")
        raise NotFound(
            f"no invite has the id or the name {named[:80]!r}", hint="`repram storaged invite --ls`"
        )

    def _keep(self, invites: dict[bytes, Granted]) -> None:
        self._table.write(list(invites.values()))
        self.by_id = invites
