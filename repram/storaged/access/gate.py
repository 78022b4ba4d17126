"""The seam between answering (`service`) and access: every request passes it once."""

from __future__ import annotations

from enum import Enum
from typing import Final, Protocol

from repram.proto.endpoint import Session

ANYONE: Final = b""  # the account of those who came without an invite


class Right(Enum):
    """What a request wants to do."""

    READ = "read"  # by item id: anyone may, but for bearers of a write-only invite
    STORE = "store"  # needs an invite, unless the node is public
    OWN = "own"  # list, watch: proved by the owner's key, and needs what READ needs


class Gate(Protocol):
    """Lets requests pass, or raises NotAllowed, RateLimited or ClockRefused."""

    def admit(self, session: Session, right: Right) -> bytes:
        """The account to which what this session stores is charged: its invite's id, or ANYONE."""

    def blame(self, session: Session) -> None:
        """This session has cost the node much for nothing, and not by accident: it gets less to do for it."""

    def refuse_denied(self, item: bytes, owner: bytes) -> None:
        """Raise NotAllowed when the node's owner does not want this item, or anything of this owner."""

    @property
    def consults(self) -> bool:
        """Whether someone else has a say before something is taken: nothing is then taken without waiting."""

    async def consult(self, op: str, item: bytes, size: int, owner: bytes) -> None:
        """Ask whoever else has a say before something is taken; raises NotAllowed."""

    def rights(self, session: Session) -> tuple[bool, bool]:
        """Whether this session may store, and whether it may read."""

    def quota(self, session: Session) -> tuple[int, int]:
        """How much this session's account may hold (0: as much as there is room), and how much it does."""

    def charge(self, account: bytes, owner: bytes, size: int) -> None:
        """Count bytes that are held from now on against the quotas of both; raises Full."""

    def recount(self, account: bytes, owner: bytes, size: int) -> None:
        """Count what was held before a restart, whatever the quotas are by now."""

    def refund(self, account: bytes, owner: bytes, size: int) -> None:
        """They are held no longer."""
