"""Values against honest and lying nodes, all over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from repram.crypto.spaces import VALUE_MAX, Space
from repram.errors import Conflict, IntegrityFailure, NotFound, RemoteError, UsageError
from repram.ids import NodeAddress
from repram.proto.endpoint import Session
from repram.proto.messages import (
    STORAGE,
    GetRecord,
    ListRecords,
    Outcomes,
    Own,
    PutRecords,
    Record,
    Rows,
    Watch,
)
from repram.proto.rpc import Answer, Incoming, Server
from repram.sdk import Client
from repram.sdk.kv import Values
from repram.sdk.versions import AHEAD_MAX, COUNTER_BITS
from repram.sdk.watching import Event, Expired, Put, Removed
from repram.storaged.access.open_gate import OpenGate
from repram.storaged.access.owners import Owners
from repram.storaged.holdings.book import Book
from repram.storaged.memory import MemoryTier
from repram.storaged.values import Values as Service
from tests.conftest import Run
from tests.nodes import serving, wall_time

SPACE = Space(bytes(range(32)))
Reply = Any  # of the kind that belongs there, or of another
Lie = Callable[[Reply], Reply]


class Lying:
    """A node that holds honestly and, once told how, answers something else."""

    def __init__(self) -> None:
        self._ahead = 0
        self._book = Book(MemoryTier(), 1 << 30)
        self._service = Service(self._book, OpenGate(), Owners(), self.now)
        self.lie: Lie | None = None
        self.puts: list[PutRecords] = []
        self.gets: list[Any] = []

    def now(self) -> int:
        return wall_time() + self._ahead

    def pass_time(self, milliseconds: int) -> None:
        self._ahead += milliseconds
        self._book.expire(self.now())

    async def put(self, request: PutRecords, body: Incoming) -> Reply:
        self.puts.append(request)
        return self._told(await self._service.put(request, body))

    def get(self, request: GetRecord, session: Session) -> Reply:  # a lie may be anything
        answer = self._service.get(request, session)
        self.gets.append(answer)
        return self._told(answer)

    async def list(self, request: ListRecords, body: Incoming) -> Reply:
        return self._told(await self._service.list(request, body))

    def _told(self, answer: Reply) -> Reply:  # as above
        return answer if self.lie is None else self.lie(answer)

    def answer_on(self, server: Server[Any, Any]) -> None:
        server.on_task(PutRecords, self.put)
        server.on(GetRecord, self.get)
        server.on_task(ListRecords, self.list)
        server.on(Own, self._service.own)
        server.on_task(Watch, self._service.watch)


@asynccontextmanager
async def lying() -> AsyncIterator[tuple[Lying, NodeAddress]]:
    node, server = Lying(), Server(STORAGE)
    node.answer_on(server)
    async with serving(server) as address:
        yield node, address


@asynccontextmanager
async def values_on(address: NodeAddress, space: Space = SPACE) -> AsyncIterator[Values]:
    async with Client(address) as client:
        yield client.kv(space)


@asynccontextmanager
async def both() -> AsyncIterator[tuple[Lying, Values]]:
    async with lying() as (node, address), values_on(address) as values:
        yield node, values


async def listed(values: Values) -> dict[str, int]:
    return {row.name: row.size async for row in values.ls()}


def test_a_value_comes_back_with_its_times(run: Run[None]) -> None:
    async def main() -> None:
        async with both() as (_, values):
            stored = await values.put("name", b"value", ttl="90s")
            found = await values.get("name")
            assert found.value == b"value"
            assert (found.version, found.created, found.ttl) == (
                stored.version,
                stored.created,
                90_000,
            )
            assert 0 < found.remaining <= stored.remaining <= 90_000

    run(main())


@pytest.mark.parametrize("size", [0, 1, 32_728, 32_729, 200_000, VALUE_MAX])
def test_values_of_every_size_come_back(run: Run[None], size: int) -> None:
    value = bytes(range(256)) * (size // 256) + bytes(size % 256)

    async def main() -> None:
        async with both() as (node, values):
            await values.put("name", value)
            assert (await values.get("name")).value == value
            assert await listed(values) == {"name": size}
            assert bool(node.puts[0].size) == (size > 32_728)

    run(main())


def test_what_no_record_holds_is_refused_before_anything_is_sent(run: Run[None]) -> None:
    async def main() -> None:
        async with both() as (node, values):
            for attempt in (
                values.put("name", bytes(VALUE_MAX + 1)),
                values.put("", b"value"),
                values.put("name", b"value", ttl="31d"),
                values.put("name", b"value", if_version=0),
                values.put("name", b"value", if_version=1, if_absent=True),
                values.get("a\nb"),
            ):
                with pytest.raises(UsageError):
                    await attempt
            assert node.puts == node.gets == []

    run(main())


def test_puts_of_one_turn_travel_together_under_one_signature(run: Run[None]) -> None:
    async def main() -> None:
        async with both() as (node, values):
            await values.put("before", b"")  # so that there is a session
            await asyncio.gather(*(values.put(f"name {n}", b"%d" % n) for n in range(100)))
            assert sorted(len(request.records) for request in node.puts[-2:]) == [36, 64]
            found = await asyncio.gather(*(values.get(f"name {n}") for n in range(100)))
            assert [each.value for each in found] == [b"%d" % n for n in range(100)]

    run(main())


def test_a_batch_is_no_longer_than_a_short_question(run: Run[None]) -> None:
    async def main() -> None:
        async with both() as (node, values):
            await values.put("before", b"")  # as above
            await asyncio.gather(*(values.put(f"{n}", bytes(14_000)) for n in range(5)))
            assert sorted(len(request.records) for request in node.puts) == [1, 1, 2, 2]
            assert len(await listed(values)) == 6

    run(main())


def test_of_puts_to_one_name_in_one_turn_the_last_stays(run: Run[None]) -> None:
    async def main() -> None:
        async with both() as (_, values):
            await values.put("name", b"")  # as above
            await asyncio.gather(*(values.put("name", b"%d" % n) for n in range(10)))
            assert (await values.get("name")).value == b"9"

    run(main())


def test_a_put_that_is_given_up_takes_no_other_with_it(run: Run[None]) -> None:
    async def main() -> None:
        async with both() as (_, values):
            await values.put("before", b"")  # as above
            given_up = asyncio.create_task(values.put("given up", b""))
            other = asyncio.create_task(values.put("other", b""))
            await asyncio.sleep(0)
            given_up.cancel()
            await other
            assert "other" in await listed(values)

    run(main())


def test_a_batch_that_fails_fails_for_all_of_it(run: Run[None]) -> None:
    async def main() -> None:
        async with both() as (node, values):
            node.lie = lambda outcomes: Outcomes(outcomes.outcomes[:-1])
            puts = (values.put(f"{n}", b"") for n in range(3))
            results = await asyncio.gather(*puts, return_exceptions=True)
            assert all(isinstance(result, RemoteError) for result in results)

    run(main())


def test_conditions_are_kept(run: Run[None]) -> None:
    async def main() -> None:
        async with both() as (_, values):
            first = await values.put("name", b"1", if_absent=True)
            with pytest.raises(Conflict, match=f"version {first.version} is there"):
                await values.put("name", b"2", if_absent=True)
            second = await values.put("name", b"2", if_version=first.version)
            for attempt in (
                values.put("name", b"3", if_version=first.version),
                values.rm("name", if_version=first.version),
                values.put("other", b"3", if_version=first.version),
            ):
                with pytest.raises(Conflict):
                    await attempt
            assert (await values.get("name")).version == second.version

    run(main())


def test_of_many_who_put_if_absent_one_succeeds(run: Run[None]) -> None:
    async def main() -> None:
        async with lying() as (_, address), values_on(address) as one, values_on(address) as two:
            puts = [each.put("lock", b"", if_absent=True) for each in (one, two) * 8]
            results = await asyncio.gather(*puts, return_exceptions=True)
            assert sum(not isinstance(result, Conflict) for result in results) == 1

    run(main())


def test_what_was_removed_is_gone_and_may_come_anew(run: Run[None]) -> None:
    async def main() -> None:
        async with both() as (_, values):
            put = await values.put("name", b"value")
            removed = await values.rm("name")
            assert removed > put.version
            assert await listed(values) == {}
            for attempt in (values.get("name"), values.rm("name")):
                with pytest.raises(NotFound, match="no value called 'name'"):
                    await attempt
            anew = await values.put("name", b"anew", if_absent=True)
            assert anew.version > removed

    run(main())


def test_a_value_is_gone_when_its_time_is_over(run: Run[None]) -> None:
    async def main() -> None:
        async with both() as (node, values):
            await values.put("name", b"value", ttl="2s")
            node.pass_time(2_000)
            with pytest.raises(NotFound):
                await values.get("name")
            assert await listed(values) == {}

    run(main())


def test_members_of_a_space_share_its_values_and_others_see_none(run: Run[None]) -> None:
    async def main() -> None:
        async with (
            lying() as (_, address),
            values_on(address) as one,
            values_on(address) as two,
            values_on(address, Space.new()) as stranger,
        ):
            await one.put("Gr\u00fc\u00dfe", b"value")
            assert (await two.get("Gru\u0308\u00dfe")).value == b"value"
            assert await listed(two) == {"Gr\u00fc\u00dfe": 5}
            assert await listed(stranger) == {}
            with pytest.raises(NotFound):
                await stranger.get("Gr\u00fc\u00dfe")

    run(main())


def test_whose_clock_is_behind_still_writes_over_what_is_there(run: Run[None]) -> None:
    async def main() -> None:
        async with (
            lying() as (node, address),
            values_on(address) as ahead,
            values_on(address) as one,
        ):
            ahead._versions._last = (node.now() + 1_500) << COUNTER_BITS
            for anew in (False, True):
                before = await ahead.put("name", b"ahead")
                if anew:
                    await ahead.rm("name")
                after = await one.put("name", b"behind", if_absent=anew)
                assert after.version > before.version
                assert (await ahead.get("name")).value == b"behind"

    run(main())


def test_a_node_cannot_drive_versions_into_the_future(run: Run[None]) -> None:
    def far(outcomes: Outcomes) -> Outcomes:
        ahead = (outcomes.outcomes[0].version >> COUNTER_BITS) + 2 * AHEAD_MAX
        return Outcomes((replace(outcomes.outcomes[0], code=15, version=ahead << COUNTER_BITS),))

    async def main() -> None:
        async with both() as (node, values):
            node.lie = far
            with pytest.raises(Conflict, match="lies in the future"):
                await values.put("name", b"value")
            assert len(node.puts) == 1

    run(main())


def test_a_list_comes_page_by_page(run: Run[None]) -> None:
    async def main() -> None:
        async with both() as (_, values):
            await asyncio.gather(*(values.put(f"{n}", bytes(n)) for n in range(600)))
            assert await listed(values) == {f"{n}": n for n in range(600)}

    run(main())


@pytest.mark.parametrize("names", [("name", "other"), ()], ids=["by name", "all of it"])
def test_changes_are_told_as_they_happen(run: Run[None], names: tuple[str, ...]) -> None:
    async def main() -> None:
        async with lying() as (node, address), values_on(address) as one, values_on(address) as two:
            there = await one.put("name", b"1")
            async with aclosing(two.watch(*names)) as events:
                told = aiter(events)

                async def expect(kind: type[Event], name: str, version: int) -> None:
                    event = await anext(told)
                    assert isinstance(event, kind)
                    assert (event.name, getattr(event, "version", 0)) == (name, version)

                await expect(Put, "name", there.version)
                await expect(Put, "name", (await one.put("name", b"2", ttl="5s")).version)
                await expect(Put, "other", (await one.put("other", b"")).version)
                await expect(Removed, "other", await one.rm("other"))
                node.pass_time(6_000)
                await expect(Expired, "name", 0)

    run(main())


def test_what_a_node_sees_holds_no_name_and_no_value(run: Run[None]) -> None:
    async def main() -> None:
        async with both() as (node, values):
            await values.put("canary name", b"canary value" * 10)
            assert b"canary" not in msgspec.msgpack.encode(node.puts)
            assert SPACE.secret not in msgspec.msgpack.encode(node.puts)

    run(main())


def test_an_older_version_than_was_there_is_noticed(run: Run[None]) -> None:
    async def main() -> None:
        async with both() as (node, values):
            await values.put("name", b"old")
            await values.get("name")
            old = node.gets[-1]
            await values.put("name", b"new")
            node.lie = lambda _: old
            with pytest.raises(IntegrityFailure, match="was there before"):
                await values.get("name")
            node.lie = None
            assert (await values.get("name")).value == b"new"

    run(main())


def test_an_older_version_in_a_list_is_noticed(run: Run[None]) -> None:
    async def main() -> None:
        async with both() as (node, values):
            await values.put("name", b"old")
            rows: list[Rows] = []

            def remember(answer: Reply) -> Reply:
                rows.append(answer)
                return answer

            node.lie = remember
            await listed(values)
            node.lie = None
            await values.put("name", b"new")
            node.lie = lambda _: rows[0]
            with pytest.raises(IntegrityFailure, match="was there before"):
                await listed(values)

    run(main())


def test_what_was_removed_does_not_come_back(run: Run[None]) -> None:
    async def main() -> None:
        async with both() as (node, values):
            await values.put("name", b"value")
            await values.get("name")
            old = node.gets[-1]
            await values.rm("name")
            node.lie = lambda _: old
            with pytest.raises(IntegrityFailure, match="was there before"):
                await values.get("name")

    run(main())


def with_value(value: Callable[[bytes], bytes]) -> Lie:
    return lambda record: replace(record, value=value(record.value))


@pytest.mark.parametrize(
    "lie",
    [
        with_value(lambda value: bytes([value[0] ^ 1]) + value[1:]),
        with_value(lambda value: value[:-1]),
        with_value(lambda value: b""),
        lambda record: replace(record, version=record.version + 1),
        lambda record: replace(record, owner=bytes(32)),
        lambda record: replace(record, label=bytes(32)),
        lambda record: replace(record, size=1),
        lambda record: replace(record, removed=True),
        lambda record: Answer(record, b"more than was announced"),
        lambda record: Outcomes(()),
    ],
)
def test_an_answer_that_was_tampered_with_is_refused(run: Run[None], lie: Lie) -> None:
    async def main() -> None:
        async with both() as (node, values):
            await values.put("name", b"value")
            node.lie = lie
            with pytest.raises(IntegrityFailure):
                await values.get("name")

    run(main())


def test_another_record_of_the_space_is_not_taken_for_the_one_asked_for(run: Run[None]) -> None:
    async def main() -> None:
        async with both() as (node, values):
            await values.put("name", b"value")
            await values.put("other", b"other value")
            await values.get("other")
            other = node.gets[-1]
            for lie in (other, None):
                node.lie = lambda record, lie=lie: (
                    lie or replace(other, owner=record.owner, label=record.label)
                )
                with pytest.raises(IntegrityFailure):
                    await values.get("name")

    run(main())


def test_a_removal_counts_only_when_its_owner_has_signed_it(run: Run[None]) -> None:
    async def main() -> None:
        async with both() as (node, values):
            await values.put("name", b"value")
            await values.get("name")
            record = node.gets[-1]
            assert isinstance(record, Record)
            node.lie = lambda _: replace(record, removed=True, note=b"", value=b"")
            with pytest.raises(IntegrityFailure, match="signature"):
                await values.get("name")
            node.lie = None
            assert (await values.get("name")).value == b"value"

    run(main())


@pytest.mark.parametrize(
    "lie",
    [
        lambda rows: Rows(rows.rows[::-1], rows.more),
        lambda rows: Rows((*rows.rows, rows.rows[-1])),
        lambda rows: Rows(tuple(replace(row, note=rows.rows[0].note) for row in rows.rows)),
        lambda rows: Rows(tuple(replace(row, version=row.version + 1) for row in rows.rows)),
        lambda rows: Outcomes(()),
    ],
)
def test_a_list_that_was_tampered_with_is_refused(run: Run[None], lie: Lie) -> None:
    async def main() -> None:
        async with both() as (node, values):
            for name in ("one", "two"):
                await values.put(name, b"")
            node.lie = lie
            with pytest.raises((IntegrityFailure, RemoteError)):
                await listed(values)

    run(main())


@pytest.mark.parametrize(
    "lie",
    [
        lambda outcomes: Outcomes(()),
        lambda outcomes: Outcomes(outcomes.outcomes * 2),
        lambda outcomes: Outcomes((replace(outcomes.outcomes[0], version=7),)),
        lambda outcomes: Rows(()),
    ],
)
def test_an_acknowledgement_of_something_else_is_none(run: Run[None], lie: Lie) -> None:
    async def main() -> None:
        async with both() as (node, values):
            node.lie = lie
            with pytest.raises(RemoteError):
                await values.put("name", b"value")

    run(main())
