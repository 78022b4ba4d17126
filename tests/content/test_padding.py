"""Padmé against the published formula, computed here with logarithms as the paper writes it."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from repram.content.padding import padme


def published(size: int) -> int:
    """PURBs, PETS 2019: E = floor(log2 L), S = floor(log2 E) + 1, the last E - S bits become zero."""
    exponent = math.floor(math.log2(size))
    bits = math.floor(math.log2(exponent)) + 1
    mask = (1 << (exponent - bits)) - 1
    return (size + mask) & ~mask


@given(st.integers(2, 1 << 46))
def test_it_is_the_published_formula(size: int) -> None:
    assert padme(size) == published(size)


@given(st.integers(0, 1 << 60))
def test_it_never_shrinks_costs_at_most_12_percent_and_is_stable(size: int) -> None:
    assert size <= padme(size) <= size * 1.12
    assert padme(padme(size)) == padme(size)


@given(st.integers(0, 1 << 60))
def test_it_is_monotonic(size: int) -> None:
    assert padme(size) <= padme(size + 1)


def test_few_sizes_are_left_to_tell_apart() -> None:
    assert len({padme(size) for size in range(1 << 20, 1 << 21)}) == 33


def test_known_sizes() -> None:
    assert [padme(size) for size in (0, 1, 2, 9, 100, 1000, (1 << 20) + 1)] == [
        0,
        1,
        2,
        10,
        104,
        1024,
        1081344,
    ]
