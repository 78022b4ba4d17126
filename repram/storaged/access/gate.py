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

    def refuse_denied(self, item: bytes, owner: bytes) -> None:
        """Raise NotAllowed when the node's owner does not want this item, or anything of this owner."""

    def charge(self, account: bytes, owner: bytes, size: int) -> None:
        """Count bytes that are held from now on against the quotas of both; raises Full."""

    def refund(self, account: bytes, owner: bytes, size: int) -> None:
        """They are held no longer."""
