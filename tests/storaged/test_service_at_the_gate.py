"""Every request passes the gate once, and what the gate refuses leaves no trace."""

from __future__ import annotations

import pytest

from repram.errors import ClockRefused, Full, NotAllowed
from repram.proto.endpoint import Session
from repram.proto.messages import CHUNK_MAX, About, Claim, Downloads, Get, GiveBack, Has, Here
from repram.storaged.access.gate import Right
from repram.storaged.access.open_gate import OpenGate
from tests.conftest import Run
from tests.leases import ALICE, BOB
from tests.storaged.answering import Clock, node

SEALED = b"sealed bytes"


class Watchful(OpenGate):
    """Notes who asks for what, and refuses what the test says."""

    def __init__(self) -> None:
        self.asked: list[Right] = []
        self.unsettled = False
        self.denied: set[bytes] = set()
        self.quota_of_all = 1 << 30
        self.charged = 0

    def admit(self, session: Session, right: Right) -> bytes:
        self.asked.append(right)
        if self.unsettled:
            raise ClockRefused
        return b"account"

    def refuse_denied(self, item: bytes, owner: bytes) -> None:
        if {item, owner} & self.denied:
            raise NotAllowed("the owner of this node does not want it")

    def charge(self, account: bytes, owner: bytes, size: int) -> None:
        if self.charged + size > self.quota_of_all:
            raise Full("this would pass the quota")
        self.charged += size

    def refund(self, account: bytes, owner: bytes, size: int) -> None:
        self.charged -= size


def test_every_request_asks_once_for_the_right_that_it_needs(run: Run[None]) -> None:
    async def main() -> None:
        clock, gate = Clock(), Watchful()
        async with node(clock, gate=gate) as asked:
            put = ALICE.put(SEALED, clock.time)
            await asked.call(put, body=SEALED)
            await asked.ask(ALICE.renewal(put, clock.time, 120_000))
            await asked.ask(ALICE.end())
            assert gate.asked == [Right.STORE, Right.STORE, Right.READ]
            gate.asked.clear()
            await asked.ask(ALICE.end())
            assert gate.asked == [Right.STORE], "an end of what is not here takes room"
            gate.asked.clear()
            await asked.ask(Has((put.id,)))
            await asked.ask(About())
            unproved = (put.id, bytes(32), bytes(64))
            for request in (Get(put.id), Downloads(put.id), Claim(*unproved), GiveBack(*unproved)):
                with pytest.raises(Exception, match="not here"):
                    await asked.ask(request)
            assert gate.asked == [Right.READ] * 6

    run(main())


def test_nothing_happens_while_the_clock_is_not_settled(run: Run[None]) -> None:
    async def main() -> None:
        clock, gate = Clock(), Watchful()
        async with node(clock, gate=gate) as asked:
            put = ALICE.put(SEALED, clock.time)
            await asked.call(put, body=SEALED)
            gate.unsettled = True
            requests = (
                Get(put.id),
                Has((put.id,)),
                ALICE.renewal(put, clock.time, 120_000),
                ALICE.end(),
            )
            for request in requests:
                with pytest.raises(ClockRefused):
                    await asked.ask(request)
            with pytest.raises(ClockRefused):
                await asked.call(BOB.put(b"x", clock.time), body=b"x")
            gate.unsettled = False
            assert await asked.ask(Has((put.id,))) == Here((60_000,))

    run(main())


def test_what_the_owner_of_the_node_does_not_want_is_neither_taken_nor_given(
    run: Run[None],
) -> None:
    async def main() -> None:
        clock, gate = Clock(), Watchful()
        async with node(clock, gate=gate) as asked:
            put = ALICE.put(SEALED, clock.time)
            await asked.call(put, body=SEALED)
            for denied in (put.id, ALICE.ends.key):
                gate.denied = {denied}
                with pytest.raises(NotAllowed):
                    await asked.ask(Get(put.id))
                with pytest.raises(NotAllowed):
                    await asked.call(put, body=SEALED)
            await asked.ask(ALICE.end())  # what is not wanted may always be ended

    run(main())


def test_a_quota_is_told_before_the_body_comes_and_a_repetition_is_free(run: Run[None]) -> None:
    async def main() -> None:
        clock, gate = Clock(), Watchful()
        async with node(clock, gate=gate) as asked:
            put = ALICE.put(SEALED, clock.time)
            await asked.call(put, body=SEALED)
            gate.quota_of_all = gate.charged
            await asked.call(put, body=SEALED)
            large = bytes(CHUNK_MAX)
            with pytest.raises(Full, match="the quota"):
                await asked.call(ALICE.put(large, clock.time), body=large)
            assert gate.charged == gate.quota_of_all
            clock.time += 60_000
            assert await asked.ask(Has((put.id,))) == Here((0,))

    run(main())
