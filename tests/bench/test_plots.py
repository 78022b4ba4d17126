"""Plots are well-formed, whatever the figures and the names are."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from bench.plots import Bar, Panel, Series, bars, lines
from bench.spread import Spread

SVG = "{http://www.w3.org/2000/svg}"


def widths(svg: str) -> list[float]:
    """Of the bars; the ground is 100 % wide."""
    drawn = [each.attrib["width"] for each in ET.fromstring(svg).iter(f"{SVG}rect")]
    return [float(each) for each in drawn if not each.endswith("%")]


def texts(svg: str) -> list[str | None]:
    return [each.text for each in ET.fromstring(svg).iter(f"{SVG}text")]


def test_bars_are_as_long_as_their_figures() -> None:
    first, second = Spread(10, 9, 12), Spread(5, 5, 5)
    drawn = widths(bars("t", [Panel("p", [Bar("a", "ours", first), Bar("b", "tls", second)])]))
    assert abs(drawn[0] / drawn[1] - 2) < 0.01


def test_a_bar_far_beyond_the_others_can_be_cut_and_says_so() -> None:
    values = [Spread(each, each, each) for each in (1.0, 2.0, 3.0, 1000.0)]
    panels = [Panel("p", [Bar(str(each), "quic", each) for each in values])]
    cut = bars("t", panels, cut=True)
    assert max(widths(cut)) < 1.02 * widths(cut)[2]
    assert "▸ 1,000" in texts(cut)
    assert max(widths(bars("t", panels))) > 100 * widths(bars("t", panels))[2]


def test_names_cannot_break_the_picture() -> None:
    value = Spread(1, 1, 1)
    name = "<&\"'>"
    assert name in texts(bars(name, [Panel(name, [Bar(name, "plain", value)])]))
    assert name in texts(lines(name, [name], name, [Series(name, "plain", True, [value])]))


def test_lines_do_without_what_is_missing_or_zero() -> None:
    zero = Spread(0, 0, 0)
    svg = lines("t", ["a", "b"], "x", [Series("s", "ours", False, [zero, None])])
    assert ET.fromstring(svg).findall(f"{SVG}path")
    nothing = lines("t", ["a", "b"], "x", [Series("s", "ours", False, [None, None])])
    assert not ET.fromstring(nothing).findall(f"{SVG}path")


def test_names_at_the_ends_of_lines_do_not_overlap() -> None:
    series = [Series(name, "ours", False, [Spread(1, 1, 1)]) for name in ("one", "two", "three")]
    placed = sorted(
        float(each.attrib["y"])
        for each in ET.fromstring(lines("t", ["a"], "x", series)).iter(f"{SVG}text")
        if each.text in ("one", "two", "three")
    )
    assert placed[1] - placed[0] >= 15
    assert placed[2] - placed[1] >= 15
