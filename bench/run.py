"""The lines of one run, asked by what they are about, and tables of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from bench.results import Line
from bench.spread import Spread


class Run:
    """Lines of the scenarios of one run; the first is about the machine."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self.lines = lines
        self.machine = lines[0]

    def of(self, scenario: str, **wanted: object) -> list[Line]:
        """Lines of a scenario with these values."""
        return [
            line
            for line in self.lines
            if line["scenario"] == scenario
            and all(line.get(name) == value for name, value in wanted.items())
        ]

    def distinct(self, scenario: str, field: str, **wanted: object) -> list[str]:
        """The values of a field, in the order of the lines."""
        found = (line[field] for line in self.of(scenario, **wanted) if field in line)
        return list(dict.fromkeys(found))

    def spread(self, scenario: str, field: str, **wanted: object) -> Spread | None:
        """The rounds' values of one field."""
        return Spread.of(by_round(self.of(scenario, **wanted), field).values())


def by_round(lines: Sequence[Line], field: str) -> dict[int, float]:
    """One value a round."""
    return {line["round"]: line[field] for line in lines if field in line}


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """A table of Markdown; a dash where there is no value."""
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join('–' if cell is None else str(cell) for cell in row)} |"
