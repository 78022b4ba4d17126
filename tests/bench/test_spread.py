"""The median of rounds, its neighbours, and ratios within a round."""

from __future__ import annotations

import pytest

from bench.spread import Spread, figure


def test_the_middle_round_stands_for_all() -> None:
    assert Spread.of([3.0, 100.0, 1.0]) == Spread(3.0, 1.0, 100.0)


def test_nothing_has_no_spread() -> None:
    assert Spread.of([]) is None
    assert Spread.of_ratios({1: 1.0}, {2: 1.0}) is None


def test_ratios_are_taken_round_by_round() -> None:
    ours, theirs = {1: 10.0, 2: 40.0, 3: 90.0}, {1: 10.0, 2: 20.0, 3: 30.0, 4: 1.0}
    assert Spread.of_ratios(ours, theirs) == Spread(2.0, 1.0, 3.0)


def test_a_round_in_which_nothing_came_is_no_ratio() -> None:
    assert Spread.of_ratios({1: 1.0, 2: 4.0}, {1: 0.0, 2: 2.0}) == Spread(2.0, 2.0, 2.0)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.00"), (0.126, "0.13"), (9.999, "10.0"), (99.99, "100"), (1234.5, "1,234")],
)
def test_three_digits_count(value: float, text: str) -> None:
    assert figure(value) == text


def test_a_spread_is_told_unless_there_is_none() -> None:
    assert str(Spread(2.0, 1.0, 30.0)) == "2.00 (1.00–30.0)"
    assert str(Spread(2.0, 2.0, 2.0)) == "2.00"
