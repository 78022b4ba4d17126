"""How much of a node each may take: by invite, the strangers together, and by owner's key."""

from __future__ import annotations

from collections.abc import Callable

from repram.errors import Full
from repram.ids import format_size


class Quotas:
    """`limit_of` says what an account may hold, `owner_limit` what any one owner may; 0: no limit."""

    def __init__(self, limit_of: Callable[[bytes], int], owner_limit: int) -> None:
        self._limit_of, self._owner_limit = limit_of, owner_limit
        self._accounts: dict[bytes, int] = {}
        self._owners: dict[bytes, int] = {}

    def charge(self, account: bytes, owner: bytes, size: int) -> None:
        """Count bytes against both, or raise Full and count them against neither."""
        taken = self._accounts.get(account, 0) + size
        _refuse_more("your invite", taken, self._limit_of(account))
        if owner:
            owned = self._owners.get(owner, 0) + size
            _refuse_more("one owner", owned, self._owner_limit)
            self._owners[owner] = owned
        self._accounts[account] = taken

    def recount(self, account: bytes, owner: bytes, size: int) -> None:
        """Count what was held before a restart, whatever the limits are by now."""
        self._accounts[account] = self._accounts.get(account, 0) + size
        if owner:
            self._owners[owner] = self._owners.get(owner, 0) + size

    def refund(self, account: bytes, owner: bytes, size: int) -> None:
        """They are held no longer."""
        _take_off(self._accounts, account, size)
        if owner:
            _take_off(self._owners, owner, size)

    def used_by(self, account: bytes) -> int:
        """What an account holds."""
        return self._accounts.get(account, 0)


def _refuse_more(whose: str, taken: int, limit: int) -> None:
    if limit and taken > limit:
        raise Full(
            f"this would pass the {format_size(limit)} that {whose} may hold on this node",
            hint="Wait until something expires, end what is not needed, or ask the node's owner for more.",
        )


def _take_off(counts: dict[bytes, int], whose: bytes, size: int) -> None:
    """Who holds nothing is not remembered, so that keys that come and go take no room."""
    left = counts.get(whose, 0) - size
    if left > 0:
        counts[whose] = left
    else:
        counts.pop(whose, None)
