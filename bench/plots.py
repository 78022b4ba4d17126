"""Plots as SVG: readable on light and dark pages alike, for they bring their own ground."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10
from statistics import median
from typing import Final, Literal, TypeAlias

from bench.spread import Spread, figure

Family: TypeAlias = Literal["ours", "tls", "quic", "plain", "direct", "ssh", "store"]

WIDTH: Final = 960
STYLE: Final = """
text { font: 13px system-ui, sans-serif; fill: #24292f; }
.title { font-size: 16px; font-weight: 600; } .panel { font-weight: 600; } .quiet { fill: #57606a; }
.ground { fill: #ffffff; } .grid { stroke: #d0d7de; } .whisker { stroke: #24292f; stroke-width: 1.5; }
.ours { fill: #0969da; } .tls, .direct { fill: #bc4c00; }
.quic, .store { fill: #8250df; } .plain, .ssh { fill: #6e7781; }
path.line { fill: none; stroke-width: 2.5; } path.dashed { stroke-dasharray: 7 5; }
path.ours { stroke: #0969da; } path.plain { stroke: #6e7781; }
path.tls { stroke: #bc4c00; } path.quic { stroke: #8250df; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; } .quiet { fill: #9198a1; }
  .ground { fill: #0d1117; } .grid { stroke: #3d444d; } .whisker { stroke: #e6edf3; }
  .ours { fill: #4493f8; } .tls, .direct { fill: #f0883e; }
  .quic, .store { fill: #ab7df8; } .plain, .ssh { fill: #9198a1; }
  path.ours { stroke: #4493f8; } path.plain { stroke: #9198a1; }
  path.tls { stroke: #f0883e; } path.quic { stroke: #ab7df8; }
  path.line { fill: none; }
}
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One peer's figure."""

    name: str
    family: Family
    value: Spread


@dataclass(frozen=True, slots=True)
class Panel:
    """Bars on one scale."""

    title: str
    bars: Sequence[Bar]


@dataclass(frozen=True, slots=True)
class Series:
    """One peer's figures, in the order of the labels on the axis; None where there is none."""

    name: str
    family: Family
    dashed: bool
    values: Sequence[Spread | None]


# ---- bars ----

COLUMNS: Final = 2
ROW: Final = 20
NAMES: Final = 125
FIGURES: Final = 60
TOP: Final = 56
GAP: Final = 24


def bars(title: str, panels: Sequence[Panel], *, cut: bool = False) -> str:
    """Panels of horizontal bars, a scale each, with the least and the most as whiskers; bars that
    would make the others unreadable can be cut."""
    body: list[str] = []
    width = (WIDTH - GAP * (COLUMNS + 1)) / COLUMNS
    top = float(TOP)
    for first in range(0, len(panels), COLUMNS):
        row = panels[first : first + COLUMNS]
        for column, panel in enumerate(row):
            body += _panel(panel, GAP + column * (width + GAP), top, width, cut=cut)
        top += ROW * (max(len(panel.bars) for panel in row) + 1) + GAP
    return _page(title, top, body)


def _panel(panel: Panel, left: float, top: float, width: float, *, cut: bool) -> Iterator[str]:
    yield _text(left, top, panel.title, "panel")
    start, room = left + NAMES, width - NAMES - FIGURES
    mosts = [bar.value.most for bar in panel.bars]
    end = (_readable(mosts) if cut else max(mosts)) or 1.0
    for number, bar in enumerate(panel.bars, start=1):
        y = top + number * ROW
        scale = [
            min(each / end, 1) * room
            for each in (bar.value.middle, bar.value.least, bar.value.most)
        ]
        middle, least, most = scale
        yield _text(start - 8, y, bar.name, anchor="end")
        yield (
            f'<rect class="{bar.family}" x="{start:.1f}" y="{y - 11:.1f}" '
            f'width="{max(middle, 1):.1f}" height="13" rx="2"/>'
        )
        if bar.value.middle > end:  # it runs out of the picture
            most = middle
            yield _text(start + room + 4, y, f"▸ {figure(bar.value.middle)}", "quiet")
        else:
            yield _line(start + least, y - 4.5, start + most, y - 4.5, "whisker")
            yield _text(start + max(middle, most) + 6, y, figure(bar.value.middle), "quiet")


def _readable(values: Sequence[float]) -> float:
    """The largest value that is not far from most of the others."""
    far = 4 * median(values)
    return max(value for value in values if value <= far)


# ---- lines ----

HEIGHT: Final = 380
LEFT: Final = 60
RIGHT: Final = 150
BOTTOM: Final = 50
LABEL: Final = 17


def lines(title: str, labels: Sequence[str], below: str, series: Sequence[Series]) -> str:
    """Lines over a few labelled places, from zero up, each named at its end."""
    known = [value for each in series for value in each.values if value]
    most = max((value.most for value in known), default=0.0) or 1.0
    step = _step(most)
    top = ceil(most / step) * step
    body: list[str] = []

    def x(at: int) -> float:
        return LEFT + 20 + at * (WIDTH - LEFT - RIGHT - 40) / max(len(labels) - 1, 1)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - value / top * (HEIGHT - BOTTOM - TOP)

    for mark in range(round(top / step) + 1):
        height = y(mark * step)
        body.append(_line(LEFT, height, WIDTH - RIGHT, height, "grid"))
        body.append(_text(LEFT - 8, height + 4, f"{mark * step:g}", "quiet", anchor="end"))
    for at, label in enumerate(labels):
        body.append(_text(x(at), HEIGHT - BOTTOM + 20, label, "quiet", anchor="middle"))
    body.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, below, "quiet", anchor="middle"))
    for each in series:
        points = [(x(at), value) for at, value in enumerate(each.values) if value]
        path = " L ".join(f"{across:.1f} {y(value.middle):.1f}" for across, value in points)
        kind = f"line {each.family}" + (" dashed" if each.dashed else "")
        body += [f'<path class="{kind}" d="M {path}"/>'] if points else []
        for across, value in points:
            body.append(_line(across, y(value.least), across, y(value.most), "whisker"))
    ends = [(y(each.values[-1].middle), each.name) for each in series if each.values[-1]]
    for height, name in _apart(ends):
        body.append(_text(WIDTH - RIGHT + 8, height + 4, name))
    return _page(title, HEIGHT, body)


def _step(most: float) -> float:
    """A round number that goes four to ten times into the axis."""
    size = 10.0 ** floor(log10(most))
    return next(size * part for part in (0.1, 0.2, 0.5, 1.0, 2.0) if most / (size * part) <= 8)


def _apart(labels: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Labels from the bottom up, moved up where they would overlap."""
    placed = sorted(labels, reverse=True)
    for at in range(1, len(placed)):
        height, name = placed[at]
        placed[at] = (min(height, placed[at - 1][0] - LABEL), name)
    return placed


# ---- the page ----


def _page(title: str, height: float, body: Sequence[str]) -> str:
    drawn = "\n".join(body)
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img">
<title>{escape(title)}</title>
<style>{STYLE}</style>
<rect class="ground" width="100%" height="100%" rx="8"/>
{_text(GAP, 28, title, "title")}
{drawn}
</svg>
"""


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
