"""What a book counts of itself agrees with what is in it."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from repram.storaged.holdings.book import Book, Entry
from repram.storaged.memory import MemoryTier

KEYS = st.sampled_from([bytes([letter, number]) for letter in b"cr" for number in range(4)])
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["keep", "amend", "drop", "expire", "wait"]), KEYS, st.integers(1, 900)
    )
)


@given(STEPS)
def test_held_expired_ended_and_overdue_are_counted_truly(
    steps: list[tuple[str, bytes, int]],
) -> None:
    book, now, gone = Book(MemoryTier(), 1 << 30), 10_000, Counter[str]()
    for what, key, amount in steps:
        entry = book.get(key, now)
        if what == "keep":
            book.keep(Entry(key, now + amount, 1, None), b"x", now)
        elif what == "amend" and entry is not None:
            book.amend(entry, now + amount)
        elif what == "drop" and entry is not None:
            book.drop(entry)
            gone["ended"] += 1
        elif what == "expire":
            while freed := book.expire(now, limit=2):
                gone["expired"] += freed
        elif what == "wait":
            now += amount
        left = list(book.entries())
        assert +book.held == Counter(entry.key[:1] for entry in left)
        assert (book.expired, book.ended) == (gone["expired"], gone["ended"])
        for since in (now, now - 300, now - 1_000):
            # A span is met at its end, so what is due within it may be told a tenth of a second later.
            late = sum(entry.until <= since for entry in left)
            late_for_sure = sum(entry.until <= since - 100 for entry in left)
            assert late_for_sure <= book.overdue(since) <= late


def test_so_many_overdue_are_bad_enough() -> None:
    book = Book(MemoryTier(), 1 << 30)
    for number in range(300):
        book.keep(Entry(b"c%d" % number, 1 + number * 100, 1, None), b"x", 0)
    assert 100 <= book.overdue(1 << 20, most=100) <= 101
