"""The nodes that have what a link names, asked one after the other until one gives what verifies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Final, TypeVar

from repram.crypto.statements import Signer, claim_statement
from repram.crypto.xchacha import Bytes
from repram.errors import (
    IntegrityFailure,
    NotFound,
    RateLimited,
    RemoteError,
    RepramError,
    Unreachable,
)
from repram.ids import ItemId, NodeAddress
from repram.proto.messages import Claim, Claimed, Found, Get, GiveBack
from repram.proto.rpc import Malformed
from repram.sdk.events import Trouble
from repram.sdk.parallel import to_the_end
from repram.sdk.patience import persistent
from repram.sdk.sessions import Sessions
from repram.sdk.storage import Conversation
from repram.sdk.transfer import Report

_GOODBYE: Final = 3.0  # seconds for giving back what was claimed

T = TypeVar("T")


class Holder:
    """One node."""

    def __init__(self, sessions: Sessions, address: NodeAddress) -> None:
        self.address = address
        self._sessions = sessions
        self._conversation: Conversation | None = None
        self._claimed: tuple[ItemId, Signer] | None = None

    async def get(self, item: ItemId, limit: int) -> Bytes:
        """At most so many bytes, as the node sends them."""
        conversation = await self._open()
        try:
            async with conversation.caller.stream(Get(item.raw)) as answer:
                if not isinstance(answer.reply, Found) or answer.reply.size > limit:
                    raise IntegrityFailure("the node announced other bytes than were asked for")
                return await answer.body.take(answer.reply.size)
        except Malformed as error:
            raise IntegrityFailure(f"the node answered what it should not: {error}") from None

    async def claim_and_get(self, item: ItemId, limit: int, signer: Signer) -> Bytes:
        """Claim one of the downloads that the node counts, and fetch under it."""
        self._claimed = item, signer
        await self._ask_as(signer, item, Claim)
        return await self.get(item, limit)

    async def give_back(self) -> None:
        """What was claimed here, if anything was: nothing came of it."""
        if self._claimed is not None:
            item, signer = self._claimed
            with suppress(RepramError, TimeoutError):
                async with asyncio.timeout(_GOODBYE):
                    await self._ask_as(signer, item, GiveBack)

    async def _ask_as(self, signer: Signer, item: ItemId, kind: type[Claim | GiveBack]) -> None:
        conversation = await self._open()
        bound = conversation.session.connection.handshake_hash()
        signature = signer.sign(claim_statement(item, signer.key, bound))
        reply = await conversation.caller.ask(kind(item.raw, signer.key, signature))
        if not isinstance(reply, Claimed):
            raise RemoteError("the node did not say how often it may be fetched")

    async def _open(self) -> Conversation:
        session = await self._sessions.to(self.address)
        if self._conversation is None or self._conversation.session is not session:
            self._conversation = Conversation(session)
        return self._conversation


class Holders:
    """All of them, the one that serves first: whichever fails is asked last from then on."""

    def __init__(
        self, sessions: Sessions, addresses: Iterable[NodeAddress], patience: float, tell: Report
    ) -> None:
        self.patience = patience
        self._sessions = sessions
        self._tell = tell
        self._told: set[tuple[NodeAddress, str]] = set()
        self._order: list[Holder] = []
        self.add(addresses)

    def add(self, addresses: Iterable[NodeAddress]) -> None:
        """These may have it, too."""
        for address in addresses:
            if all(holder.address != address for holder in self._order):
                self._order.append(Holder(self._sessions, address))

    async def give_back(self) -> None:
        """Downloads that were claimed go back, for others or for another attempt."""
        for holder in self._order:
            await holder.give_back()

    def troubled(self, error: RepramError) -> None:
        """It was told already, with the host's name."""

    async def verified(
        self,
        verify: Callable[[Bytes], T],
        fetch: Callable[[Holder], Awaitable[Bytes]],
        refused: dict[Holder, RepramError] | None = None,
    ) -> T:
        """What `verify` makes of it, as soon as one has sent what it takes."""
        refused = {} if refused is None else refused
        while True:
            sealed, holder = await self.get(fetch, refused)
            try:
                return await to_the_end(lambda: verify(sealed))  # noqa: B023  # awaited here
            except IntegrityFailure as error:
                self.gave_nothing(holder, error, refused)

    def gave_nothing(
        self, holder: Holder, error: RepramError, refused: dict[Holder, RepramError]
    ) -> None:
        """It does not have it, or what it sent does not verify: have the others asked, if there are any."""
        refused[holder] = error
        if len(refused) < len(self._order):
            self._failed(holder, error)

    @persistent
    async def get(
        self, fetch: Callable[[Holder], Awaitable[Bytes]], refused: dict[Holder, RepramError]
    ) -> tuple[Bytes, Holder]:
        """What the first sends that can be asked and is not among those that `refused`, to which one is
        added that does; when none is left the worst that they said is raised."""
        passing: RepramError | None = None
        for holder in tuple(self._order):
            if holder in refused:
                continue
            try:
                return await fetch(holder), holder
            except (Unreachable, RateLimited) as error:
                passing = passing or error
                self._failed(holder, error)
            except RepramError as error:
                self.gave_nothing(holder, error, refused)
        raise passing or _worst(list(refused.values()))

    def _failed(self, holder: Holder, error: RepramError) -> None:
        """Ask the others first; that is told once for each reason."""
        if self._order[0] is holder and len(self._order) > 1:
            self._order.append(self._order.pop(0))
        reason = (holder.address, str(error))
        if reason not in self._told:
            self._told.add(reason)
            self._tell(Trouble(str(holder.address), str(error)))


def _worst(errors: list[RepramError]) -> RepramError:
    """One that lies tells more than one that has nothing."""
    for kind in (IntegrityFailure, NotFound):
        for error in errors:
            if isinstance(error, kind):
                return error
    return errors[0]
