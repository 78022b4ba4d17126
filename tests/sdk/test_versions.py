"""Hybrid timestamps, and rollbacks that are noticed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repram.errors import Conflict, IntegrityFailure
from repram.ids import ItemId
from repram.sdk.versions import AHEAD_MAX, COUNTER_BITS, Seen, Versions

NOW = 1_800_000_000_000
ITEM, OTHER = ItemId(bytes(32)), ItemId(bytes(range(32)))

clocks = st.lists(st.integers(-5_000, 5_000), min_size=1, max_size=50)


@given(clocks)
def test_versions_only_grow_whatever_the_clock_does(offsets: list[int]) -> None:
    versions = Versions()
    given_out = [versions.next(NOW + offset) for offset in offsets]
    assert given_out == sorted(set(given_out))
    for offset, version in zip(offsets, given_out, strict=True):
        assert version >= (NOW + offset) << COUNTER_BITS


def test_a_version_tells_the_time() -> None:
    assert Versions().next(NOW) == NOW << COUNTER_BITS


@given(st.integers(0, (NOW + AHEAD_MAX) << COUNTER_BITS))
def test_a_version_is_above_what_is_there(above: int) -> None:
    assert Versions().next(NOW, above) > above


def test_a_version_from_the_future_is_not_followed_there() -> None:
    versions = Versions()
    with pytest.raises(Conflict, match="lies in the future"):
        versions.next(NOW, (1 << 63) - 2)
    assert versions.next(NOW) == NOW << COUNTER_BITS


def test_an_older_version_than_one_that_was_there_is_a_rollback() -> None:
    seen = Seen()
    seen.check(ITEM, 5, seen.newest(ITEM))
    seen.check(ITEM, 5, seen.newest(ITEM))
    seen.check(OTHER, 1, seen.newest(OTHER))
    with pytest.raises(IntegrityFailure, match="version 4, and 5 was there before"):
        seen.check(ITEM, 4, seen.newest(ITEM))
    assert seen.newest(ITEM) == 5


def test_an_answer_that_was_overtaken_is_no_rollback() -> None:
    seen = Seen()
    floor = seen.newest(ITEM)
    seen.note(ITEM, 7)
    seen.check(ITEM, 6, floor)
    assert seen.newest(ITEM) == 7


def test_what_is_remembered_is_bounded_and_the_oldest_goes_first() -> None:
    seen = Seen(limit=2)
    for number in range(5):
        seen.note(ItemId(bytes([number]) * 32), 1)
    assert [seen.newest(ItemId(bytes([number]) * 32)) for number in range(5)] == [0, 0, 0, 1, 1]
