"""A link's file to read from anywhere in it: nothing is fetched but the chunks that are read."""

from __future__ import annotations

import os
from collections import OrderedDict
from types import TracebackType
from typing import Final, Self

from repram.content.chunker import CHUNK_SIZE
from repram.content.head import Head
from repram.crypto.xchacha import Bytes
from repram.errors import LocalError
from repram.sdk.download import Download

_KEPT: Final = 8  # chunks


class Reader:
    """One file. Every chunk is verified before anything of it is handed out."""

    def __init__(self, head: Head, download: Download) -> None:
        self.name = head.name
        self.size = head.size
        self._download = download
        self._at = 0
        self._chunks: OrderedDict[int, Bytes] = OrderedDict()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def read(self, limit: int = -1) -> bytes:
        """As many of the next bytes as there are, or all of them; b"" at the end."""
        end = self.size if limit < 0 else min(self.size, self._at + limit)
        parts = []
        while self._at < end:
            number, offset = divmod(self._at, CHUNK_SIZE)
            chunk = memoryview(await self._chunk(number))
            part = chunk[offset : offset + min(end - self._at, CHUNK_SIZE - offset)]
            parts.append(part)
            self._at += len(part)
        return b"".join(parts)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Where to read next."""
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        if origin + offset < 0:
            raise LocalError("nothing lies before the beginning")
        self._at = origin + offset
        return self._at

    def tell(self) -> int:
        """Where to read next."""
        return self._at

    def close(self) -> None:
        """Forget what was read."""
        self._chunks.clear()

    async def _chunk(self, number: int) -> Bytes:
        if number not in self._chunks:
            self._chunks[number] = await self._download.chunk(number)
            if len(self._chunks) > _KEPT:
                self._chunks.popitem(last=False)
        self._chunks.move_to_end(number)
        return self._chunks[number]
