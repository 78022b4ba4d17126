"""Numbers as Prometheus reads them: families of samples in its text format, and a histogram."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Labels: TypeAlias = tuple[str, ...]  # values, in the order of the family's label names
Kind: TypeAlias = Literal["counter", "gauge", "histogram"]


class Histogram:
    """How many values fell at or below each bound; `observe` is for hot paths, from one thread."""

    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def samples(self) -> Iterator[tuple[str, str | None, float]]:
        """Suffix, the bound if there is one, and value: cumulative, as the format wants it."""
        below = 0
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            below += count
            yield "_bucket", _number(bound), below
        yield "_sum", None, self._total
        yield "_count", None, below


@dataclass(frozen=True, slots=True)
class Family:
    """All samples of one name, by the values of their labels."""

    name: str
    kind: Kind
    about: str
    samples: Mapping[Labels, float | Histogram]
    labels: tuple[str, ...] = ()

    def lines(self) -> Iterator[str]:
        """Its lines in the text format."""
        yield f"# HELP {self.name} {self.about}"
        yield f"# TYPE {self.name} {self.kind}"
        for values, sample in self.samples.items():
            named = list(zip(self.labels, values, strict=True))
            if not isinstance(sample, Histogram):
                yield f"{self.name}{_braces(named)} {_number(sample)}"
                continue
            for suffix, bound, value in sample.samples():
                within = named if bound is None else [*named, ("le", bound)]
                yield f"{self.name}{suffix}{_braces(within)} {_number(value)}"


def page(families: Iterable[Family]) -> str:
    """The whole page."""
    return "".join(f"{line}\n" for family in families for line in family.lines())


def _number(value: float) -> str:
    return "+Inf" if value == float("inf") else repr(value)


def _braces(named: list[tuple[str, str]]) -> str:
    inside = ",".join(f'{name}="{_escaped(value)}"' for name, value in named)
    return f"{{{inside}}}" if inside else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
