"""Items that may be fetched a number of times: claimed, resumed, given back, counted, by several sessions."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from repram.crypto import statements
from repram.crypto.sealing import id_of
from repram.crypto.statements import Signer
from repram.errors import Busy, Conflict, IntegrityFailure, NotAllowed, NotFound
from repram.ids import ItemId
from repram.proto.endpoint import Session
from repram.proto.messages import (
    STORAGE,
    Claim,
    Claimed,
    Downloads,
    Get,
    GiveBack,
    Has,
    Here,
    Reply,
    Request,
)
from repram.proto.rpc import Caller
from repram.storaged.holdings.limits import RESERVED_FOR
from repram.storaged.tier import Tier
from tests.conftest import Run
from tests.leases import ALICE, BOB, MINUTE
from tests.nodes import calling, serving
from tests.storaged.answering import Answering, Clock
from tests.storaged.lasting import LastingTier

SEALED = bytes(range(256)) * 1_000
ITEM = id_of(SEALED).raw
HOUR = 60 * MINUTE


class Person:
    """A session, and keys to claim with."""

    def __init__(self, session: Session, number: int) -> None:
        self.session = session
        self.asked: Caller[Request, Reply] = Caller(session, STORAGE)
        self.signer = Signer(bytes([number]) * 32)

    def _signature(self) -> bytes:
        bound = self.session.connection.handshake_hash()
        return self.signer.sign(statements.claim_statement(ItemId(ITEM), self.signer.key, bound))

    async def claim(self) -> Reply:
        return await self.asked.ask(Claim(ITEM, self.signer.key, self._signature()))

    async def give_back(self) -> Reply:
        return await self.asked.ask(GiveBack(ITEM, self.signer.key, self._signature()))

    async def tell(self) -> Reply:
        return await self.asked.ask(Downloads(ITEM))

    async def fetch(self, offset: int = 0) -> bytes:
        return bytes((await self.asked.call(Get(ITEM, offset), max_body=1 << 20)).body)


@asynccontextmanager
async def people(
    clock: Clock, count: int, downloads: int, tier: Tier | None = None
) -> AsyncIterator[list[Person]]:
    """Sessions with a node where the item is and may be fetched so often."""
    server = Answering(clock, tier=tier).server
    async with contextlib.AsyncExitStack() as stack:
        address = await stack.enter_async_context(serving(server))
        them = [
            Person(await stack.enter_async_context(calling(address)), number)
            for number in range(count)
        ]
        if downloads:
            put = ALICE.put(SEALED, clock.time, HOUR, downloads=downloads)
            await them[0].asked.call(put, body=SEALED)
        yield them


def test_a_limited_item_is_read_under_a_claim_alone_and_a_look_counts_as_none(
    run: Run[None],
) -> None:
    async def main() -> None:
        async with people(Clock(), 2, downloads=2) as (anna, ben):
            for person in (anna, ben):
                with pytest.raises(NotAllowed, match="claimed"):
                    await person.fetch()
            assert await anna.asked.ask(Has((ITEM,))) == Here((HOUR,))
            assert await ben.tell() == Claimed(0, 2, 0, 0)
            assert await anna.claim() == Claimed(RESERVED_FOR, 1, 0, 1)
            with pytest.raises(NotAllowed, match="claimed"):
                await ben.fetch()
            assert await anna.fetch() == SEALED
            assert await ben.tell() == Claimed(0, 1, 1, 0)

    run(main())


def test_claims_at_one_time_never_pass_the_limit(run: Run[None]) -> None:
    async def main() -> None:
        async with people(Clock(), 3, downloads=2) as (anna, ben, carl):
            await anna.claim()
            assert await ben.claim() == Claimed(RESERVED_FOR, 0, 0, 2)
            with pytest.raises(Busy, match="2 others"):
                await carl.claim()
            await ben.fetch()
            await anna.fetch()
            with pytest.raises(NotFound, match="downloaded 2 times"):
                await carl.claim()

    run(main())


def test_a_claim_is_taken_up_again_in_another_session(run: Run[None]) -> None:
    async def main() -> None:
        clock = Clock()
        async with people(clock, 2, downloads=1) as (anna, ben):
            await anna.claim()
            clock.time += MINUTE
            ben.signer = anna.signer
            assert await ben.claim() == Claimed(RESERVED_FOR - MINUTE, 0, 0, 1)
            assert await ben.fetch(1_000) == SEALED[1_000:]
            assert await ben.fetch() == SEALED, "the last bytes may have been lost on their way"
            assert await ben.tell() == Claimed(0, 0, 1, 0)
            clock.time += RESERVED_FOR
            with pytest.raises(NotAllowed):
                await ben.fetch()

    run(main())


def test_a_claim_that_is_not_used_counts_when_its_ten_minutes_are_over(run: Run[None]) -> None:
    async def main() -> None:
        clock = Clock()
        async with people(clock, 2, downloads=1) as (anna, ben):
            await anna.claim()
            clock.time += RESERVED_FOR - 1
            with pytest.raises(Busy):
                await ben.claim()
            clock.time += 1
            assert await ben.tell() == Claimed(0, 0, 1, 0)
            with pytest.raises(NotAllowed):
                await anna.fetch()
            with pytest.raises(NotFound):
                await ben.claim()

    run(main())


def test_a_download_is_given_back_twice_and_then_counts(run: Run[None]) -> None:
    async def main() -> None:
        async with people(Clock(), 2, downloads=2) as (anna, ben):
            for person in (anna, ben):
                await person.claim()
                assert await person.give_back() == Claimed(0, 2, 0, 0)
                with pytest.raises(NotAllowed):
                    await person.fetch()
            await anna.claim()
            assert await anna.give_back() == Claimed(0, 1, 1, 0)
            with pytest.raises(NotFound):
                await anna.give_back()

    run(main())


def test_what_was_handed_out_whole_is_given_back_like_the_rest(run: Run[None]) -> None:
    async def main() -> None:
        async with people(Clock(), 2, downloads=1) as (anna, ben):
            for left in (1, 1, 0):
                await anna.claim()
                await anna.fetch()
                with pytest.raises(NotFound, match="downloaded 1 times"):
                    await ben.claim()
                assert await anna.give_back() == Claimed(0, left, 1 - left, 0)
            with pytest.raises(NotFound, match="downloaded 1 times"):
                await anna.claim()

    run(main())


def test_part_of_a_body_counts_as_no_download(run: Run[None]) -> None:
    large = bytes(4 << 20)

    async def main() -> None:
        clock = Clock()
        async with people(clock, 1, downloads=0) as (anna,):
            put = ALICE.put(large, clock.time, HOUR, downloads=1)
            await anna.asked.call(put, body=large)
            bound = anna.session.connection.handshake_hash()
            statement = statements.claim_statement(ItemId(put.id), anna.signer.key, bound)
            claim = Claim(put.id, anna.signer.key, anna.signer.sign(statement))
            await anna.asked.ask(claim)
            async with anna.asked.stream(Get(put.id)) as answer:
                await answer.body.take_exactly(1_000)
            assert await anna.asked.ask(Downloads(put.id)) == Claimed(0, 0, 0, 1)

    run(main())


def test_a_claim_is_bound_to_its_session_and_its_key(run: Run[None]) -> None:
    async def main() -> None:
        async with people(Clock(), 2, downloads=1) as (anna, ben):
            with pytest.raises(IntegrityFailure):
                await ben.asked.ask(Claim(ITEM, anna.signer.key, anna._signature()))
            with pytest.raises(IntegrityFailure):
                await anna.asked.ask(Claim(ITEM, ben.signer.key, anna._signature()))
            await anna.claim()
            with pytest.raises(IntegrityFailure):
                await ben.asked.ask(GiveBack(ITEM, anna.signer.key, anna._signature()))
            assert await ben.tell() == Claimed(0, 0, 0, 1)

    run(main())


def test_nobody_changes_how_often_an_item_may_be_fetched(run: Run[None]) -> None:
    async def main() -> None:
        clock = Clock()
        async with people(clock, 1, downloads=1) as (anna,):
            for downloads in (0, 2):
                put = BOB.put(SEALED, clock.time, HOUR, downloads=downloads)
                with pytest.raises(Conflict, match="number of downloads"):
                    await anna.asked.call(put, body=SEALED)
            await anna.asked.call(BOB.put(SEALED, clock.time, HOUR, downloads=1), body=SEALED)

    run(main())


def test_an_item_without_a_limit_needs_no_claim(run: Run[None]) -> None:
    async def main() -> None:
        clock = Clock()
        async with people(clock, 1, downloads=0) as (anna,):
            await anna.asked.call(ALICE.put(SEALED, clock.time), body=SEALED)
            with pytest.raises(NotAllowed, match="needs no claim"):
                await anna.claim()
            assert await anna.fetch() == SEALED

    run(main())


def test_counts_and_reservations_outlive_a_restart(run: Run[None]) -> None:
    async def main() -> None:
        clock, tier = Clock(), LastingTier()
        async with people(clock, 2, downloads=3, tier=tier) as (anna, ben):
            await anna.claim()
            await anna.fetch()
            await ben.claim()
        tier.restart()
        async with people(clock, 3, downloads=0, tier=tier) as (_, ben, carl):
            assert await carl.tell() == Claimed(0, 1, 1, 1)
            await carl.claim()
            assert await ben.claim() == Claimed(RESERVED_FOR, 0, 1, 2)
            assert await ben.fetch() == SEALED

    run(main())
