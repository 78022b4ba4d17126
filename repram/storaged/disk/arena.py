"""Where keys stand in memory: slots of 32 bytes that never move and are wiped in place."""

from __future__ import annotations

from typing import Final

from repram.crypto.xchacha import KEY_SIZE

NO_SLOT: Final = -1
_BLOCK: Final = (
    1024  # slots that are allocated together, for a buffer that grew would leave copies behind
)
_ZEROS: Final = bytes(KEY_SIZE)


class Arena:
    """Hands out slots by number."""

    def __init__(self) -> None:
        self._blocks: list[memoryview] = []
        self._free: list[int] = []

    def take(self) -> int:
        """A slot full of zeros."""
        if not self._free:
            first = len(self._blocks) * _BLOCK
            self._blocks.append(memoryview(bytearray(_BLOCK * KEY_SIZE)))
            self._free.extend(range(first + _BLOCK - 1, first - 1, -1))
        return self._free.pop()

    def key(self, slot: int) -> memoryview:
        """The 32 bytes themselves."""
        start = slot % _BLOCK * KEY_SIZE
        return self._blocks[slot // _BLOCK][start : start + KEY_SIZE]

    def give_back(self, slot: int) -> None:
        """Wipe a slot; it may be taken again."""
        self.key(slot)[:] = _ZEROS
        self._free.append(slot)

    def wipe(self) -> None:
        """Wipe all of them."""
        for block in self._blocks:
            block[:] = bytes(len(block))
