"""The book: exact about time, bounded, never early. Time is an argument here."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from repram.errors import Full
from repram.storaged.holdings.book import INDEXED, Book, Entry
from repram.storaged.memory import OVERHEAD, MemoryTier

A, B, C = b"xA", b"xB", b"xC"


class Note(Entry, gc=False):
    """A fact that means nothing."""

    def meta(self) -> bytes:
        return b""


def keep(book: Book, key: bytes, body: bytes, until: int, now: int = 0) -> Note:
    note = Note(key, until, len(body), None)
    book.keep(note, body, now)
    return note


def test_a_fact_is_there_until_its_time_and_gone_at_it() -> None:
    book = Book(MemoryTier(), 10_000)
    keep(book, A, b"body", 60_000)
    found = book.get(A, 59_999)
    assert found is not None
    assert book.body(found) == b"body"
    for late in (60_000, 60_001, 10**9):
        assert book.get(A, late) is None


def test_a_full_book_refuses_and_keeps_what_it_has() -> None:
    book = Book(MemoryTier(), 2 * (100 + OVERHEAD))
    keep(book, A, bytes(100), 60_000)
    keep(book, B, bytes(100), 60_000)
    with pytest.raises(Full, match=r"this node is full: 2\.2 KiB of 2\.2 KiB"):
        keep(book, C, b"", 60_000, 59_999)
    assert all(book.get(key, 59_999) for key in (A, B))


def test_a_book_that_is_as_long_as_memory_allows_refuses_further_facts() -> None:
    book = Book(MemoryTier(), 1 << 30, memory=3 * INDEXED)
    keep(book, A, b"", 60_000)
    keep(book, B, b"", 70_000)
    with pytest.raises(Full, match="with 2 items"):
        keep(book, C, b"", 80_000, 59_999)
    keep(book, A, b"", 80_000, 59_999)
    keep(book, C, b"", 80_000, 70_000)


def test_room_kept_for_what_is_on_its_way_is_not_given_twice() -> None:
    book = Book(MemoryTier(), 100 + OVERHEAD)
    with book.room(100, 0):
        with pytest.raises(Full), book.room(0, 0):
            pass
        with pytest.raises(Full):
            keep(book, A, b"", 60_000)
    keep(book, A, bytes(100), 60_000)


def test_what_has_expired_makes_room_at_once() -> None:
    book = Book(MemoryTier(), 100 + OVERHEAD)
    for turn in range(50):
        now = turn * 30_100
        keep(book, turn.to_bytes(4, "big"), bytes(100), now + 30_000, now)
        assert len(book) == 1


def test_a_fact_whose_time_was_put_off_is_not_freed_at_the_first() -> None:
    book = Book(MemoryTier(), 10_000)
    note = keep(book, A, b"x", 30_000)
    book.amend(note, 90_000)
    assert book.expire(89_999) == 0
    assert book.get(A, 89_999) is note
    assert book.expire(90_100) == 1


def test_a_fact_whose_time_was_put_back_is_freed_at_the_new_one() -> None:
    book = Book(MemoryTier(), 10_000)
    note = keep(book, A, b"x", 30_000)
    book.amend(note, 90_000)
    book.expire(40_000)
    book.revert(note, 50_000)
    assert book.expire(50_100) == 1


def test_a_key_kept_again_after_its_end_is_not_freed_with_its_first_life() -> None:
    book = Book(MemoryTier(), 10_000)
    keep(book, A, b"x", 30_000)
    keep(book, A, b"x", 60_000, 30_000)
    book.expire(30_100)
    assert book.get(A, 59_999)


def test_many_facts_that_end_at_once_are_freed_in_slices() -> None:
    book = Book(MemoryTier(), 1 << 30)
    for number in range(2_500):
        keep(book, number.to_bytes(4, "big"), b"", 30_000)
    assert [book.expire(30_100, limit=1_000) for _ in range(4)] == [1_000, 1_000, 500, 0]
    assert (len(book), book.used) == (0, 0)


def test_who_is_told_that_facts_are_gone_is_told_once_of_each() -> None:
    gone: list[tuple[bytes, int]] = []
    book = Book(MemoryTier(), 10_000)
    book.add_kind(
        b"x", lambda _: Note(A, 0, 0, None), lambda each: gone.append((each.key, each.until))
    )
    first, second = keep(book, A, b"1", 10), keep(book, B, b"2", 20)
    keep(book, A, b"3", 30)
    book.drop(second)
    book.drop(second)
    book.take_back(keep(book, C, b"4", 40))
    book.expire(1_000)
    assert gone == [(A, first.until), (B, 20), (C, 40), (A, 30)]


class BookAgainstModel(RuleBasedStateMachine):
    """Any sequence of keeping, putting off, dropping and time against a dict of (size, until)."""

    capacity = 6 * (50 + OVERHEAD)
    keys = st.sampled_from([b"x%d" % number for number in range(9)])

    def __init__(self) -> None:
        super().__init__()
        self.book = Book(MemoryTier(), self.capacity)
        self.model: dict[bytes, tuple[int, int]] = {}
        self.time = 0

    def live(self) -> dict[bytes, tuple[int, int]]:
        return {key: held for key, held in self.model.items() if held[1] > self.time}

    @rule(key=keys, size=st.integers(0, 50), ttl=st.integers(1, 300))
    def keep(self, key: bytes, size: int, ttl: int) -> None:
        others = sum(
            each + OVERHEAD
            for name, (each, until) in self.model.items()
            if name != key and until > self.time - 100  # one span of the queue may not be swept
        )
        try:
            keep(self.book, key, bytes(size), self.time + ttl, self.time)
        except Full:
            assert others + size + OVERHEAD > self.capacity
        else:
            self.model[key] = (size, self.time + ttl)

    @rule(key=keys, ttl=st.integers(1, 300))
    def amend(self, key: bytes, ttl: int) -> None:
        found = self.book.get(key, self.time)
        if found is not None:
            self.book.amend(found, self.time + ttl)
            self.model[key] = (self.model[key][0], self.time + ttl)

    @rule(key=keys)
    def drop(self, key: bytes) -> None:
        found = self.book.get(key, self.time)
        if found is not None:
            self.book.drop(found)
            del self.model[key]

    @rule(milliseconds=st.integers(0, 200))
    def wait(self, milliseconds: int) -> None:
        self.time += milliseconds

    @rule(limit=st.integers(1, 3))
    def sweep(self, limit: int) -> None:
        self.book.expire(self.time, limit)

    @invariant()
    def as_in_the_model(self) -> None:
        live = self.live()
        for number in range(9):
            key = b"x%d" % number
            found = self.book.get(key, self.time)
            assert (None if found is None else (found.size, found.until)) == live.get(key)
        assert len(self.book) >= len(live)
        assert 0 <= self.book.used <= self.capacity

    def teardown(self) -> None:
        while self.book.expire(self.time + 1_000):
            pass
        assert (len(self.book), self.book.used) == (0, 0)


TestBookAgainstModel = BookAgainstModel.TestCase
TestBookAgainstModel.settings = settings(max_examples=40, stateful_step_count=40)
