"""Feeds against honest and lying nodes, all over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

import msgspec
import pytest
from msgspec.structs import replace

from repram.crypto.statements import EntryTerms, Signer, feed_id
from repram.errors import Conflict, IntegrityFailure, RemoteError, UsageError
from repram.proto.messages import ENTRY_MAX, STORAGE, Append, Entry, ReadFeed
from repram.proto.messages import Feed as Head
from repram.proto.rpc import Answer, Incoming, Server, framed
from repram.sdk import Client
from repram.sdk.feed import Feed
from repram.storaged.access.open_gate import OpenGate
from repram.storaged.entries import Entries
from repram.storaged.holdings.book import Book
from repram.storaged.memory import MemoryTier
from tests.conftest import Run
from tests.nodes import serving, wall_time

WRITER, LABEL = Signer(bytes(range(32))), bytes(range(32, 64))
Lie = Callable[[Head, list[Entry]], tuple[Head, list[Entry]]]


class Lying:
    """A node that holds honestly and, once told how, sends another feed."""

    def __init__(self) -> None:
        self._honest = Entries(Book(MemoryTier(), 1 << 30), OpenGate(), wall_time)
        self.lie: Lie | None = None

    async def read(self, request: ReadFeed, incoming: Incoming) -> Answer[Head]:
        answer = await self._honest.read(request, incoming)
        if self.lie is None:
            return answer
        assert not isinstance(answer.body, bytes | bytearray | memoryview)
        came = b"".join([bytes(piece) async for piece in answer.body])
        head, entries = self.lie(answer.reply, _entries(came))
        return Answer(head, b"".join(framed(entry) for entry in entries))


def _entries(data: bytes) -> list[Entry]:
    entries = []
    while data:
        end = 4 + int.from_bytes(data[:4], "big")
        entries.append(msgspec.msgpack.decode(data[4:end], type=Entry))
        data = data[end:]
    return entries


@asynccontextmanager
async def both() -> AsyncIterator[tuple[Lying, Feed, Feed]]:
    """A node, its feed's writer and a reader."""
    node, server = Lying(), Server(STORAGE)
    server.on_task(Append, node._honest.append)
    server.on_task(ReadFeed, node.read)
    async with serving(server) as address, Client(address) as one, Client(address) as two:
        yield (
            node,
            Feed(one.storage, WRITER.key, LABEL),
            Feed(two.storage, WRITER.key, LABEL),
        )


async def filled(writer: Feed, count: int = 3) -> None:
    for number in range(1, count + 1):
        assert await writer.append(WRITER, b"%d" % number, ttl="60s") == number


async def data_of(feed: Feed, start: int = 1) -> list[bytes]:
    return [item.data async for item in feed.read(start)]


def test_entries_come_back_in_order(run: Run[None]) -> None:
    async def main() -> None:
        async with both() as (_, writer, reader):
            await filled(writer)
            assert await data_of(reader) == [b"1", b"2", b"3"]
            assert await data_of(reader, 3) == [b"3"]
            assert await data_of(reader, 4) == []

    run(main())


@pytest.mark.parametrize("size", [0, 32_768, 32_769, ENTRY_MAX])
def test_entries_of_every_size_come_back(run: Run[None], size: int) -> None:
    async def main() -> None:
        async with both() as (_, writer, reader):
            await writer.append(WRITER, bytes(size), ttl="60s")
            assert await data_of(reader) == [bytes(size)]
            with pytest.raises(UsageError, match="at most"):
                await writer.append(WRITER, bytes(ENTRY_MAX + 1), ttl="60s")

    run(main())


def test_a_writer_that_comes_anew_goes_on_where_the_feed_stands(run: Run[None]) -> None:
    async def main() -> None:
        async with both() as (_, writer, other):
            await filled(writer)
            assert await other.append(WRITER, b"4", ttl="60s") == 4
            with pytest.raises(Conflict):
                await writer.append(WRITER, b"another 4", ttl="60s")

    run(main())


def test_a_reader_follows_what_is_appended(run: Run[None]) -> None:
    async def main() -> None:
        async with both() as (_, writer, reader):
            await filled(writer, 1)
            async with aclosing(reader.follow()) as items:
                assert (await anext(items)).data == b"1"
                await writer.append(WRITER, b"2", ttl="60s")
                assert (await anext(items)).data == b"2"

    run(main())


def test_only_the_owner_appends(run: Run[None]) -> None:
    async def main() -> None:
        async with both() as (_, writer, _reader):
            with pytest.raises(UsageError, match="only its owner"):
                await writer.append(Signer(bytes(32)), b"", ttl="60s")

    run(main())


def _signed(entry: Entry, data: bytes, previous: bytes) -> Entry:
    """What the writer itself would sign in another history."""
    terms = EntryTerms(
        feed_id(WRITER.key, LABEL).raw, entry.number, previous, entry.deadline, entry.ttl, data
    )
    signature = WRITER.sign(terms.statement())
    return replace(entry, data=data, previous=previous, signature=signature)


def test_a_second_history_is_noticed(run: Run[None]) -> None:
    async def main() -> None:
        async with both() as (node, writer, reader):
            await filled(writer)
            node.lie = lambda head, entries: (
                head,
                [entries[0], _signed(entries[1], b"other", bytes(32)), entries[2]],
            )
            with pytest.raises(IntegrityFailure, match="two histories"):
                await data_of(reader)
            node.lie = None
            assert await data_of(reader) == [b"1", b"2", b"3"]
            node.lie = lambda head, entries: (
                head,
                [_signed(entry, b"other", entry.previous) for entry in entries[2:]],
            )
            with pytest.raises(IntegrityFailure, match="two histories"):
                await data_of(reader)

    run(main())


@pytest.mark.parametrize(
    "lie",
    [
        lambda head, entries: (head, [replace(each, data=b"x") for each in entries]),
        lambda head, entries: (head, [*entries[:-1], replace(entries[-1], data=b"x")]),
        lambda head, entries: (head, [replace(each, ttl=each.ttl + 1) for each in entries]),
        lambda head, entries: (head, entries[::-1]),
        lambda head, entries: (head, [entries[0], *entries]),
        lambda head, entries: (head, [replace(each, number=each.number + 1) for each in entries]),
        lambda head, entries: (replace(head, owner=bytes(32)), entries),
        lambda head, entries: (replace(head, label=bytes(32)), entries),
        lambda head, entries: (replace(head, forked=True), entries),
    ],
)
def test_an_entry_that_was_tampered_with_is_refused(run: Run[None], lie: Lie) -> None:
    async def main() -> None:
        async with both() as (node, writer, reader):
            await filled(writer)
            node.lie = lie
            with pytest.raises((IntegrityFailure, RemoteError)):
                await data_of(reader)

    run(main())


def test_entries_that_are_left_out_are_no_break(run: Run[None]) -> None:
    async def main() -> None:
        async with both() as (node, writer, reader):
            await filled(writer)
            node.lie = lambda head, entries: (head, [entries[0], entries[2]])
            assert await data_of(reader) == [b"1", b"3"]

    run(main())
