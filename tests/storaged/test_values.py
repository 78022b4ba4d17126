"""What a node answers about records, over real sessions and on a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from repram.crypto import statements
from repram.errors import IntegrityFailure, NotAllowed, NotFound, RepramError, UsageError
from repram.proto.endpoint import Session
from repram.proto.messages import (
    INLINE_MAX,
    NO_VERSION,
    RECORD_MAX,
    STORAGE,
    Changed,
    Done,
    GetRecord,
    ListRecords,
    NewRecord,
    Outcome,
    Outcomes,
    Own,
    Record,
    Reply,
    Request,
    Rows,
    Unchanged,
    Watch,
)
from repram.proto.rpc import Caller, Code, Incoming, Server
from repram.storaged.access.gate import Right
from repram.storaged.access.owners import Owners
from repram.storaged.holdings.book import Book
from repram.storaged.memory import MemoryTier
from repram.storaged.values import Values
from tests.conftest import Run
from tests.nodes import calling, serving
from tests.storaged.counting_gate import CountingGate
from tests.storaged.ledger_tier import LedgerTier
from tests.storaged.writer import DAY, MINUTE, T0, Clock, Writer, check_proof, new, version_at

HELD = 0


class Node:
    """A node that answers about records, and who asks it."""

    def __init__(self, tier: MemoryTier) -> None:
        self.clock = Clock()
        self.gate = CountingGate()
        self.book = Book(tier, 1 << 30)
        self.values = Values(self.book, self.gate, Owners(), self.clock)
        self.book.restore(self.clock.now)
        self.writer = Writer.of(1)
        self.asked: Caller[Request, Reply]
        self.session: Session

    async def put(self, *news: NewRecord) -> list[int]:
        reply = await self.asked.ask(self.writer.put(*news))
        assert isinstance(reply, Outcomes)
        return [each.code for each in reply.outcomes]

    async def value(self, name: str) -> bytes:
        answer = await self.asked.call(GetRecord(self.writer.id(name)), max_body=RECORD_MAX)
        assert isinstance(answer.reply, Record)
        value = answer.reply.value or bytes(answer.body)
        check_proof(answer.reply, value)
        return value

    async def own(self, writer: Writer | None = None) -> None:
        writer = writer or self.writer
        bound = self.session.connection.handshake_hash()
        signature = writer.signer.sign(statements.owner_statement(writer.owner, bound))
        await self.asked.ask(Own(writer.owner, signature))

    def pass_time(self, milliseconds: int) -> None:
        self.clock.now += milliseconds
        while self.book.expire(self.clock.now):
            pass


@asynccontextmanager
async def node(tier: MemoryTier | None = None) -> AsyncIterator[Node]:
    standing = Node(tier or MemoryTier())
    server = Server(STORAGE)
    standing.values.answer_on(server)
    async with serving(server) as address, calling(address) as session:
        standing.session, standing.asked = session, Caller(session, STORAGE)
        yield standing


async def changed(body: Incoming) -> Changed:
    """The next that is pushed."""
    size = int.from_bytes(await body.take_exactly(4))
    return msgspec.msgpack.decode(await body.take_exactly(size), type=Changed)


@pytest.mark.parametrize("tier", [MemoryTier, LedgerTier])
def test_what_was_put_is_read_with_its_proof(run: Run[None], tier: type[MemoryTier]) -> None:
    async def main() -> None:
        async with node(tier()) as at:
            news = [new(f"r{i}", bytes([i]) * 500, note=b"n") for i in range(40)]
            assert await at.put(*news) == [HELD] * 40
            for i in range(40):
                assert await at.value(f"r{i}") == bytes([i]) * 500
            known = await at.asked.ask(GetRecord(at.writer.id("r0"), version_at(T0)))
            assert known == Unchanged(version_at(T0), MINUTE)
            at.pass_time(MINUTE)
            with pytest.raises(NotFound):
                await at.value("r0")

    run(main())


@pytest.mark.parametrize("tier", [MemoryTier, LedgerTier])
@pytest.mark.parametrize("size", [1, INLINE_MAX, INLINE_MAX + 1, RECORD_MAX])
def test_a_value_comes_behind_the_message_too(
    run: Run[None], tier: type[MemoryTier], size: int
) -> None:
    async def main() -> None:
        async with node(tier()) as at:
            value = bytes(size)
            request = at.writer.put(new("a"), values=[value])
            answer = await at.asked.call(request, body=value)
            assert answer.reply == Outcomes((Outcome(HELD, version_at(T0), T0, MINUTE, MINUTE),))
            assert await at.value("a") == value

    run(main())


def test_sizes_are_checked_before_anything_comes(run: Run[None]) -> None:
    async def main() -> None:
        async with node() as at:
            value = bytes(100)
            request = at.writer.put(new("a"), values=[value])
            too_large = msgspec.structs.replace(request, size=RECORD_MAX + 1)
            with pytest.raises(UsageError, match=r"at most 1\.0 MiB"):
                await at.asked.call(too_large, body=value)
            with pytest.raises(UsageError, match="none came"):
                await at.asked.ask(request)
            two = msgspec.structs.replace(at.writer.put(new("a"), new("b")), size=100)
            with pytest.raises(UsageError, match="one record"):
                await at.asked.call(two, body=value)
            assert len(at.book) == 0

    run(main())


def test_one_of_many_who_compare_and_set_at_once_wins(run: Run[None]) -> None:
    async def main() -> None:
        async with node() as at:
            puts = [new("a", b"%d" % i, counter=i, expects=NO_VERSION) for i in range(1, 51)]
            codes = await asyncio.gather(*(at.put(each) for each in puts))
            assert sorted(codes) == [[HELD]] + [[Code.CONFLICT]] * 49
            assert await at.value("a") == b"%d" % (codes.index([HELD]) + 1)

    run(main())


@pytest.mark.parametrize("size", [100, INLINE_MAX + 1])
def test_a_value_is_told_bare_to_who_wants_no_proof(run: Run[None], size: int) -> None:
    async def main() -> None:
        async with node() as at:
            value, item = bytes(size), at.writer.id("a")
            await at.asked.call(at.writer.put(new("a"), values=[value]), body=value)
            bare = await at.asked.call(GetRecord(item, bare=True), max_body=RECORD_MAX)
            whole = await at.asked.call(GetRecord(item), max_body=RECORD_MAX)
            assert isinstance(whole.reply, Record)
            assert bare.reply == msgspec.structs.replace(whole.reply, proof=(), signature=b"")
            assert bare.body == whole.body

    run(main())


def test_a_removal_is_told_with_its_proof(run: Run[None]) -> None:
    async def main() -> None:
        async with node() as at:
            await at.put(new("a", b"1"), new("b", b"2"))
            await at.put(new("b", at=T0 + 1, removed=True))
            for bare in (False, True):
                answer = await at.asked.ask(GetRecord(at.writer.id("b"), bare=bare))
                assert isinstance(answer, Record)
                assert answer.removed
                check_proof(answer)

    run(main())


def test_what_could_not_be_written_was_never_there(run: Run[None]) -> None:
    async def main() -> None:
        tier = LedgerTier()
        async with node(tier) as at:
            await at.put(new("a", b"1"))
            tier.failing = True
            with pytest.raises(RepramError, match="takes nothing"):
                await at.put(new("b", b"2"))
            with pytest.raises(NotFound):
                await at.value("b")
            tier.failing = False
            assert await at.put(new("b", b"2")) == [HELD]
            assert await at.value("a") == b"1"

    run(main())


def test_what_was_replaced_by_what_could_not_be_written_is_here_again(run: Run[None]) -> None:
    async def main() -> None:
        tier = LedgerTier()
        async with node(tier) as at:
            await at.own()
            await at.put(*(new(f"r{i}", b"%d" % i, note=b"n", ttl=DAY) for i in range(8)))
            held, used = at.gate.held.total(), at.book.used
            changes = [
                [new("r1", b"longer", at=T0 + 1, ttl=DAY), new("r2", at=T0 + 1, removed=True)],
                [new("r1", b"again", at=T0 + 2, expects=version_at(T0 + 1)), new("r3")],
            ]
            tier.failing = True
            failed = await asyncio.gather(
                *(at.put(*each) for each in changes), return_exceptions=True
            )
            assert all(isinstance(each, RepramError) for each in failed)
            for i in range(8):
                assert await at.value(f"r{i}") == b"%d" % i
            rows = await at.asked.ask(ListRecords(at.writer.owner))
            assert isinstance(rows, Rows)
            assert len(rows.rows) == 8
            assert (at.gate.held.total(), at.book.used) == (held, used)
            tier.failing = False
            assert await at.put(*changes[0]) == [HELD, HELD]
            assert await at.put(*changes[1]) == [HELD, Code.CONFLICT]
            assert await at.value("r1") == b"again"
            at.pass_time(2 * DAY)
            assert (len(at.book), at.gate.held.total(), at.book.used) == (0, 0, 0)

    run(main())


def test_what_nobody_waited_for_and_was_not_written_is_in_nobodys_way(run: Run[None]) -> None:
    async def main() -> None:
        tier = LedgerTier()
        async with node(tier) as at:
            await at.put(new("a", b"1"))
            request = at.writer.put(new("a", b"2", at=T0 + 1))
            at.values.records.put(request, [b"2"], b"", T0)  # its caller has hung up
            tier.failing = True
            with pytest.raises(RepramError):
                await at.put(new("b"))
            assert await at.value("a") == b"1"
            tier.failing = False
            assert await at.put(new("a", b"2", at=T0 + 1)) == [HELD]
            assert await at.value("a") == b"2"

    run(main())


def test_a_restart_loses_nothing_that_was_acknowledged_and_no_floor(run: Run[None]) -> None:
    async def main() -> None:
        disk = LedgerTier()
        old = new("old", b"old", ttl=DAY)
        async with node(disk) as at:
            await at.put(*(new(f"r{i}", b"%d" % i, note=b"n%d" % i) for i in range(37)), old)
            await at.put(new("r5", at=T0 + 1, removed=True), new("old", at=T0 + 1, ttl=1_000))
            held = at.gate.held.total()
        async with node(LedgerTier(disk.disk)) as at:
            assert at.gate.held.total() == held
            for i in range(37):
                if i != 5:
                    assert await at.value(f"r{i}") == b"%d" % i
            await at.own()
            rows = await at.asked.ask(ListRecords(at.writer.owner))
            assert isinstance(rows, Rows)
            assert {each.note for each in rows.rows if each.note} == {
                b"n%d" % i for i in range(37) if i != 5
            }
            at.pass_time(1_001)
            assert await at.put(old) == [Code.CONFLICT]
            at.pass_time(DAY)
            assert (len(at.book), at.gate.held.total()) == (0, 0)

    run(main())


# ---- what is the owner's alone


def test_only_the_owner_lists_and_watches_and_proves_it_anew_in_each_session(
    run: Run[None],
) -> None:
    async def main() -> None:
        async with node() as at:
            listing, watching = ListRecords(at.writer.owner), Watch((), at.writer.owner)
            for request in (listing, watching):
                with pytest.raises(NotAllowed):
                    await at.asked.ask(request)
            await at.own(Writer.of(2))
            with pytest.raises(NotAllowed):
                await at.asked.ask(listing)
            stolen = at.writer.signer.sign(statements.owner_statement(at.writer.owner, bytes(64)))
            with pytest.raises(IntegrityFailure):
                await at.asked.ask(Own(at.writer.owner, stolen))
            await at.own()
            assert await at.asked.ask(listing) == Rows(())
            assert at.gate.admitted[-1] == Right.OWN

    run(main())


def test_pages_miss_nothing_that_stays_while_others_come_and_go(run: Run[None]) -> None:
    async def main() -> None:
        async with node() as at:
            await at.own()
            for start in range(0, 600, 60):
                await at.put(
                    *(
                        new(f"r{i}", b"v", note=b"n", ttl=DAY if i % 2 else MINUTE)
                        for i in range(start, start + 60)
                    )
                )
            seen: list[bytes] = []
            after, more, page = b"", True, 0
            while more:
                rows = await at.asked.ask(ListRecords(at.writer.owner, after, 100))
                assert isinstance(rows, Rows)
                seen += [each.id for each in rows.rows]
                assert {(each.size, each.note) for each in rows.rows} <= {(1, b"n"), (0, b"")}
                after, more, page = seen[-1], rows.more, page + 1
                if page == 1:
                    at.clock.now += MINUTE  # half of them are over, and not swept yet
                if page == 2:
                    at.pass_time(0)
                    await at.put(*(new(f"s{i}", at=at.clock.now) for i in range(60)))
            assert seen == sorted(set(seen))
            assert {at.writer.id(f"r{i}") for i in range(1, 600, 2)} <= set(seen)

    run(main())


# ---- watching


def test_a_watch_tells_what_is_there_what_changes_what_is_removed_and_what_expires(
    run: Run[None],
) -> None:
    async def main() -> None:
        async with node() as at:
            a, b = at.writer.id("a"), at.writer.id("b")
            await at.put(new("a", b"1"))
            async with at.asked.stream(Watch((a, b))) as answer:
                assert answer.reply == Done(2)
                assert await changed(answer.body) == Changed(a, version_at(T0), False, MINUTE)
                await at.put(new("b", at=T0 + 1, ttl=DAY))
                assert await changed(answer.body) == Changed(b, version_at(T0 + 1), False, DAY)
                await at.put(new("b", at=T0 + 2, ttl=DAY, removed=True))
                assert await changed(answer.body) == Changed(b, version_at(T0 + 2), True, DAY)
                await at.put(new("c"))
                at.pass_time(MINUTE)
                assert await changed(answer.body) == Changed(a, 0)

    run(main())


def test_an_owner_watches_all_that_is_its_own(run: Run[None]) -> None:
    async def main() -> None:
        async with node() as at:
            await at.own()
            await at.put(*(new(f"r{i}") for i in range(60)))
            async with at.asked.stream(Watch((), at.writer.owner)) as answer:
                first = [(await changed(answer.body)).id for _ in range(60)]
                assert first == sorted(at.writer.id(f"r{i}") for i in range(60))
                await at.asked.ask(Writer.of(2).put(new("r0")))
                await at.put(new("new"))
                assert (await changed(answer.body)).id == at.writer.id("new")

    run(main())


def test_a_watch_of_nothing_is_refused(run: Run[None]) -> None:
    async def main() -> None:
        async with node() as at:
            with pytest.raises(UsageError, match="nothing to watch"):
                await at.asked.ask(Watch())

    run(main())


def test_whoever_hangs_up_is_told_no_more(run: Run[None]) -> None:
    async def main() -> None:
        async with node() as at:
            a = at.writer.id("a")
            await at.put(new("a"))
            async with at.asked.stream(Watch((a,))) as answer:
                await changed(answer.body)
                assert at.values.watches.count == 1
            while at.values.watches.count:
                await at.put(new("b", counter=at.clock.now))
                at.clock.now += 1
            await at.put(new("a", counter=1))

    run(main())
