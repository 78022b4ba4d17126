"""What becomes of feed entries, whatever comes when; on a clock that the test moves."""

from __future__ import annotations

import msgspec
import pytest

from repram.errors import ClockRefused, Conflict, Full, IntegrityFailure, NotAllowed, UsageError
from repram.proto.messages import CHUNK_TTL_MIN, ENTRY_MAX, TTL_MAX, Append, Entry
from repram.storaged.holdings.book import Book
from repram.storaged.holdings.feeds import Feeds
from repram.storaged.holdings.terms import SKEW
from repram.storaged.memory import OVERHEAD, MemoryTier
from tests.storaged.counting_gate import CountingGate
from tests.storaged.writer import DAY, MINUTE, T0, Clock, Writer, check_entry, hash_of, unframed


class Shelf:
    """Feeds of one writer."""

    def __init__(self, capacity: int = 1 << 30, quota: int = 1 << 60) -> None:
        self.clock = Clock()
        self.gate = CountingGate(quota)
        self.gone: list[bytes] = []
        self.book = Book(MemoryTier(), capacity)
        self.feeds = Feeds(self.book, self.gate, self.gone.append)
        self.writer = Writer.of(1)
        self.feed = self.writer.feed("f")

    def append(self, *entries: Append) -> None:
        for each in entries:
            self.feeds.append(each, each.data, b"", self.clock.now)

    def read(self) -> dict[int, bytes]:
        now, read = self.clock.now, {}
        for number in self.feeds.numbers(self.feed, 1, 10_000):
            entry = self.feeds.entry(self.feed, number, now)
            if entry is not None:
                told = entry.told(self.feeds.data(entry), now)
                check_entry(self.writer.owner, self.feed, told)
                read[number] = told.data
        return read

    def last(self) -> int:
        head = self.feeds.head(self.feed, self.clock.now)
        return 0 if head is None else head.number

    def sweep(self) -> None:
        while self.book.expire(self.clock.now):
            pass


def test_entries_follow_each_other_and_expire_one_by_one() -> None:
    shelf = Shelf()
    first, second, third = shelf.writer.chain("f", b"1", b"2", b"3")
    second = shelf.writer.entry("f", 2, second.previous, b"2", ttl=DAY)
    third = shelf.writer.entry("f", 3, hash_of(shelf.feed, second), b"3")
    shelf.append(first, second, third)
    assert shelf.read() == {1: b"1", 2: b"2", 3: b"3"}
    shelf.clock.now += MINUTE - 1
    assert shelf.read() == {1: b"1", 2: b"2", 3: b"3"}
    shelf.clock.now += 1
    assert shelf.read() == {2: b"2"}
    shelf.sweep()
    assert shelf.read() == {2: b"2"}
    assert shelf.last() == 3


def test_the_head_outlives_its_entries_until_none_of_them_could_return() -> None:
    shelf = Shelf()
    one, two = shelf.writer.chain("f", b"1", b"2")
    shelf.append(one, two)
    shelf.clock.now += MINUTE + SKEW - 1
    shelf.sweep()
    assert (shelf.read(), shelf.last()) == ({}, 2)
    shelf.clock.now += 1
    shelf.sweep()
    assert (shelf.last(), len(shelf.book), shelf.gate.held.total()) == (0, 0, 0)
    assert shelf.gone == [shelf.feed]


def test_a_feed_goes_on_after_all_its_entries_have_expired() -> None:
    shelf = Shelf()
    one, two = shelf.writer.chain("f", b"1", b"2")
    shelf.append(one)
    shelf.clock.now += MINUTE
    shelf.sweep()
    later = shelf.writer.entry("f", 2, two.previous, b"2", at=shelf.clock.now)
    shelf.append(later)
    shelf.clock.now += DAY
    shelf.sweep()
    previous = hash_of(shelf.feed, later)
    shelf.append(shelf.writer.entry("f", 3, previous, b"3", at=shelf.clock.now))
    assert shelf.read() == {3: b"3"}


def test_an_entry_that_is_here_may_be_appended_again() -> None:
    shelf = Shelf()
    chain = shelf.writer.chain("f", b"1", b"2", b"3")
    shelf.append(*chain)
    held = shelf.gate.held.total()
    shelf.append(*chain)
    assert (shelf.last(), shelf.gate.held.total()) == (3, held)


@pytest.mark.parametrize("number", [2, 4])
def test_an_entry_out_of_order_is_refused(number: int) -> None:
    shelf = Shelf()
    shelf.append(*shelf.writer.chain("f", b"1", b"2"))
    shelf.clock.now += MINUTE
    shelf.sweep()
    stray = shelf.writer.entry("f", number, b"p" * 32, b"x", at=shelf.clock.now)
    with pytest.raises(Conflict, match=r"is at entry 2|has entry 2"):
        shelf.append(stray)
    with pytest.raises(Conflict, match="does not follow"):
        shelf.append(shelf.writer.entry("f", 3, b"p" * 32, b"x", at=shelf.clock.now))
    assert shelf.last() == 2


def test_a_fork_is_refused_and_proved() -> None:
    shelf = Shelf()
    one, two = shelf.writer.chain("f", b"1", b"2")
    shelf.append(one, two)
    other = shelf.writer.entry("f", 2, two.previous, b"other")
    assert shelf.feeds.fork(shelf.feed, shelf.clock.now) is None
    for _ in range(2):
        with pytest.raises(Conflict, match="two entries of number 2"):
            shelf.append(other)
    assert shelf.read() == {1: b"1", 2: b"2"}
    proof = shelf.feeds.fork(shelf.feed, shelf.clock.now)
    assert proof is not None
    first, second = unframed(bytes(proof), Entry)
    for each in (first, second):
        check_entry(shelf.writer.owner, shelf.feed, each)
    assert (first.data, second.data) == (b"2", b"other")
    three = shelf.writer.entry("f", 3, hash_of(shelf.feed, two), b"3", ttl=DAY)
    shelf.append(three)
    shelf.clock.now += DAY
    shelf.sweep()
    assert shelf.feeds.fork(shelf.feed, shelf.clock.now) is not None
    shelf.clock.now += SKEW
    shelf.sweep()
    assert (len(shelf.book), shelf.gate.held.total()) == (0, 0)


def test_what_the_owner_has_not_signed_is_neither_kept_nor_a_fork() -> None:
    shelf = Shelf()
    one, _ = shelf.writer.chain("f", b"1", b"2")
    shelf.append(one)
    forged = msgspec.structs.replace(one, data=b"forged")
    with pytest.raises(IntegrityFailure):
        shelf.append(forged)
    assert shelf.feeds.fork(shelf.feed, shelf.clock.now) is None


@pytest.mark.parametrize(
    ("ttl", "at", "error"),
    [
        (CHUNK_TTL_MIN - 1, T0, UsageError),
        (TTL_MAX + 1, T0, UsageError),
        (MINUTE, T0 - MINUTE, UsageError),
        (MINUTE, T0 + SKEW + 1, ClockRefused),
    ],
)
def test_bounds_and_clocks(ttl: int, at: int, error: type[Exception]) -> None:
    shelf = Shelf()
    with pytest.raises(error):
        shelf.append(*shelf.writer.chain("f", b"1", at=at, ttl=ttl))
    assert len(shelf.book) == 0


def test_entries_have_bounds_and_the_first_has_number_one() -> None:
    shelf = Shelf()
    with pytest.raises(UsageError, match=r"at most 64\.0 KiB"):
        shelf.append(*shelf.writer.chain("f", bytes(ENTRY_MAX + 1)))
    for number, previous in [(0, bytes(32)), (1, b"p" * 32), (2, bytes(32))]:
        with pytest.raises(UsageError, match="the first entry"):
            shelf.append(shelf.writer.entry("f", number, previous, b"x"))
    shelf.append(*shelf.writer.chain("f", bytes(ENTRY_MAX)))


def test_one_signed_ahead_of_the_node_lives_no_longer_than_its_ttl_and_does_not_return() -> None:
    shelf = Shelf()
    [one] = shelf.writer.chain("f", b"1", at=T0 + SKEW)
    shelf.append(one)
    shelf.clock.now += MINUTE
    assert shelf.read() == {}
    shelf.sweep()
    with pytest.raises(Conflict):
        shelf.append(one)
    assert shelf.read() == {}


def test_a_full_node_and_a_full_quota_refuse_and_nothing_has_changed() -> None:
    for shelf in (Shelf(capacity=2 * OVERHEAD + 10), Shelf(quota=2 * OVERHEAD + 10)):
        one, two = shelf.writer.chain("f", bytes(10), b"2")
        shelf.append(one)
        with pytest.raises(Full):
            shelf.append(two)
        assert (shelf.last(), shelf.read()) == (1, {1: bytes(10)})
        shelf.clock.now += MINUTE
        later = shelf.writer.entry("f", 2, two.previous, bytes(10), at=shelf.clock.now)
        shelf.sweep()
        shelf.append(later)
        assert shelf.read() == {2: bytes(10)}


def test_a_denied_owner_appends_nothing() -> None:
    shelf = Shelf()
    shelf.gate.denied.add(shelf.writer.owner)
    with pytest.raises(NotAllowed):
        shelf.append(*shelf.writer.chain("f", b"1"))
