"""What a node answers about feeds, over real sessions and on a clock that the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from repram.errors import Conflict, NotFound, RepramError, UsageError
from repram.proto.messages import (
    ENTRY_MAX,
    STORAGE,
    Append,
    Entry,
    Feed,
    Fork,
    Held,
    ReadFeed,
    Reply,
    Request,
)
from repram.proto.rpc import Caller, Incoming, Server
from repram.storaged.entries import Entries
from repram.storaged.holdings.book import Book
from repram.storaged.memory import MemoryTier
from tests.conftest import Run
from tests.nodes import calling, serving
from tests.storaged.counting_gate import CountingGate
from tests.storaged.ledger_tier import LedgerTier
from tests.storaged.writer import (
    DAY,
    MINUTE,
    T0,
    Clock,
    Writer,
    check_entry,
    hash_of,
    label,
    unframed,
)


class Node:
    """A node that answers about feeds, and who asks it."""

    def __init__(self, tier: MemoryTier) -> None:
        self.clock = Clock()
        self.gate = CountingGate()
        self.book = Book(tier, 1 << 30)
        self.entries = Entries(self.book, self.gate, self.clock)
        self.book.restore(self.clock.now)
        self.writer = Writer.of(1)
        self.feed = self.writer.feed("f")
        self.asked: Caller[Request, Reply]

    async def append(self, *entries: Append) -> None:
        for each in entries:
            reply = await self.asked.ask(each)
            assert isinstance(reply, Held)

    async def read(self, start: int = 1) -> tuple[Feed, dict[int, bytes]]:
        answer = await self.asked.call(ReadFeed(self.feed, start), max_body=1 << 24)
        assert isinstance(answer.reply, Feed)
        entries = unframed(bytes(answer.body), Entry)
        for each in entries:
            check_entry(answer.reply.owner, self.feed, each)
        return answer.reply, {each.number: each.data for each in entries}

    def pass_time(self, milliseconds: int) -> None:
        self.clock.now += milliseconds
        while self.book.expire(self.clock.now):
            pass


@asynccontextmanager
async def node(tier: MemoryTier | None = None) -> AsyncIterator[Node]:
    standing = Node(tier or MemoryTier())
    server = Server(STORAGE)
    standing.entries.answer_on(server)
    async with serving(server) as address, calling(address) as session:
        standing.asked = Caller(session, STORAGE)
        yield standing


async def pushed(body: Incoming) -> Entry:
    size = int.from_bytes(await body.take_exactly(4))
    return msgspec.msgpack.decode(await body.take_exactly(size), type=Entry)


@pytest.mark.parametrize("tier", [MemoryTier, LedgerTier])
def test_what_was_appended_is_read_from_any_number_on(
    run: Run[None], tier: type[MemoryTier]
) -> None:
    async def main() -> None:
        async with node(tier()) as at:
            chain = at.writer.chain("f", *(b"%d" % i for i in range(1, 101)))
            await at.append(*chain)
            feed, entries = await at.read()
            assert entries == {i: b"%d" % i for i in range(1, 101)}
            last = hash_of(at.feed, chain[-1])
            assert feed == Feed(at.writer.owner, label("f"), 100, last)
            assert list((await at.read(99))[1]) == [99, 100]
            assert (await at.read(101))[1] == {}

    run(main())


def test_an_entry_comes_behind_the_message_too(run: Run[None]) -> None:
    async def main() -> None:
        async with node() as at:
            data = bytes(ENTRY_MAX)
            [entry] = at.writer.chain("f", data)
            behind = msgspec.structs.replace(entry, data=b"", size=len(data))
            answer = await at.asked.call(behind, body=data)
            assert answer.reply == Held(T0, MINUTE, MINUTE)
            assert (await at.read())[1] == {1: data}
            for wrong in (
                msgspec.structs.replace(behind, size=ENTRY_MAX + 1),
                msgspec.structs.replace(behind, data=b"x"),
            ):
                with pytest.raises(UsageError, match=r"at most 64\.0 KiB"):
                    await at.asked.call(wrong, body=data)

    run(main())


def test_whoever_follows_gets_what_is_there_and_what_comes(run: Run[None]) -> None:
    async def main() -> None:
        async with node() as at:
            chain = at.writer.chain("f", b"1", b"2", b"3", b"4", ttl=DAY)
            await at.append(*chain[:2])
            async with at.asked.stream(ReadFeed(at.feed, 2, follow=True)) as answer:
                assert (await pushed(answer.body)).data == b"2"
                for each in chain[2:]:
                    await at.append(each)
                    got = await pushed(answer.body)
                    assert (got.number, got.data) == (each.number, each.data)
                at.pass_time(2 * DAY)
                assert await answer.body.read() == b""  # nothing is known of the feed any more
            assert at.entries.followers.count == 0

    run(main())


def test_a_fork_is_refused_and_its_proof_handed_out(run: Run[None]) -> None:
    async def main() -> None:
        async with node() as at:
            one, two = at.writer.chain("f", b"1", b"2")
            await at.append(one, two, two)
            with pytest.raises(NotFound):
                await at.asked.ask(Fork(at.feed))
            with pytest.raises(Conflict, match="two entries of number 2"):
                await at.append(at.writer.entry("f", 2, two.previous, b"other"))
            answer = await at.asked.call(Fork(at.feed), max_body=1 << 20)
            assert isinstance(answer.reply, Feed)
            assert answer.reply.forked
            both = unframed(bytes(answer.body), Entry)
            for each in both:
                check_entry(at.writer.owner, at.feed, each)
            assert [(each.number, each.data) for each in both] == [(2, b"2"), (2, b"other")]
            feed, entries = await at.read()
            assert feed.forked
            assert entries == {1: b"1", 2: b"2"}

    run(main())


def test_a_feed_that_nobody_wrote_is_not_found(run: Run[None]) -> None:
    async def main() -> None:
        async with node() as at:
            for request in (ReadFeed(at.feed), ReadFeed(at.feed, follow=True), Fork(at.feed)):
                with pytest.raises(NotFound):
                    await at.asked.ask(request)

    run(main())


def test_what_could_not_be_written_was_never_appended(run: Run[None]) -> None:
    async def main() -> None:
        tier = LedgerTier()
        async with node(tier) as at:
            one, two = at.writer.chain("f", b"1", b"2")
            tier.failing = True
            with pytest.raises(RepramError, match="takes nothing"):
                await at.append(one)
            with pytest.raises(NotFound):
                await at.read()
            tier.failing = False
            await at.append(one)
            tier.failing = True
            with pytest.raises(RepramError, match="takes nothing"):
                await at.append(two)
            assert (await at.read())[1] == {1: b"1"}
            tier.failing = False
            await at.append(two)
            assert (await at.read())[1] == {1: b"1", 2: b"2"}

    run(main())


@pytest.mark.parametrize("head_lost", [False, True])
def test_a_restart_loses_neither_entries_nor_place_nor_proof(
    run: Run[None], head_lost: bool
) -> None:
    async def main() -> None:
        tier = LedgerTier()
        chain = Writer.of(1).chain("f", b"1", b"2", b"3")
        async with node(tier) as at:
            await at.append(*chain[:2])
            with pytest.raises(Conflict):
                await at.append(at.writer.entry("f", 2, chain[1].previous, b"other"))
            held = at.gate.held.total()
        if head_lost:
            del tier.disk[b"h" + at.feed]
        async with node(LedgerTier(tier.disk)) as at:
            assert (await at.read())[1] == {1: b"1", 2: b"2"}
            assert at.gate.held.total() == held
            await at.append(chain[2])
            feed, entries = await at.read()
            assert (feed.number, feed.forked, list(entries)) == (3, True, [1, 2, 3])
            at.pass_time(DAY)
            assert (len(at.book), at.gate.held.total()) == (0, 0)

    run(main())
