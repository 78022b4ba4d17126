"""What a node answers about chunks, over real sessions and on a clock that the test moves."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from repram.crypto import statements
from repram.errors import (
    ClockRefused,
    Conflict,
    Full,
    IntegrityFailure,
    NotAllowed,
    NotFound,
    RepramError,
    UsageError,
)
from repram.proto.messages import (
    CHUNK_MAX,
    CHUNK_TTL_MIN,
    STORAGE,
    TTL_MAX,
    About,
    Done,
    Found,
    Get,
    Has,
    Held,
    Here,
    Node,
    Put,
    Reply,
    Request,
)
from repram.proto.rpc import Answered, Caller
from repram.storaged.disk.tier import DiskTier
from repram.storaged.memory import OVERHEAD, MemoryTier
from repram.storaged.tier import Tier
from tests.conftest import Run
from tests.leases import ALICE, BOB, MINUTE, Owner
from tests.nodes import calling, serving
from tests.storaged.answering import Answering, Clock, node
from tests.storaged.lasting import LastingTier

SEALED = b"sealed bytes"


async def refused(
    asked: Caller[Request, Reply], request: Request, body: bytes = b"", match: str | None = None
) -> type[RepramError]:
    """As what it is refused."""
    with pytest.raises(RepramError, match=match) as caught:
        await asked.call(request, body=body, max_body=CHUNK_MAX)
    return caught.type


def test_an_end_that_comes_while_the_bytes_do_counts(run: Run[None]) -> None:
    async def main() -> None:
        clock, sealed = Clock(), bytes(200_000)
        put = ALICE.put(sealed, clock.time)
        async with node(clock) as asked:

            async def body() -> AsyncIterator[bytes]:
                yield sealed[:100_000]
                await asked.ask(Has((put.id,)))  # by now the node has looked at the lease
                await asked.ask(ALICE.end(put.lease.root))
                yield sealed[100_000:]

            with pytest.raises(NotAllowed, match="was ended"):
                await asked.call(put, body=body())
            assert await asked.ask(Has((put.id,))) == Here((0,))

    run(main())


def test_sixty_seconds_are_readable_at_58_and_gone_at_61_by_every_verb(run: Run[None]) -> None:
    async def main() -> None:
        clock = Clock()
        async with node(clock) as asked:
            put = ALICE.put(SEALED, clock.time)
            held = await asked.call(put, body=SEALED)
            assert held.reply == Held(clock.time, MINUTE, MINUTE)
            clock.time += 58_000
            found = await asked.call(Get(put.id), max_body=100)
            assert found == (Found(len(SEALED), clock.time - 58_000, MINUTE, 2_000), SEALED)
            assert await asked.ask(Has((put.id,))) == Here((2_000,))
            clock.time += 3_000
            assert await refused(asked, Get(put.id)) is NotFound
            assert await asked.ask(Has((put.id,))) == Here((0,))
            assert await refused(asked, ALICE.renewal(put, clock.time)) is NotFound
            assert await refused(asked, put, SEALED) is UsageError
            assert await asked.ask(ALICE.end(put.lease.root)) == Done(0)

    run(main())


def test_it_is_gone_exactly_at_its_deadline(run: Run[None]) -> None:
    async def main() -> None:
        clock = Clock()
        async with node(clock) as asked:
            put = ALICE.put(SEALED, clock.time)
            await asked.call(put, body=SEALED)
            clock.time += MINUTE - 1
            assert await asked.ask(Has((put.id,))) == Here((1,))
            clock.time += 1
            assert await asked.ask(Has((put.id,))) == Here((0,))
            assert await refused(asked, Get(put.id)) is NotFound

    run(main())


def test_part_of_a_lease_that_has_passed_counts(run: Run[None]) -> None:
    async def main() -> None:
        clock = Clock()
        async with node(clock) as asked:
            put = ALICE.put(SEALED, clock.time)
            clock.time += 59_000
            answer = await asked.call(put, body=SEALED)
            assert answer.reply == Held(clock.time, MINUTE, 1_000)

    run(main())


def with_size(put: Put, size: int) -> Put:
    return msgspec.structs.replace(put, size=size)


@pytest.mark.parametrize("size", [0, CHUNK_MAX + 1])
def test_a_size_out_of_bounds_is_refused_and_named(run: Run[None], size: int) -> None:
    async def main() -> None:
        clock = Clock()
        async with node(clock) as asked:
            put = with_size(ALICE.put(SEALED, clock.time), size)
            assert await refused(asked, put, b"x", r"1 byte to 4\.0 MiB") is UsageError

    run(main())


@pytest.mark.parametrize(
    ("begins", "ttl", "error", "named"),
    [
        (0, CHUNK_TTL_MIN - 1, UsageError, "30s to 30d"),
        (0, TTL_MAX + 1, UsageError, "30s to 30d"),
        (-MINUTE, MINUTE, UsageError, "passed 0 ms ago"),
        (2_001, MINUTE, ClockRefused, "at most 2000 ms"),
    ],
)
def test_a_lease_out_of_bounds_is_refused_and_named(
    run: Run[None], begins: int, ttl: int, error: type[RepramError], named: str
) -> None:
    async def main() -> None:
        clock = Clock()
        clock.time += MINUTE
        async with node(clock) as asked:
            put = ALICE.put(SEALED, clock.time + begins, ttl)
            assert await refused(asked, put, SEALED, named) is error

    run(main())


@pytest.mark.parametrize("ttl", [CHUNK_TTL_MIN, TTL_MAX])
@pytest.mark.parametrize("begins", [0, 2_000])
def test_the_bounds_themselves_are_taken_and_the_ttl_is_never_passed(
    run: Run[None], ttl: int, begins: int
) -> None:
    async def main() -> None:
        clock = Clock()
        async with node(clock) as asked:
            largest = bytes(CHUNK_MAX)
            for body in (SEALED, largest):
                put = ALICE.put(body, clock.time + begins, ttl)
                answer = await asked.call(put, body=body)
                assert answer.reply == Held(clock.time, ttl, ttl)

    run(main())


def test_a_batch_is_held_under_one_signature(run: Run[None]) -> None:
    async def main() -> None:
        clock = Clock()
        async with node(clock) as asked:
            bodies = [b"%d" % number for number in range(16)]
            puts = ALICE.puts(bodies, clock.time)
            for put, body in zip(puts, bodies, strict=True):
                await asked.call(put, body=body)
            here = await asked.ask(Has(tuple(put.id for put in puts)))
            assert here == Here((MINUTE,) * 16)
            clock.time += 1_000
            assert await asked.ask(ALICE.renewal(puts[3], clock.time)) == Done(16)
            here = await asked.ask(Has(tuple(put.id for put in puts)))
            assert here == Here((MINUTE,) * 16)
            assert await asked.ask(ALICE.end(puts[5].lease.root)) == Done(16)
            here = await asked.ask(Has(tuple(put.id for put in puts)))
            assert here == Here((0,) * 16)

    run(main())


FORGERIES: dict[str, Callable[[Put], Put]] = {
    "another item": lambda put: msgspec.structs.replace(put, id=bytes(32)),
    "another place": lambda put: msgspec.structs.replace(put, index=put.index ^ 1),
    "a place beyond the proof": lambda put: msgspec.structs.replace(put, index=put.index | 8),
    "no proof": lambda put: msgspec.structs.replace(put, proof=()),
    "another number of downloads": lambda put: msgspec.structs.replace(put, downloads=1),
    "a later deadline": lambda put: _with_lease(put, deadline=put.lease.deadline + 1),
    "a longer ttl": lambda put: _with_lease(put, ttl=put.lease.ttl + 1),
    "another key that renews": lambda put: _with_lease(put, renew_pk=BOB.renews.key),
    "another key that ends": lambda put: _with_lease(put, end_pk=BOB.ends.key),
    "signed by who may renew": lambda put: msgspec.structs.replace(
        put,
        lease=ALICE.lease(
            ALICE.terms(put.lease.root, 0, deadline=put.lease.deadline), ALICE.renews
        ),
    ),
}


def _with_lease(put: Put, **changes: object) -> Put:
    return msgspec.structs.replace(put, lease=msgspec.structs.replace(put.lease, **changes))


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_put_is_not_taken(run: Run[None], forgery: str) -> None:
    async def main() -> None:
        clock = Clock()
        async with node(clock) as asked:
            put = ALICE.puts([SEALED, b"b", b"c"], clock.time)[0]
            assert await refused(asked, FORGERIES[forgery](put), SEALED) is IntegrityFailure
            assert await asked.ask(Has((put.id,))) == Here((0,))
            await asked.call(put, body=SEALED)

    run(main())


@pytest.mark.parametrize("size", [20, 100_000])
def test_bytes_that_the_id_does_not_name_are_not_held(run: Run[None], size: int) -> None:
    async def main() -> None:
        clock = Clock()
        async with node(clock) as asked:
            put = ALICE.put(bytes(size), clock.time)
            other = bytes(size - 1) + b"x"
            assert await refused(asked, put, other, "not those") is IntegrityFailure
            assert await refused(asked, Get(put.id)) is NotFound

    run(main())


def test_a_second_lease_takes_the_bytes_and_keeps_the_item_for_its_own_time(run: Run[None]) -> None:
    async def main() -> None:
        clock = Clock()
        async with node(clock) as asked:
            first, second = ALICE.put(SEALED, clock.time), BOB.put(SEALED, clock.time, 2 * MINUTE)
            await asked.call(first, body=SEALED)
            assert await refused(asked, second, b"other bytes!") is IntegrityFailure
            assert await asked.ask(Has((first.id,))) == Here((MINUTE,))
            answer = await asked.call(second, body=SEALED)
            assert answer.reply == Held(clock.time, 2 * MINUTE, 2 * MINUTE)
            await asked.ask(ALICE.end(first.lease.root))
            assert await asked.ask(Has((first.id,))) == Here((2 * MINUTE,))
            await asked.ask(BOB.end(second.lease.root))
            assert await asked.ask(Has((first.id,))) == Here((0,))

    run(main())


def test_the_end_of_a_lease_that_is_over_concerns_nothing(run: Run[None]) -> None:
    async def main() -> None:
        clock = Clock()
        async with node(clock) as asked:
            first, second = ALICE.put(SEALED, clock.time), BOB.put(SEALED, clock.time, 2 * MINUTE)
            await asked.call(first, body=SEALED)
            await asked.call(second, body=SEALED)
            clock.time += MINUTE
            assert await asked.ask(ALICE.end()) == Done(0)
            assert await asked.ask(Has((first.id,))) == Here((MINUTE,))

    run(main())


def test_a_shorter_second_lease_shortens_nothing(run: Run[None]) -> None:
    async def main() -> None:
        clock = Clock()
        async with node(clock) as asked:
            first, second = ALICE.put(SEALED, clock.time, 2 * MINUTE), BOB.put(SEALED, clock.time)
            await asked.call(first, body=SEALED)
            answer = await asked.call(second, body=SEALED)
            assert answer.reply == Held(clock.time, 2 * MINUTE, 2 * MINUTE)
            await asked.ask(BOB.end(second.lease.root))
            assert await asked.ask(Has((first.id,))) == Here((2 * MINUTE,))

    run(main())


def test_the_end_of_the_longer_lease_leaves_the_shorter(run: Run[None]) -> None:
    async def main() -> None:
        clock = Clock()
        async with node(clock) as asked:
            first, second = ALICE.put(SEALED, clock.time), BOB.put(SEALED, clock.time, 2 * MINUTE)
            await asked.call(first, body=SEALED)
            await asked.call(second, body=SEALED)
            assert await asked.ask(BOB.end(second.lease.root)) == Done(1)
            assert await asked.ask(Has((first.id,))) == Here((MINUTE,))

    run(main())


def test_a_replayed_put_lengthens_and_shortens_nothing(run: Run[None]) -> None:
    async def main() -> None:
        clock = Clock()
        async with node(clock) as asked:
            put = ALICE.put(SEALED, clock.time + 1_500)
            await asked.call(put, body=SEALED)
            clock.time += 1_500
            assert (await asked.call(put, body=SEALED)).reply == Held(
                clock.time - 1_500, MINUTE, MINUTE - 1_500
            )
            await asked.ask(ALICE.renewal(put, clock.time, 2 * MINUTE))
            assert (await asked.call(put, body=SEALED)).reply == Held(
                clock.time - 1_500, 2 * MINUTE, 2 * MINUTE
            )

    run(main())


def test_a_renewal_needs_a_higher_serial_and_a_later_deadline(run: Run[None]) -> None:
    async def main() -> None:
        clock = Clock()
        async with node(clock) as asked:
            put = ALICE.put(SEALED, clock.time)
            await asked.call(put, body=SEALED)
            clock.time += 10_000
            second = ALICE.renewal(put, clock.time, serial=2, by=ALICE.ends)
            assert await asked.ask(second) == Done(1)
            assert await asked.ask(second) == Done(1)
            later = ALICE.renewal(put, clock.time + 1_000, serial=1)
            assert await refused(asked, later, match="higher serial") is Conflict
            sooner = ALICE.renewal(put, clock.time - 1_000, serial=3)
            assert await refused(asked, sooner, match="later deadline") is Conflict
            assert await asked.ask(Has((put.id,))) == Here((MINUTE,))

    run(main())


def test_a_put_renews_nothing(run: Run[None]) -> None:
    async def main() -> None:
        clock = Clock()
        async with node(clock) as asked:
            puts = ALICE.puts([SEALED, b"b"], clock.time)
            await asked.call(puts[0], body=SEALED)
            newer = ALICE.lease(ALICE.terms(puts[0].lease.root, clock.time, 2 * MINUTE, serial=1))
            put = msgspec.structs.replace(puts[1], lease=newer)
            assert await refused(asked, put, b"b", "older serial 0") is Conflict
            assert await asked.ask(Has((puts[0].id, put.id))) == Here((MINUTE, 0))

    run(main())


def test_only_its_own_keys_renew_a_lease(run: Run[None]) -> None:
    async def main() -> None:
        clock = Clock()
        async with node(clock) as asked:
            put = ALICE.put(SEALED, clock.time)
            await asked.call(put, body=SEALED)
            clock.time += 1_000
            stranger = ALICE.renewal(put, clock.time, by=BOB.renews)
            assert await refused(asked, stranger) is IntegrityFailure
            own = BOB.renewal(put, clock.time)
            assert await refused(asked, own) is NotFound
            other = replace(ALICE, renews=BOB.renews).renewal(put, clock.time)
            assert await refused(asked, other, match="another key") is Conflict
            assert await refused(asked, ALICE.renewal(put, clock.time, serial=0)) is UsageError
            assert await asked.ask(Has((put.id,))) == Here((MINUTE - 1_000,))

    run(main())


def test_only_its_end_key_ends_a_lease(run: Run[None]) -> None:
    async def main() -> None:
        clock = Clock()
        async with node(clock) as asked:
            put = ALICE.put(SEALED, clock.time)
            await asked.call(put, body=SEALED)
            forged = ALICE.end(put.lease.root, by=ALICE.renews)
            assert await refused(asked, forged) is IntegrityFailure
            assert await asked.ask(BOB.end(put.lease.root)) == Done(0)
            assert await asked.ask(Has((put.id,))) == Here((MINUTE,))

    run(main())


def test_a_full_node_refuses_before_it_reads_and_serves_what_it_has(run: Run[None]) -> None:
    async def main() -> None:
        clock = Clock()
        async with node(clock, len(SEALED) + OVERHEAD) as asked:
            put = ALICE.put(SEALED, clock.time)
            await asked.call(put, body=SEALED)
            large = bytes(CHUNK_MAX)
            assert await refused(asked, ALICE.put(large, clock.time), large, "is full") is Full
            assert (await asked.call(Get(put.id), max_body=100)).body == SEALED
            assert await asked.ask(ALICE.end()) == Done(1), "an end fits where a chunk was"

    run(main())


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_short_lived_writes_of_ten_times_the_capacity_are_never_refused_while_what_lives_fits(
    run: Run[None], tmp_path: Path, where: str
) -> None:
    async def main() -> None:
        clock, at_once, size = Clock(), 10, 3_000
        store = DiskTier.open(tmp_path, slots=64, segment_size=16 << 10)
        tier: Tier = MemoryTier() if where == "memory" else store
        async with node(clock, at_once * tier.cost(size), tier=tier) as asked:
            for _ in range(11):
                for _ in range(at_once):
                    body = os.urandom(size)
                    await asked.call(ALICE.put(body, clock.time, CHUNK_TTL_MIN), body=body)
                further = ALICE.put(b"further", clock.time, CHUNK_TTL_MIN)
                assert await refused(asked, further, b"further", "is full") is Full
                clock.time += CHUNK_TTL_MIN
                await tier.tend(clock.time)
        log = sum(path.stat().st_size for path in (tmp_path / "log").iterdir())
        assert log < 3 * at_once * tier.cost(size)
        await store.close()

    run(main())


def test_leases_and_reservations_take_room_too_and_give_it_back(run: Run[None]) -> None:
    async def main() -> None:
        clock = Clock()
        answering = Answering(clock, capacity=11_000)
        book = answering.book
        async with serving(answering.server) as address, calling(address) as session:
            asked = Caller(session, STORAGE)
            await asked.call(ALICE.put(SEALED, clock.time), body=SEALED)
            alone = book.used
            await asked.call(BOB.put(SEALED, clock.time, 2 * MINUTE), body=SEALED)
            assert (both := book.used) >= alone + 700
            limited = ALICE.put(b"limited", clock.time, downloads=3)
            await asked.call(limited, body=b"limited")
            assert book.used >= both + 5_000
            for number in range(3, 6):
                lease = Owner.number(number).put(SEALED, clock.time)
                await asked.call(lease, body=SEALED)
            refusing = Owner.number(9).put(SEALED, clock.time)
            assert await refused(asked, refusing, SEALED, "is full") is Full
            await asked.ask(BOB.end(refusing.lease.root))
            clock.time += MINUTE
            book.expire(clock.time)
            assert book.used == OVERHEAD, "of the end that is kept"

    run(main())


def test_bytes_on_their_way_count_until_they_are_there_or_given_up(run: Run[None]) -> None:
    async def main() -> None:
        clock = Clock()
        async with node(clock, CHUNK_MAX + OVERHEAD) as asked:
            largest = bytes(CHUNK_MAX)
            put = ALICE.put(largest, clock.time)
            results = await asyncio.gather(
                *(asked.call(put, body=largest) for _ in range(4)), return_exceptions=True
            )
            assert any(isinstance(each, Answered) for each in results)
            assert all(isinstance(each, Answered | Full) for each in results)
            clock.time += MINUTE
            await asked.call(ALICE.put(largest, clock.time), body=largest)

    run(main())


def test_a_body_is_read_from_where_one_likes(run: Run[None]) -> None:
    async def main() -> None:
        clock = Clock()
        for tier in (None, LastingTier()):
            async with node(clock, tier=tier) as asked:
                put = ALICE.put(SEALED, clock.time)
                await asked.call(put, body=SEALED)
                for offset in (0, 1, len(SEALED)):
                    found = await asked.call(Get(put.id, offset), max_body=100)
                    assert found.body == SEALED[offset:]
                    assert isinstance(found.reply, Found)
                    assert found.reply.size == len(SEALED) - offset
                beyond = Get(put.id, len(SEALED) + 1)
                assert await refused(asked, beyond, match="has 12 bytes") is UsageError

    run(main())


def test_what_cannot_be_written_is_not_there(run: Run[None]) -> None:
    async def main() -> None:
        clock, tier = Clock(), LastingTier()
        async with node(clock, tier=tier) as asked:
            held, put = ALICE.put(SEALED, clock.time), ALICE.put(b"another", clock.time)
            await asked.call(held, body=SEALED)
            tier.failing = True
            assert await refused(asked, put, b"another") is Full
            assert await refused(asked, BOB.put(SEALED, clock.time, 2 * MINUTE), SEALED) is Full
            assert await refused(asked, ALICE.renewal(held, clock.time, 2 * MINUTE)) is Full
            assert await refused(asked, held, SEALED) is Full
            assert await asked.ask(Has((put.id, held.id))) == Here((0, MINUTE))
            assert (await asked.call(Get(held.id), max_body=100)).body == SEALED
            tier.failing = False
            await asked.call(put, body=b"another")
            assert await asked.ask(ALICE.renewal(held, clock.time, 2 * MINUTE)) == Done(1)
            assert await asked.ask(Has((put.id, held.id))) == Here((MINUTE, 2 * MINUTE))

    run(main())


class Slow(LastingTier):
    """Its first settling takes until the test has seen that nobody waits any more."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.left = asyncio.Event(), asyncio.Event()

    async def settled(self) -> None:
        if not self.entered.is_set():
            self.entered.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.left.set()
        await super().settled()


@pytest.mark.parametrize("failing", [True, False], ids=["not written", "written"])
def test_what_becomes_of_a_put_is_seen_even_when_its_caller_has_gone(
    run: Run[None], failing: bool
) -> None:
    async def main() -> None:
        clock, tier = Clock(), Slow()
        async with node(clock, tier=tier) as asked:
            put = ALICE.put(SEALED, clock.time)
            putting = asyncio.create_task(asked.call(put, body=SEALED))
            await tier.entered.wait()
            tier.failing = failing
            putting.cancel()
            await tier.left.wait()
            here = await asked.ask(Has((put.id,)))
            assert here == Here((0 if failing else MINUTE,))

    run(main())


def test_an_end_that_cannot_be_written_is_not_acknowledged(run: Run[None]) -> None:
    async def main() -> None:
        clock, tier = Clock(), LastingTier()
        async with node(clock, tier=tier) as asked:
            put = ALICE.put(SEALED, clock.time)
            await asked.call(put, body=SEALED)
            tier.failing = True
            assert await refused(asked, ALICE.end(put.lease.root)) is Full
            tier.failing = False
            settlements = tier.settlements
            await asked.ask(ALICE.end(put.lease.root))
            assert tier.settlements == settlements + 1
            assert await refused(asked, put, SEALED, "was ended") is NotAllowed

    run(main())


def test_a_node_tells_what_it_is_like(run: Run[None]) -> None:
    async def main() -> None:
        clock = Clock()
        async with node(clock, 1 << 20) as asked:
            await asked.call(ALICE.put(SEALED, clock.time), body=SEALED)
            told = await asked.ask(About())
            assert isinstance(told, Node)
            assert (told.time, told.tier) == (clock.time, "memory")
            assert (told.capacity, told.used) == (1 << 20, len(SEALED) + OVERHEAD)
            assert (told.may_store, told.may_read) == (True, True)

    run(main())


def test_a_lease_of_everything_is_none(run: Run[None]) -> None:
    async def main() -> None:
        clock = Clock()
        async with node(clock) as asked:
            put = ALICE.put(SEALED, clock.time)
            terms = ALICE.terms(statements.EVERYTHING, clock.time)
            forged = msgspec.structs.replace(put, lease=ALICE.lease(terms))
            assert await refused(asked, forged, SEALED, "all zero") is UsageError

    run(main())
