"""From a link to the head behind it: fetched, verified, and opened with what its locks ask for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from repram.content import head as heads
from repram.content.head import Head
from repram.crypto import locks
from repram.crypto.links import Link
from repram.crypto.locks import ITEM_SIZE, Locked
from repram.crypto.passwords import password_bytes
from repram.crypto.sealing import check_id
from repram.crypto.xchacha import Bytes
from repram.errors import NotAllowed, NotFound, Refused, WrongPassword
from repram.sdk.claims import Claims
from repram.sdk.holders import Holder, Holders

Password: TypeAlias = str | Callable[[bool], Awaitable[str | None]] | None
"""The text, or what is asked for it (True: what it gave before was wrong); None gives up."""

Unbox: TypeAlias = Callable[[bytes], Awaitable[bytes | None]]
"""Opens one of the boxes of a link that was sealed to people; None: it is not this person's."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What a reader has beside the link."""

    password: Password = field(default=None, repr=False)
    unbox: Unbox | None = None


async def open_head(link: Link, holders: Holders, claims: Claims, keys: Keys) -> Head:
    """What the link leads to; from then on the nodes that it names are asked, too."""

    async def fetch(holder: Holder) -> Bytes:
        try:
            return await holder.get(link.item, ITEM_SIZE)
        except NotFound:
            raise NotFound("what this link names has expired, or was never on this node") from None
        except NotAllowed as error:
            refusal = error
        try:  # perhaps it may be fetched a number of times, by whoever claims one of them
            return await holder.claim_and_get(link.item, ITEM_SIZE, claims.signer(link.item))
        except NotAllowed:
            raise refusal from None

    def verify(sealed: Bytes) -> Bytes:
        check_id(link.item, sealed)
        return sealed

    sealed = await holders.verified(verify, fetch)
    locked = locks.unlock(link.item, sealed, link.secret)
    while locked.needs is not None:
        if locked.needs == "password":
            locked = await _open_password(locked, keys.password)
        else:
            locked = await _open_people(locked, keys.unbox)
    head = heads.decode(locked.head)
    holders.add(head.addresses())
    return head


async def _open_password(locked: Locked, password: Password) -> Locked:
    wrong_before = False
    while True:
        text = await password(wrong_before) if callable(password) else password
        if text is None:
            raise Refused("this link asks for a password", hint="The sender knows it.")
        try:
            return await asyncio.to_thread(locked.open_password, password_bytes(text))
        except WrongPassword:
            if not callable(password):
                raise
            wrong_before = True


async def _open_people(locked: Locked, unbox: Unbox | None) -> Locked:
    if unbox is None:
        raise Refused(
            "this was sealed to a person's key, and none is at hand",
            hint="`repram account create` makes one; the sender needs what `repram id` prints.",
        )
    opened = {box: await unbox(box) for box in locked.boxes}
    return await asyncio.to_thread(locked.open_people, opened.get)
