"""A gate that counts what is charged, refuses above a quota, and denies what the test says."""

from __future__ import annotations

from collections import Counter

from repram.errors import Full, NotAllowed
from repram.proto.endpoint import Session
from repram.storaged.access.gate import ANYONE, Right


class CountingGate:
    """Everyone is anyone."""

    def __init__(self, quota: int = 1 << 60) -> None:
        self.limit = quota
        self.held: Counter[tuple[bytes, bytes]] = Counter()
        self.denied: set[bytes] = set()
        self.admitted: list[Right] = []

    def admit(self, session: Session, right: Right) -> bytes:
        self.admitted.append(right)
        return ANYONE

    def blame(self, session: Session) -> None:
        """Nobody is limited."""

    def refuse_denied(self, item: bytes, owner: bytes) -> None:
        if item in self.denied or owner in self.denied:
            raise NotAllowed("the node's owner does not want this")

    @property
    def consults(self) -> bool:
        return False

    async def consult(self, op: str, item: bytes, size: int, owner: bytes) -> None:
        pass

    def rights(self, session: Session) -> tuple[bool, bool]:
        return True, True

    def quota(self, session: Session) -> tuple[int, int]:
        return self.limit, self.held.total()

    def recount(self, account: bytes, owner: bytes, size: int) -> None:
        self.held[account, owner] += size

    def charge(self, account: bytes, owner: bytes, size: int) -> None:
        if self.held.total() + size > self.limit:
            raise Full("this would pass the quota")
        self.held[account, owner] += size

    def refund(self, account: bytes, owner: bytes, size: int) -> None:
        self.held[account, owner] -= size
        assert self.held[account, owner] >= 0
