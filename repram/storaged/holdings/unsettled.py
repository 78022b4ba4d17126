"""What was replaced by versions that may yet come to nothing: it is here again if they do."""

from __future__ import annotations

from repram.storaged.holdings.versions import RecordEntry


class Unsettled:
    """By key, what stood there before, oldest first, until what came in its place has been settled."""

    def __init__(self) -> None:
        self._before: dict[bytes, list[RecordEntry]] = {}

    def replaced(self, before: RecordEntry) -> None:
        """Another version stands there now."""
        self._before.setdefault(before.key, []).append(before)

    def settled(self, entry: RecordEntry) -> list[RecordEntry]:
        """It is written: what stood there before it is over, for good."""
        before = self._before.get(entry.key)
        if before is None:
            return []
        end = before.index(entry) if entry in before else len(before)
        over = before[:end]
        del before[:end]
        if not before:
            del self._before[entry.key]
        return over

    def taken_back(self, key: bytes) -> list[RecordEntry]:
        """What stood there came to nothing: what may be here again, newest first."""
        return self._before.pop(key, [])[::-1]
