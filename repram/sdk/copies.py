"""One host's copy of what is uploaded: what it holds already, and how it is given the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from repram.crypto.xchacha import Bytes
from repram.errors import RemoteError, RepramError
from repram.ids import ItemId
from repram.proto.messages import MANY, Claimed, Done, Downloads, End, Has, Held, Here, Put, Renew
from repram.sdk.events import Trouble
from repram.sdk.hosts import Host
from repram.sdk.leasing import Leasing
from repram.sdk.patience import persistent
from repram.sdk.storage import Conversation, Storage
from repram.sdk.transfer import Report

ASKED_AT_ONCE: Final = MANY


class Copy:
    """Everything on one host, under the leases of one upload. A session that is lost is made anew."""

    def __init__(self, storage: Storage, leasing: Leasing, patience: float, tell: Report) -> None:
        self.host: Host = storage.host
        self.patience = patience
        self.failure: RepramError | None = None  # why this host is done without
        self.held = bytearray()  # by an item's number, whether an earlier attempt brought it here
        self._storage = storage
        self._leasing = leasing
        self._tell = tell
        self._conversation: Conversation | None = None
        self._told = False
        self.interrupted = False  # a session was lost: what was held may be gone with it

    def troubled(self, error: RepramError) -> None:
        """It is tried again; that is told once for each session, however many items wait."""
        if not self._told:
            self._told = True
            self._tell(Trouble(str(self.host.address), f"{error}; trying again"))

    def fail(self, error: RepramError) -> None:
        """From now on the others go on without this host."""
        if self.failure is None:
            self.failure = error
            self._tell(Trouble(str(self.host.address), f"{error}; going on without it"))

    def holds(self, number: int) -> bool:
        """Whether an earlier attempt brought the item of this number."""
        return number < len(self.held) and bool(self.held[number])

    @persistent
    async def now(self) -> int:
        """The host's time."""
        return (await self._open()).now()

    @persistent
    async def put(self, put: Put, sealed: Bytes) -> None:
        """Have it hold the bytes."""
        conversation = await self._open()
        self._leasing.refuse_late(conversation.now())
        answer = await conversation.caller.call(put, body=memoryview(sealed).toreadonly())
        if not isinstance(answer.reply, Held):
            raise RemoteError("the node did not say that it holds what it was sent")

    @persistent
    async def look(self, items: Sequence[ItemId]) -> list[int]:
        """How long it holds each of at most `ASKED_AT_ONCE` items still; 0: it does not."""
        reply = await (await self._open()).caller.ask(Has(tuple(item.raw for item in items)))
        if not isinstance(reply, Here) or len(reply.remaining) != len(items):
            raise RemoteError("the node did not say what it holds")
        return list(reply.remaining)

    @persistent
    async def renew(self, renewal: Renew) -> int:
        """Let a batch live longer; how many of its items are there."""
        return _count(await (await self._open()).caller.ask(renewal))

    @persistent
    async def end(self) -> int:
        """Have it forget all of the upload; how many items that were."""
        conversation = await self._open()
        end: End = self._leasing.end(conversation.now())
        return _count(await conversation.caller.ask(end))

    @persistent
    async def downloads(self, item: ItemId) -> Claimed:
        """How often a limited item was and may be fetched."""
        reply = await (await self._open()).caller.ask(Downloads(item.raw))
        if not isinstance(reply, Claimed):
            raise RemoteError("the node did not say how often it may be fetched")
        return reply

    async def _open(self) -> Conversation:
        conversation = await self._storage.open()
        if self._conversation is not None and conversation is not self._conversation:
            self.interrupted = True
        self._told = self._told and conversation is self._conversation
        self._conversation = conversation
        return conversation


def _count(reply: object) -> int:
    if not isinstance(reply, Done):
        raise RemoteError("the node did not say that it is done")
    return reply.count
