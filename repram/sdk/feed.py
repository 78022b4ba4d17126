"""Feeds: append, read and follow one writer's log, each entry checked for its signature and its place.

The data of an entry goes as it is given: seal it first. A node can leave entries out, as if they had
expired; it cannot change, reorder or invent any, and two of one number prove that the writer lies.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final

from repram.crypto.statements import EntryTerms, Signer, check, feed_id
from repram.errors import IntegrityFailure, NotFound, RemoteError, UsageError
from repram.ids import parse_duration
from repram.proto.messages import (
    ENTRY_MAX,
    INLINE_MAX,
    STORAGE,
    Append,
    Entry,
    Held,
    ReadFeed,
    Reply,
    Request,
)
from repram.proto.messages import Feed as Head
from repram.proto.rpc import Caller, Incoming, reader
from repram.sdk.storage import Storage

_NONE: Final = bytes(32)
_MESSAGE_MAX: Final = ENTRY_MAX + 512
_BEHIND_ALL: Final = 1 << 53  # no entry has so high a number: the head comes alone
_FOR_EVER: Final = 10.0 * 365 * 86_400  # seconds; nothing may come for long
_read: Final = reader(Entry, "the node sent what is no entry")


@dataclass(frozen=True, slots=True)
class Item:
    """One entry that has been checked."""

    number: int
    data: bytes
    created: int
    remaining: int


class Feed:
    """One feed on one node, as one client sees it."""

    def __init__(self, storage: Storage, owner: bytes, label: bytes) -> None:
        self.id = feed_id(owner, label)
        self._storage = storage
        self._owner = owner
        self._label = label
        self._number, self._hash = 0, _NONE  # the last entry that has been checked, or appended

    async def append(self, signer: Signer, data: bytes, *, ttl: str) -> int:
        """One entry more, by the feed's owner; its number. Conflict when somebody else appended."""
        if signer.key != self._owner:
            raise UsageError("only its owner appends to a feed")
        if len(data) > ENTRY_MAX:
            raise UsageError(f"an entry has at most {ENTRY_MAX} bytes, and this has {len(data)}")
        lifetime = parse_duration(ttl)
        if not self._number:
            await self._catch_up()
        conversation = await self._storage.open()
        deadline = conversation.now() + lifetime
        terms = EntryTerms(self.id.raw, self._number + 1, self._hash, deadline, lifetime, data)
        inline = len(data) <= INLINE_MAX
        request = Append(
            self._owner,
            self._label,
            terms.number,
            terms.previous,
            deadline,
            lifetime,
            signer.sign(terms.statement()),
            data if inline else b"",
            0 if inline else len(data),
        )
        answer = await conversation.caller.call(request, body=b"" if inline else data)
        if not isinstance(answer.reply, Held):
            raise RemoteError("the node did not say that it keeps the entry")
        self._number, self._hash = terms.number, terms.hash()
        return terms.number

    def read(self, start: int = 1) -> AsyncGenerator[Item, None]:
        """The entries from a number on that are there."""
        return self._entries(start, follow=False)

    def follow(self, start: int = 1) -> AsyncGenerator[Item, None]:
        """The same, and then every entry that is appended; leave it inside `contextlib.aclosing`."""
        return self._entries(start, follow=True)

    async def _catch_up(self) -> None:
        """Before a first append: where the feed stands. What is signed next says what it follows, so a
        node that lies here is given an entry that fits no other copy of the feed."""
        conversation = await self._storage.open()
        request = ReadFeed(self.id.raw, _BEHIND_ALL)
        try:
            answer = await conversation.caller.call(request)
        except NotFound:
            return
        head = self._head(answer.reply)
        async for item in self.read(head.number):
            if (item.number, self._hash) == (head.number, head.hash):
                return
        self._number, self._hash = head.number, head.hash  # the last entry itself has expired

    async def _entries(self, start: int, *, follow: bool) -> AsyncGenerator[Item, None]:
        conversation = await self._storage.open()
        patience = {"patience": _FOR_EVER} if follow else {}
        caller: Caller[Request, Reply] = Caller(conversation.session, STORAGE, **patience)
        number, before = start - 1, b""
        async with caller.stream(ReadFeed(self.id.raw, start, follow)) as answer:
            self._head(answer.reply)
            while (entry := await _next(answer.body)) is not None:
                if entry.number <= number:
                    raise IntegrityFailure("the node sent entries out of order")
                follows = before if entry.number == number + 1 else b""
                number, before = entry.number, self._checked(entry, follows)
                yield Item(entry.number, entry.data, entry.created, entry.remaining)

    def _head(self, reply: Reply) -> Head:
        if not isinstance(reply, Head) or (reply.owner, reply.label) != (self._owner, self._label):
            raise IntegrityFailure("the node answered with another feed than was asked for")
        if reply.forked:
            raise IntegrityFailure(
                "the writer of this feed has signed two different entries of one number",
                hint="What it says cannot be trusted any more.",
            )
        return reply

    def _checked(self, entry: Entry, follows: bytes) -> bytes:
        """The entry's hash. `follows`: that of the entry before, if it came."""
        terms = EntryTerms(
            self.id.raw, entry.number, entry.previous, entry.deadline, entry.ttl, entry.data
        )
        check(self._owner, terms.statement(), entry.signature)
        own = terms.hash()
        broken = follows and entry.previous != follows
        if entry.number == self._number:
            broken = broken or own != self._hash
        if entry.number == self._number + 1:
            broken = broken or entry.previous != self._hash
        if broken:
            raise IntegrityFailure(
                f"entry {entry.number} does not follow the one before it: its writer signed two histories",
                hint="What this feed says cannot be trusted any more.",
            )
        if entry.number > self._number:
            self._number, self._hash = entry.number, own
        return own


async def _next(body: Incoming) -> Entry | None:
    first = await body.read(1)
    if not first:
        return None
    size = int.from_bytes(first + await body.take_exactly(3), "big")
    if size > _MESSAGE_MAX:
        raise RemoteError(f"the node sent an entry of {size} bytes")
    return _read(await body.take_exactly(size))
