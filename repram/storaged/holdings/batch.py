"""What many record versions share: who signed them, once, and the tree that proves each of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

_HASH: Final = 32


class Batch(msgspec.Struct, gc=False):
    """One signature over `count` versions, of which those in the bit set `live` are still here.

    The nodes of the tree stand level by level, leaves first; the bit set `present` says which are still
    kept. Those that no live version's proof needs go whenever half of what was left has gone: so a
    version that outlives its batch does not keep all of it in memory.
    """

    owner: bytes
    account: bytes
    signature: bytes
    count: int
    live: int = 0
    present: int = 0
    nodes: bytes = b""

    def proof(self, index: int) -> tuple[bytes, ...]:
        """What leads from one leaf to the root."""
        present, nodes, path = self.present, self.nodes, []
        for place in self._beside(index):
            at = (present & ((1 << place) - 1)).bit_count() * _HASH
            path.append(nodes[at : at + _HASH])
        return tuple(path)

    def join(self, index: int, proof: Sequence[bytes]) -> None:
        """One version more is here, and so is its proof."""
        self.live |= 1 << index
        known = self._known()
        known.update(zip(self._beside(index), proof, strict=True))
        self._keep(known)

    def leave(self, index: int) -> None:
        """A version is no longer here."""
        self.live &= ~(1 << index)
        left = self.live.bit_count()
        if left and not left & (left - 1):
            needed = {place for each in bits_of(self.live) for place in self._beside(each)}
            known = self._known()
            self._keep({place: known[place] for place in needed})

    def _beside(self, index: int) -> list[int]:
        """Where the nodes of a proof stand."""
        places, start, size = [], 0, self.count
        while size > 1:
            beside = index ^ 1
            places.append(start + (beside if beside < size else index))
            start += size
            size = (size + 1) >> 1
            index >>= 1
        return places

    def _known(self) -> dict[int, bytes]:
        return {
            place: self.nodes[at * _HASH : (at + 1) * _HASH]
            for at, place in enumerate(bits_of(self.present))
        }

    def _keep(self, known: dict[int, bytes]) -> None:
        self.nodes = b"".join(known[place] for place in sorted(known))
        self.present = sum(1 << place for place in known)


def batch_of(
    owner: bytes, account: bytes, signature: bytes, levels: Sequence[Sequence[bytes]]
) -> Batch:
    """A batch with all its versions, and all of its tree but the root, which nobody has to be told."""
    nodes = b"".join(b"".join(level) for level in levels[:-1])
    present = (1 << len(nodes) // _HASH) - 1
    count = len(levels[0])
    return Batch(owner, account, signature, count, (1 << count) - 1, present, nodes)


def bits_of(bits: int) -> list[int]:
    """The numbers in a bit set, in order."""
    return [place for place in range(bits.bit_length()) if bits >> place & 1]
