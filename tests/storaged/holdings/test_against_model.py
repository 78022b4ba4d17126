"""A node and a small model of it, asked the same over real sessions, in any order and at any time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repram.crypto import statements
from repram.crypto.sealing import id_of
from repram.crypto.statements import EVERYTHING, Signer
from repram.errors import RepramError
from repram.ids import ItemId
from repram.proto.messages import (
    STORAGE,
    Claim,
    Done,
    Downloads,
    Found,
    Get,
    GiveBack,
    Has,
    Held,
    Here,
    Put,
    Renew,
)
from repram.proto.rpc import Caller, Server
from repram.storaged.access.open_gate import OpenGate
from repram.storaged.holdings.book import Book
from repram.storaged.memory import MemoryTier
from repram.storaged.service import Service
from tests.leases import Owner
from tests.nodes import calling, serving
from tests.storaged.answering import Clock
from tests.storaged.holdings.model import Model, Terms
from tests.storaged.lasting import LastingTier

R = TypeVar("R")

BODIES = [b"first", b"second", b"third", b"limited"]
IDS = [id_of(body).raw for body in BODIES]
LIMITED, LIMIT = 3, 2
BATCHES = [(0, 1), (1, 2), (LIMITED,)]  # the second item may be held by leases of two batches
OWNERS = [Owner.number(number) for number in range(1, 4)]
CLAIMANTS = [Signer(bytes([9, number]) * 16) for number in range(3)]

ttls = st.sampled_from([30_000, 60_000, 900_000, 3_600_000])
ages = st.sampled_from([0] * 9 + [1, 10_000, 29_999, 30_000, -1_500, -2_000, -2_001])
owners, batches = st.integers(0, len(OWNERS) - 1), st.integers(0, len(BATCHES) - 1)
serials = st.sampled_from([0, 0, 0, 1, 2, 3])
keys = st.integers(0, len(CLAIMANTS) - 1)
_WEIGHTED = {
    st.tuples(st.just("put"), owners, batches, st.integers(0, 1), serials, ttls, ages): 8,
    st.tuples(st.just("renew"), owners, batches, serials.map(lambda n: n + 1), ttls, ages, st.booleans()): 3,
    st.tuples(st.sampled_from(["claim", "claim", "give_back", "fetch"]), keys): 8,
    st.tuples(st.just("again"), st.integers(0, 100)): 3,
    st.tuples(st.just("end"), owners, st.sampled_from([None, *range(len(BATCHES))])): 1,
    st.tuples(st.just("wait"), st.sampled_from([1, 500, 15_000, 29_999, 30_000, 599_999])): 3,
    st.tuples(st.just("sweep")): 1,
    st.tuples(st.just("restart")): 1,
}  # fmt: skip
operations = st.sampled_from(
    [strategy for strategy, weight in _WEIGHTED.items() for _ in range(weight)]
).flatmap(lambda strategy: strategy)


def root_of(batch: int) -> bytes:
    return statements.root_of(_leaves(batch))


def _leaves(batch: int) -> list[bytes]:
    return [
        statements.lease_leaf(ItemId(IDS[item]), LIMIT if item == LIMITED else 0)
        for item in BATCHES[batch]
    ]


@dataclass
class Both:
    """The node, the model, and all that was ever said."""

    clock: Clock
    tier: Any
    model: Model
    asked: Caller[Any, Any]
    server: Server[Any, Any]
    book: Book
    sent: list[Callable[[], Any]]

    def start(self) -> None:
        """The process begins: in the same session, for the test's convenience."""
        self.book = Book(self.tier, 1 << 30)
        Service(self.book, OpenGate(), self.clock).answer_on(self.server)
        self.book.restore(self.clock.time)

    # ---- what may happen

    async def put(
        self, owner: int, batch: int, which: int, serial: int, ttl: int, age: int
    ) -> None:
        place = which % len(BATCHES[batch])
        item = BATCHES[batch][place]
        terms = OWNERS[owner].terms(root_of(batch), self.clock.time - age, ttl, serial=serial)
        put = Put(
            IDS[item],
            len(BODIES[item]),
            OWNERS[owner].lease(terms),
            place,
            statements.proof_of(statements.tree_of(_leaves(batch)), place),
            LIMIT if item == LIMITED else 0,
        )
        said = Terms((owner, batch), serial, terms.deadline, ttl)

        async def send() -> None:
            expected = self.model.put(item, said, self.clock.time)
            reply = await self.outcome(self.asked.call(put, body=BODIES[item]), expected)
            if reply is not None:
                assert isinstance(reply.reply, Held)
                assert reply.reply.created == self.model.since[item]
                assert reply.reply.remaining == self.model.remaining(item, self.clock.time)

        self.sent.append(send)
        await send()

    async def renew(
        self, owner: int, batch: int, serial: int, ttl: int, age: int, by_end: bool
    ) -> None:
        who = OWNERS[owner]
        terms = who.terms(root_of(batch), self.clock.time - age, ttl, serial=serial)
        request = Renew(who.lease(terms, who.ends if by_end else who.renews))
        said = Terms((owner, batch), serial, terms.deadline, ttl)

        async def send() -> None:
            expected = self.model.renew(said, self.clock.time)
            reply = await self.outcome(self.asked.ask(request), expected)
            if reply is not None:
                held = sum(said.name in names for names in self.model.held.values())
                assert reply == Done(held)

        self.sent.append(send)
        await send()

    async def again(self, which: int) -> None:
        if self.sent:
            await self.sent[which % len(self.sent)]()

    async def end(self, owner: int, batch: int | None) -> None:
        root = EVERYTHING if batch is None else root_of(batch)
        count = self.model.end(owner, batch)
        assert await self.asked.ask(OWNERS[owner].end(root, self.clock.time)) == Done(count)

    async def wait(self, milliseconds: int) -> None:
        self.clock.time += milliseconds
        self.model.pass_time(self.clock.time)

    async def sweep(self) -> None:
        self.book.expire(self.clock.time)

    async def claim(self, key: int) -> None:
        here = self.model.remaining(LIMITED, self.clock.time) > 0
        expected = self.model.downloads.claim(key, self.clock.time) if here else "NotFound"
        await self.outcome(self.asked.ask(Claim(*self._claim(key))), expected)

    async def give_back(self, key: int) -> None:
        here = self.model.remaining(LIMITED, self.clock.time) > 0
        expected = self.model.downloads.give_back(key) if here else "NotFound"
        await self.outcome(self.asked.ask(GiveBack(*self._claim(key))), expected)

    async def fetch(self, key: int) -> None:
        """By who has a claim; taken up again, for the session may know another key's by now."""
        reserved = self.model.downloads.reserved
        if key in reserved and self.model.remaining(LIMITED, self.clock.time):
            await self.asked.ask(Claim(*self._claim(key)))
            assert self.model.downloads.fetch(key) == "done"
            assert (await self.asked.call(Get(IDS[LIMITED]), max_body=100)).body == BODIES[LIMITED]

    async def restart(self) -> None:
        await self.tier.settled()
        if self.model.durable:
            self.tier.restart()
        else:
            self.tier = MemoryTier()
        self.model.start(self.clock.time)
        self.start()

    def _claim(self, key: int) -> tuple[bytes, bytes, bytes]:
        bound = self.asked._session.connection.handshake_hash()
        signer = CLAIMANTS[key]
        statement = statements.claim_statement(ItemId(IDS[LIMITED]), signer.key, bound)
        return IDS[LIMITED], signer.key, signer.sign(statement)

    # ---- what must be so

    async def outcome(self, asking: Awaitable[R], expected: str) -> R | None:
        reply, outcome = None, "done"
        try:
            reply = await asking
        except RepramError as error:
            outcome = type(error).__name__
        assert outcome == expected
        return reply

    async def agree(self) -> None:
        now = self.clock.time
        remaining = tuple(self.model.remaining(item, now) for item in range(len(BODIES)))
        assert await self.asked.ask(Has(tuple(IDS))) == Here(remaining)
        for item in range(LIMITED):
            expected = "done" if remaining[item] else "NotFound"
            reply = await self.outcome(self.asked.call(Get(IDS[item]), max_body=100), expected)
            if reply is not None:
                assert isinstance(reply.reply, Found)
                assert (reply.body, reply.reply.remaining) == (BODIES[item], remaining[item])
        if remaining[LIMITED]:
            told, model = await self.asked.ask(Downloads(IDS[LIMITED])), self.model.downloads
            left = LIMIT - model.taken - model.under_way
            assert (told.left, told.taken, told.under_way) == (left, model.taken, model.under_way)
            assert model.taken + model.under_way <= LIMIT


async def compare(steps: list[Any], *, durable: bool) -> None:
    clock, server = Clock(), Server(STORAGE)
    tier = LastingTier() if durable else MemoryTier()
    model = Model(clock.time, durable=durable, limited=LIMITED, limit=LIMIT)
    async with serving(server) as address, calling(address) as session:
        both = Both(clock, tier, model, Caller(session, STORAGE), server, Book(tier, 0), [])
        both.start()
        for name, *arguments in steps:
            await getattr(both, name)(*arguments)
            await both.agree()


@pytest.mark.parametrize("durable", [False, True], ids=["in memory", "lasting"])
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(operations, min_size=30, max_size=60))
def test_a_node_does_what_its_model_does(durable: bool, steps: list[Any]) -> None:
    asyncio.run(asyncio.wait_for(compare(steps, durable=durable), 60))
