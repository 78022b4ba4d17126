"""What a node answers about feeds: requests in, replies out. Each passes the gate once.

Chunks and records are answered beside it, on the same server.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from repram.crypto import statements
from repram.errors import Conflict, NotFound, UsageError
from repram.ids import ItemId, format_size
from repram.proto.messages import (
    ENTRY_MAX,
    Append,
    Feed,
    Fork,
    Held,
    ReadFeed,
    Reply,
    Request,
)
from repram.proto.rpc import Answer, Incoming, Server, framed
from repram.storaged.access.gate import Gate, Right
from repram.storaged.holdings.book import Book
from repram.storaged.holdings.entries import FeedHead
from repram.storaged.holdings.feeds import Feeds
from repram.storaged.holdings.followers import Followers

_AT_ONCE: Final = 16  # entries that are read before others get their turn; 1 MiB at most


class Entries:
    """Feeds. `now` is the node's time in milliseconds."""

    def __init__(self, book: Book, gate: Gate, now: Callable[[], int]) -> None:
        self._book = book
        self._gate = gate
        self._now = now
        self.followers = Followers()
        self.feeds = Feeds(book, gate, self.followers.tell)

    def answer_on(self, server: Server[Request, Reply]) -> None:
        """Have a server ask here; every error is the caller's to be told."""
        server.on_task(Append, self.append)
        server.on_task(ReadFeed, self.read)
        server.on_task(Fork, self.fork)

    async def append(self, request: Append, incoming: Incoming) -> Held:
        """One entry more; what is said to be held has been settled."""
        account = self._gate.admit(incoming.session, Right.STORE)
        if request.size > ENTRY_MAX or (request.size and request.data):
            raise UsageError(
                f"an entry has at most {format_size(ENTRY_MAX)}, inside the message or behind it"
            )
        feed = statements.feed_id(request.owner, request.label)
        size = request.size or len(request.data)
        await self._gate.consult("append", feed.raw, size, request.owner)
        with self._book.room(request.size, self._now()):
            body = bytes(await incoming.take(request.size))
        try:
            entry = self.feeds.append(request, body or request.data, account, self._now())
        except Conflict:
            await self._book.settled(lambda: self.feeds.take_back_proof(feed.raw))
            raise
        await self._book.settled(lambda: self.feeds.take_back(entry))
        self.followers.tell(entry.feed)
        ttl = request.ttl
        return Held(entry.until - ttl, ttl, max(0, entry.until - self._now()))

    async def read(self, request: ReadFeed, incoming: Incoming) -> Answer[Feed]:
        """Where the feed has got to, and its entries; with `follow`, those that are still to come."""
        self._gate.admit(incoming.session, Right.READ)
        feed, head = self._head(request.id)
        if request.follow:
            self.followers.refuse_more()
        entries = self._following if request.follow else self._up_to_now
        return Answer(feed, entries(request.id, request.start, head.number))

    async def fork(self, request: Fork, incoming: Incoming) -> Answer[Feed]:
        """Two entries of one number, signed by the same writer."""
        self._gate.admit(incoming.session, Right.READ)
        feed, _ = self._head(request.id)
        proof = self.feeds.fork(request.id, self._now())
        if proof is None:
            raise NotFound(f"nothing proves that feed {ItemId(request.id)} has forked")
        return Answer(feed, proof)

    def _head(self, feed: bytes) -> tuple[Feed, FeedHead]:
        now = self._now()
        head = self.feeds.head(feed, now)
        if head is None:
            raise NotFound(f"feed {ItemId(feed)} is not here, or all of it has expired")
        owner, label = head.whose.owner, head.whose.label
        self._gate.refuse_denied(feed, owner)
        forked = self.feeds.fork(feed, now) is not None
        return Feed(owner, label, head.number, head.hash, forked), head

    async def _up_to_now(self, feed: bytes, start: int, last: int) -> AsyncIterator[bytes]:
        """What is here of a feed, up to an entry."""
        while numbers := self.feeds.numbers(feed, start, _AT_ONCE):
            yield self._told(feed, [number for number in numbers if number <= last])
            start = numbers[-1] + 1
            if start > last:
                return
            await asyncio.sleep(0)

    async def _following(self, feed: bytes, start: int, _last: int) -> AsyncIterator[bytes]:
        """What is here, and then what comes, for as long as something is known of the feed."""
        with self.followers.joined(feed) as happened:
            while self.feeds.head(feed, self._now()) is not None:
                happened.clear()
                while numbers := self.feeds.numbers(feed, start, _AT_ONCE):
                    yield self._told(feed, numbers)
                    start = numbers[-1] + 1
                await happened.wait()

    def _told(self, feed: bytes, numbers: list[int]) -> bytes:
        now = self._now()
        entries = [self.feeds.entry(feed, number, now) for number in numbers]
        return b"".join(
            framed(entry.told(self.feeds.data(entry), now)) for entry in entries if entry
        )
