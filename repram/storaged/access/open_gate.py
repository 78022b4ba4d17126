"""The gate of a node that is open to anyone and counts nothing."""

from __future__ import annotations

from repram.proto.endpoint import Session
from repram.storaged.access.gate import ANYONE, Right


class OpenGate:
    """Lets everyone pass."""

    def admit(self, session: Session, right: Right) -> bytes:  # noqa: ARG002  # all the same here
        """Everyone is anyone."""
        return ANYONE

    def blame(self, session: Session) -> None:
        """Everyone may do as much as they like."""

    def refuse_denied(self, item: bytes, owner: bytes) -> None:
        """Nothing is denied."""

    @property
    def consults(self) -> bool:
        """Nobody else has a say."""
        return False

    async def consult(self, op: str, item: bytes, size: int, owner: bytes) -> None:
        """Nobody else has a say."""

    def rights(self, session: Session) -> tuple[bool, bool]:  # noqa: ARG002  # all the same here
        """Everyone may do both."""
        return True, True

    def quota(self, session: Session) -> tuple[int, int]:  # noqa: ARG002  # there is none
        """As much as there is room; nobody counts."""
        return 0, 0

    def charge(self, account: bytes, owner: bytes, size: int) -> None:
        """There are no quotas."""

    def recount(self, account: bytes, owner: bytes, size: int) -> None:
        """There are no quotas."""

    def refund(self, account: bytes, owner: bytes, size: int) -> None:
        """As there are no quotas, there is nothing to give back."""
