"""The one test that waits: a real node, a real clock, and every verb that could tell of what is over."""

from __future__ import annotations

import asyncio

import pytest

from repram.crypto import statements
from repram.errors import NotFound, RepramError, UsageError
from repram.ids import ItemId, NodeAddress
from repram.proto.connection import Settings
from repram.proto.endpoint import Endpoint, Session
from repram.proto.messages import (
    STORAGE,
    Changed,
    Claim,
    Claimed,
    Done,
    Downloads,
    Get,
    GetRecord,
    Has,
    Here,
    ListRecords,
    Own,
    ReadFeed,
    Reply,
    Request,
    Rows,
    Watch,
)
from repram.proto.rpc import Caller
from tests.leases import ALICE, BOB
from tests.processes import node
from tests.storaged.writer import Writer, new, unframed

TTL = 30_000  # the least that a chunk may have
BODY = b"sealed"
WRITER = Writer.of(3)


class Asking:
    """Who has put one of each kind, at `began` by the node's clock."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.asked: Caller[Request, Reply] = Caller(session, STORAGE)
        self.began = session.peer_time
        self.chunk = ALICE.put(BODY, self.began, TTL)
        self.limited = BOB.put(b"limited", self.began, TTL, downloads=1)
        self.record = WRITER.put(new("r", BODY, at=self.began, ttl=TTL))
        self.entry = WRITER.chain("f", BODY, at=self.began, ttl=TTL)[0]
        claimed = statements.claim_statement(
            ItemId(self.limited.id), ALICE.ends.key, session.connection.handshake_hash()
        )
        self.claim = Claim(self.limited.id, ALICE.ends.key, ALICE.ends.sign(claimed))

    async def put(self) -> None:
        await self.asked.call(self.chunk, body=BODY)
        await self.asked.call(self.limited, body=b"limited")
        await self.asked.ask(self.record)
        await self.asked.ask(self.entry)
        owned = statements.owner_statement(WRITER.owner, self.session.connection.handshake_hash())
        await self.asked.ask(Own(WRITER.owner, WRITER.signer.sign(owned)))

    async def until(self, seconds: float) -> None:
        """So long after the beginning, as this side counts."""
        await asyncio.sleep(self.began / 1000 + seconds - self.session.peer_time / 1000)

    async def listed(self) -> int:
        rows = await self.asked.ask(ListRecords(WRITER.owner))
        assert isinstance(rows, Rows)
        return len(rows.rows)

    async def is_there(self) -> None:
        assert (await self.asked.call(Get(self.chunk.id), max_body=100)).body == BODY
        here = await self.asked.ask(Has((self.chunk.id, self.limited.id)))
        assert isinstance(here, Here)
        assert all(0 < left <= 2_000 for left in here.remaining)
        assert isinstance(await self.asked.ask(Downloads(self.limited.id)), Claimed)
        assert isinstance(await self.asked.ask(self.claim), Claimed)
        assert (await self.asked.call(Get(self.limited.id), max_body=100)).body == b"limited"
        await self.asked.call(GetRecord(WRITER.id("r")), max_body=100)
        assert await self.listed() == 1
        assert BODY in (await self.asked.call(ReadFeed(WRITER.feed("f")), max_body=1000)).body

    async def is_gone(self) -> None:
        for request in (
            Get(self.chunk.id),
            Get(self.limited.id),
            self.claim,
            Downloads(self.limited.id),
            GetRecord(WRITER.id("r")),
            ALICE.renewal(self.chunk, self.session.peer_time, TTL),
        ):
            assert await self.refused(request) is NotFound
        assert await self.refused(self.chunk, BODY) is UsageError
        assert await self.asked.ask(Has((self.chunk.id, self.limited.id))) == Here((0, 0))
        assert await self.listed() == 0
        assert BODY not in (await self.read())
        assert await self.asked.ask(ALICE.end(self.chunk.lease.root)) == Done(0)

    async def read(self) -> bytes:
        try:
            return bytes((await self.asked.call(ReadFeed(WRITER.feed("f")), max_body=1000)).body)
        except NotFound:
            return b""

    async def refused(self, request: Request, body: bytes = b"") -> type[RepramError]:
        with pytest.raises(RepramError) as caught:
            await self.asked.call(request, body=body, max_body=1000)
        return caught.type


async def told_of_its_end(session: Session) -> float:
    """When whoever watches the record is told that it is over, by the node's clock."""
    caller: Caller[Request, Reply] = Caller(session, STORAGE, patience=2 * TTL / 1000)
    async with caller.stream(Watch((WRITER.id("r"),))) as answer:
        async for piece in answer.body:
            if any(each.version == 0 for each in unframed(piece, Changed)):
                return session.peer_time
    raise AssertionError("the watch has ended")


def test_it_is_readable_two_seconds_before_its_deadline_and_gone_a_second_behind_it() -> None:
    async def main() -> None:
        patient = Settings(keep_alive=10.0)
        with node() as running:
            address = NodeAddress.parse(running.address)
            async with await Endpoint.open(settings=patient) as endpoint:
                session = await endpoint.connect((address.at.host, address.at.port), address.key)
                asking = Asking(session)
                await asking.put()
                watching = asyncio.create_task(told_of_its_end(session))
                await asking.until(TTL / 1000 - 2)
                await asking.is_there()
                await asking.until(TTL / 1000 + 1)
                await asking.is_gone()
                assert 0 <= await watching - asking.began - TTL <= 1_000

    asyncio.run(main())
