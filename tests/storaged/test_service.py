"""What a node answers, over real sessions and on a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from repram.crypto.sealing import id_of
from repram.errors import Full, IntegrityFailure, NotFound, UsageError
from repram.proto.messages import (
    CHUNK_MAX,
    CHUNK_TTL_MAX,
    CHUNK_TTL_MIN,
    STORAGE,
    Found,
    Get,
    Held,
    Put,
    Reply,
    Request,
)
from repram.proto.rpc import Answered, Caller, Server
from repram.storaged.clock import Moment
from repram.storaged.service import Service
from repram.storaged.store import ITEM_OVERHEAD, MemoryStore
from tests.conftest import Run
from tests.nodes import calling, serving

SEALED = b"sealed bytes"
ID = id_of(SEALED).raw
MINUTE = 60_000


class Clock:
    """Stands still until the test moves it."""

    def __init__(self) -> None:
        self.time = 5_000_000

    def __call__(self) -> Moment:
        return Moment(self.time, 1_700_000_000_000 + self.time)


@asynccontextmanager
async def node(clock: Clock, capacity: int = 1 << 30) -> AsyncIterator[Caller[Request, Reply]]:
    server = Server(STORAGE)
    Service(MemoryStore(capacity), clock).answer_on(server)
    async with serving(server) as address, calling(address) as session:
        yield Caller(session, STORAGE)


def test_what_was_put_is_there_until_its_time_and_not_at_it(run: Run[None]) -> None:
    async def main() -> None:
        clock = Clock()
        async with node(clock) as asked:
            answer = await asked.call(Put(ID, len(SEALED), MINUTE, MINUTE), body=SEALED)
            assert answer.reply == Held(clock().wall, MINUTE, MINUTE)
            clock.time += MINUTE - 1
            found = await asked.call(Get(ID), max_body=100)
            assert found == (Found(len(SEALED), clock().wall - MINUTE + 1, MINUTE, 1), SEALED)
            clock.time += 1
            with pytest.raises(NotFound):
                await asked.call(Get(ID), max_body=100)

    run(main())


def test_part_of_a_lease_that_has_passed_counts(run: Run[None]) -> None:
    async def main() -> None:
        clock = Clock()
        async with node(clock) as asked:
            answer = await asked.call(Put(ID, len(SEALED), MINUTE, 1_000), body=SEALED)
            assert answer.reply == Held(clock().wall - 59_000, MINUTE, 1_000)
            clock.time += 1_000
            with pytest.raises(NotFound):
                await asked.call(Get(ID))

    run(main())


@pytest.mark.parametrize(
    ("size", "ttl", "remaining", "named"),
    [
        (0, MINUTE, MINUTE, r"1 byte to 4\.0 MiB"),
        (CHUNK_MAX + 1, MINUTE, MINUTE, r"1 byte to 4\.0 MiB"),
        (1, CHUNK_TTL_MIN - 1, 1, "30s to 30d"),
        (1, CHUNK_TTL_MAX + 1, 1, "30s to 30d"),
        (1, MINUTE, 0, "cannot remain"),
        (1, MINUTE, MINUTE + 1, "cannot remain"),
    ],
)
def test_bounds_are_refused_and_named(
    run: Run[None], size: int, ttl: int, remaining: int, named: str
) -> None:
    async def main() -> None:
        async with node(Clock()) as asked:
            with pytest.raises(UsageError, match=named):
                await asked.call(Put(ID, size, ttl, remaining), body=b"x")

    run(main())


@pytest.mark.parametrize("ttl", [CHUNK_TTL_MIN, CHUNK_TTL_MAX])
def test_the_bounds_themselves_are_taken(run: Run[None], ttl: int) -> None:
    async def main() -> None:
        async with node(Clock()) as asked:
            await asked.call(Put(ID, len(SEALED), ttl, ttl), body=SEALED)
            largest = bytes(CHUNK_MAX)
            await asked.call(Put(id_of(largest).raw, CHUNK_MAX, ttl, ttl), body=largest)

    run(main())


def test_bytes_that_the_id_does_not_name_are_not_held(run: Run[None]) -> None:
    async def main() -> None:
        async with node(Clock()) as asked:
            with pytest.raises(IntegrityFailure, match="not those"):
                await asked.call(Put(ID, len(SEALED), MINUTE, MINUTE), body=b"other bytes!")
            with pytest.raises(NotFound):
                await asked.call(Get(ID))

    run(main())


def test_a_full_node_refuses_before_it_reads_and_serves_what_it_has(run: Run[None]) -> None:
    async def main() -> None:
        async with node(Clock(), len(SEALED) + ITEM_OVERHEAD) as asked:
            await asked.call(Put(ID, len(SEALED), MINUTE, MINUTE), body=SEALED)
            with pytest.raises(Full, match="this node is full"):
                await asked.call(Put(bytes(32), CHUNK_MAX, MINUTE, MINUTE), body=bytes(CHUNK_MAX))
            assert (await asked.call(Get(ID), max_body=100)).body == SEALED

    run(main())


def test_bytes_on_their_way_count_until_they_are_there_or_given_up(run: Run[None]) -> None:
    async def main() -> None:
        clock = Clock()
        async with node(clock, CHUNK_MAX + ITEM_OVERHEAD) as asked:
            largest = bytes(CHUNK_MAX)
            put = Put(id_of(largest).raw, CHUNK_MAX, MINUTE, MINUTE)
            results = await asyncio.gather(
                *(asked.call(put, body=largest) for _ in range(4)), return_exceptions=True
            )
            assert any(isinstance(each, Answered) for each in results)
            assert all(isinstance(each, Answered | Full) for each in results)
            clock.time += MINUTE
            await asked.call(put, body=largest)

    run(main())
