"""Sorted runs of ids behave like one sorted set."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from repram.storaged.holdings import owned
from repram.storaged.holdings.owned import owned_by

NUMBERS = st.integers(0, 200)


@given(st.lists(st.tuples(st.booleans(), NUMBERS), max_size=300), NUMBERS, st.integers(0, 50))
def test_runs_are_one_sorted_set(changes: list[tuple[bool, int]], after: int, limit: int) -> None:
    longest, owned._LONGEST = owned._LONGEST, 4  # type: ignore[misc]  # a test may set what is final
    try:
        ids, model = owned_by(b"o"), set[int]()
        for added, number in changes:
            key = number.to_bytes(2)
            if added:
                ids.add(key)
                model.add(number)
            else:
                ids.discard(key)
                model.discard(number)
    finally:
        owned._LONGEST = longest  # type: ignore[misc]
    behind = [number.to_bytes(2) for number in sorted(model) if number > after]
    assert ids.after(after.to_bytes(2), limit) == behind[:limit]
    assert ids.after(b"", 1_000) == [number.to_bytes(2) for number in sorted(model)]
    assert ids.empty == (not model)
    assert all(0 < len(run) <= 4 for run in ids.runs) or ids.empty
