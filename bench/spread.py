"""What several rounds amount to: the middle one, and how far the others are from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Self


@dataclass(frozen=True, slots=True)
class Spread:
    """The median, the least and the most."""

    middle: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self | None:
        """Nothing, of nothing."""
        known = sorted(values)
        return cls(median(known), known[0], known[-1]) if known else None

    @classmethod
    def of_ratios(cls, ours: Mapping[int, float], theirs: Mapping[int, float]) -> Self | None:
        """Ours by theirs, each round by itself: what slowed a whole round down cancels out."""
        both = ours.keys() & theirs.keys()
        return cls.of(ours[number] / theirs[number] for number in both if theirs[number])

    def __str__(self) -> str:
        if self.least == self.most:
            return figure(self.middle)
        return f"{figure(self.middle)} ({figure(self.least)}–{figure(self.most)})"


def figure(value: float) -> str:
    """A number with three digits that count."""
    if value >= 99.95:
        return f"{value:,.0f}"
    if value >= 9.995:
        return f"{value:.1f}"
    return f"{value:.2f}"
