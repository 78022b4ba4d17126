"""Downloads that are counted: the key under which one of them was claimed, kept while it is under way.

Whoever has the key takes up the same download again for ten minutes, in whatever session.
"""

from __future__ import annotations

import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from repram.crypto.statements import Signer
from repram.ids import ItemId

_SEED_SIZE: Final = 32
_GOOD_FOR: Final = 600.0  # seconds, as nodes reserve


class Claims:
    """One key for each item, in a folder that is this person's alone; elsewhere for this process only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seeds: dict[ItemId, bytes] = {}

    def signer(self, item: ItemId) -> Signer:
        """The key of the download of this item that is under way, or of a new one."""
        if item not in self._seeds:
            self._seeds[item] = self._read(item) or self._write(
                item, secrets.token_bytes(_SEED_SIZE)
            )
        return Signer(self._seeds[item])

    def forget(self, item: ItemId) -> None:
        """It is over."""
        if self._seeds.pop(item, None) is not None:
            with suppress(OSError):
                (self._folder / str(item)).unlink()

    def _read(self, item: ItemId) -> bytes | None:
        path = self._folder / str(item)
        try:
            fresh = time.time() - path.stat().st_mtime < _GOOD_FOR
            seed = path.read_bytes() if fresh else b""
        except OSError:
            return None
        return seed if len(seed) == _SEED_SIZE else None

    def _write(self, item: ItemId, seed: bytes) -> bytes:
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in self._folder.iterdir():
                if time.time() - path.stat().st_mtime >= _GOOD_FOR:
                    path.unlink()
            path = self._folder / str(item)
            path.touch(mode=0o600)
            path.write_bytes(seed)
        return seed
