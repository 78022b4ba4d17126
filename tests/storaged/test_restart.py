"""What a node that starts anew knows of what it held, and of what was ended."""

from __future__ import annotations

import pytest

from repram.errors import Full, NotAllowed
from repram.proto.messages import Done, Get, Has, Held, Here
from repram.storaged.access.open_gate import OpenGate
from repram.storaged.holdings.book import Book
from repram.storaged.holdings.ends import Ends
from tests.conftest import Run
from tests.leases import ALICE, BOB, MINUTE
from tests.storaged.answering import Clock, node
from tests.storaged.lasting import LastingTier

SEALED = b"sealed bytes"


class Counting(OpenGate):
    """Counts what is charged, to whom."""

    def __init__(self) -> None:
        self.charged: dict[bytes, int] = {}

    def charge(self, account: bytes, owner: bytes, size: int) -> None:
        self.charged[owner] = self.charged.get(owner, 0) + size

    recount = charge

    def refund(self, account: bytes, owner: bytes, size: int) -> None:
        self.charged[owner] -= size
        assert self.charged[owner] >= 0


def test_what_was_acknowledged_is_there_after_a_restart_and_for_no_longer(run: Run[None]) -> None:
    async def main() -> None:
        clock, tier = Clock(), LastingTier()
        puts = ALICE.puts([SEALED, b"b"], clock.time)
        other = BOB.put(SEALED, clock.time, 3 * MINUTE)
        async with node(clock, tier=tier) as asked:
            await asked.call(puts[0], body=SEALED)
            await asked.call(puts[1], body=b"b")
            await asked.call(other, body=SEALED)
            await asked.ask(ALICE.renewal(puts[0], clock.time, 2 * MINUTE))
        tier.restart()
        clock.time += MINUTE
        async with node(clock, tier=tier) as asked:
            here = await asked.ask(Has((puts[0].id, puts[1].id)))
            assert here == Here((2 * MINUTE, MINUTE))
            assert (await asked.call(Get(puts[0].id), max_body=100)).body == SEALED
            assert await asked.ask(
                ALICE.renewal(puts[0], clock.time, 4 * MINUTE, serial=2)
            ) == Done(2)
            assert await asked.ask(ALICE.end()) == Done(2)
            assert await asked.ask(Has((puts[0].id, puts[1].id))) == Here((2 * MINUTE, 0))

    run(main())


def test_what_was_ended_stays_ended_through_a_restart(run: Run[None]) -> None:
    async def main() -> None:
        clock, tier = Clock(), LastingTier()
        put, later = ALICE.put(SEALED, clock.time), ALICE.put(b"later", clock.time, 2 * MINUTE)
        async with node(clock, tier=tier) as asked:
            await asked.call(put, body=SEALED)
            assert await asked.ask(ALICE.end(put.lease.root)) == Done(1)
        tier.restart()
        async with node(clock, tier=tier) as asked:
            with pytest.raises(NotAllowed, match="was ended"):
                await asked.call(put, body=SEALED)
            with pytest.raises(NotAllowed, match="was ended"):
                await asked.ask(ALICE.renewal(put, clock.time, MINUTE, serial=9))
            await asked.call(later, body=b"later")
            await asked.ask(ALICE.end())
            with pytest.raises(NotAllowed, match="was ended"):
                await asked.call(ALICE.put(b"anything", clock.time), body=b"anything")

    run(main())


def test_an_end_of_what_never_came_keeps_it_away(run: Run[None]) -> None:
    async def main() -> None:
        clock = Clock()
        put = ALICE.put(SEALED, clock.time, 30 * 24 * 60 * MINUTE)
        async with node(clock) as asked:
            assert await asked.ask(ALICE.end(put.lease.root)) == Done(0)
            clock.time = put.lease.deadline - 1
            with pytest.raises(NotAllowed, match="was ended"):
                await asked.call(put, body=SEALED)
            await asked.call(BOB.put(SEALED, clock.time), body=SEALED)

    run(main())


def test_an_end_outlives_a_renewal_that_was_held_back(run: Run[None]) -> None:
    async def main() -> None:
        clock, tier = Clock(), LastingTier()
        put = ALICE.put(SEALED, clock.time)
        held_back = ALICE.put(SEALED, clock.time, 10 * MINUTE)
        async with node(clock, tier=tier) as asked:
            await asked.call(put, body=SEALED)
            await asked.ask(ALICE.end(put.lease.root))
        clock.time += 5 * MINUTE
        tier.restart()
        async with node(clock, tier=tier) as asked:
            with pytest.raises(NotAllowed, match="was ended"):
                await asked.call(held_back, body=SEALED)

    run(main())


def test_a_node_that_forgets_its_ends_refuses_leases_from_before_its_start(run: Run[None]) -> None:
    async def main() -> None:
        clock = Clock()
        put = ALICE.put(SEALED, clock.time)
        async with node(clock) as asked:
            await asked.call(put, body=SEALED)
            await asked.ask(ALICE.end())
        clock.time += 1
        async with node(clock) as asked:
            with pytest.raises(NotAllowed, match="before the node started"):
                await asked.call(put, body=SEALED)
            assert await asked.ask(Has((put.id,))) == Here((0,))
            fresh = BOB.put(SEALED, clock.time)
            assert (await asked.call(fresh, body=SEALED)).reply == Held(clock.time, MINUTE, MINUTE)

    run(main())


def test_an_end_that_was_written_without_its_removals_is_made_good_for(run: Run[None]) -> None:
    async def main() -> None:
        clock, tier = Clock(), LastingTier()
        put, other = ALICE.put(SEALED, clock.time), BOB.put(b"other", clock.time)
        async with node(clock, tier=tier) as asked:
            await asked.call(put, body=SEALED)
            await asked.call(other, body=b"other")
            book = Book(tier, 1 << 30)
            Ends(book, OpenGate(), 0).keep(put.lease.root, put.lease.end_pk, b"", clock.time)
            await tier.settled()
        tier.restart()
        async with node(clock, tier=tier) as asked:
            assert await asked.ask(Has((put.id, other.id))) == Here((0, MINUTE))

    run(main())


def test_what_is_gone_is_charged_to_nobody(run: Run[None]) -> None:
    async def main() -> None:
        clock, tier, gate = Clock(), LastingTier(), Counting()
        puts = ALICE.puts([SEALED, b"b"], clock.time)
        async with node(clock, gate=gate, tier=tier) as asked:
            for put, body in zip(puts, (SEALED, b"b"), strict=True):
                await asked.call(put, body=body)
                await asked.call(put, body=body)
            await asked.call(BOB.put(SEALED, clock.time), body=SEALED)
            taken = 2 * tier.cost(0) + len(SEALED) + 1
            assert gate.charged == {ALICE.ends.key: taken, BOB.ends.key: tier.cost(len(SEALED))}
            tier.failing = True
            with pytest.raises(Full):
                await asked.call(ALICE.put(b"c", clock.time), body=b"c")
            tier.failing = False
            assert gate.charged[ALICE.ends.key] == taken
        tier.restart()
        gate = Counting()
        async with node(clock, gate=gate, tier=tier) as asked:
            assert gate.charged == {ALICE.ends.key: taken, BOB.ends.key: tier.cost(len(SEALED))}
            await asked.ask(ALICE.end())
            assert gate.charged[ALICE.ends.key] == tier.cost(0)
            assert gate.charged[BOB.ends.key] == tier.cost(len(SEALED))
            await asked.ask(BOB.end())
            assert gate.charged[BOB.ends.key] == tier.cost(0)

    run(main())
