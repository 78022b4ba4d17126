"""The content as sealed items, batch by batch, in the one order in which they are leased and sent.

Between the chunks come the pages that say where they are, each as soon as it is full. A second attempt
seals the same items again, under the keys of the first, and makes the same batches of them.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from repram.content.chunker import Chunker, Source
from repram.content.refs import Body, BodyBuilder, Ref, check_size, encode
from repram.crypto import sealing
from repram.crypto.statements import BATCH_MAX
from repram.crypto.xchacha import Bytes
from repram.errors import Changed, LocalError
from repram.ids import ItemId
from repram.sdk.journal import Batch, Journal

_FIRST: Final = (
    2  # items in the first batch, twice as many in each that follows: nothing goes out before it
)


class Sealed(NamedTuple):
    """One item on its way, and how much of the content it is: none of it, when it is a page."""

    ref: Ref
    body: Bytes
    content: int


class Batches:
    """Reads, seals and journals; blocks, so call it in threads, one at a time."""

    def __init__(self, source: Source, journal: Journal) -> None:
        self._body: Body | None = None  # once all has been read
        self._chunker = Chunker(source)
        self._blocks = iter(self._chunker)
        self._builder = BodyBuilder(self._seal_page)
        self._journal = journal
        self._known = (ref for batch in journal.batches() for ref in batch)
        self._ready: deque[Sealed] = deque()
        self._journalled = 0  # of those that are ready or were handed out
        self._most = _FIRST

    @property
    def size(self) -> int:
        """How much of the content has been read."""
        return self._chunker.size

    def finished(self) -> Body:
        """Where all of it begins, once the last batch was handed out."""
        if self._body is None:
            raise LocalError("there is more to read")
        return self._body

    def next(self) -> list[Sealed]:
        """The next batch, in the journal by now; an empty one at the end."""
        while len(self._ready) < self._most and self._body is None:
            block = next(self._blocks, None)
            if block is not None:
                check_size(self._chunker.size)
                self._builder.add(self._seal(block, content=len(block)))
                continue
            self._body = self._builder.finish()
            if next(self._known, None) is not None:
                raise _changed()
        batch = [self._ready.popleft() for _ in range(min(self._most, len(self._ready)))]
        self._most = min(BATCH_MAX, 2 * self._most)
        self._settle(batch)
        return batch

    def _settle(self, batch: list[Sealed]) -> None:
        """A batch stands in the journal whole or not at all: if in part, what is uploaded has grown."""
        known = min(self._journalled, len(batch))
        self._journalled -= known
        if 0 < known < len(batch):
            raise _changed()
        if batch and not known:
            self._journal.append(Batch(encode(each.ref for each in batch)))

    def _seal(self, plaintext: Bytes, *, content: int) -> Ref:
        ref = next(self._known, None)
        if ref is None:
            key, sealed = sealing.seal_chunk(plaintext)
            ref = Ref(sealing.id_of(sealed).raw, key, len(plaintext))
        elif ref.length != len(plaintext):
            raise _changed()
        else:
            sealed = sealing.seal_again(ref.key, ItemId(ref.id), plaintext)
            self._journalled += 1
        self._ready.append(Sealed(ref, sealed, content))
        return ref

    def _seal_page(self, page: bytes) -> Ref:
        return self._seal(page, content=0)


def _changed() -> Changed:
    return Changed("what is to be uploaded has changed since the upload began")
