"""What a terminal would show is drawn, row by row, for as long as it stood there."""

from __future__ import annotations

import sys
from itertools import chain
from xml.etree import ElementTree as ET

import pytest

from bench.recording import AT_THE_END, COLUMNS, PAUSE, ROWS, SHOWN, Screen, frames, record, svg

SVG = "{http://www.w3.org/2000/svg}"


def lines(screen: Screen) -> list[str]:
    return ["".join(cell.character for cell in row).rstrip() for row in screen.rows]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("one\r\ntwo", ["one", "two"]),
        ("one\rtwo", ["two"]),
        ("long one\rshort\x1b[K", ["short"]),
        ("\x1b[1mbold\x1b[0m plain", ["bold plain"]),
        ("one\r\n\x1b[Atwo", ["two"]),
        ("x" * COLUMNS + "y", ["x" * COLUMNS, "y"]),
        ("x" * COLUMNS + "\r\ny", ["x" * COLUMNS, "y"]),
    ],
)
def test_a_screen_shows_what_a_terminal_would(written: str, shown: list[str]) -> None:
    screen = Screen()
    screen.feed(written)
    assert lines(screen) == shown + [""] * (ROWS - len(shown))


def test_a_full_screen_scrolls() -> None:
    screen = Screen()
    screen.feed("\r\n".join(str(number) for number in range(ROWS + 3)))
    assert lines(screen) == [str(number) for number in range(3, ROWS + 3)]


def test_what_is_written_stands_until_it_is_replaced() -> None:
    drawn = ET.fromstring(svg(frames(iter([(1.0, "expires in 2 s"), (60.0, "\r\x1b[K<gone>")]))))
    texts = {each.text: group for group in drawn.iter(f"{SVG}g") for each in group}
    assert "last" not in texts["expires in 2 s"].attrib["class"]
    assert "last" in texts["<gone>"].attrib["class"]
    assert f"$ {SHOWN}" in texts


def test_a_long_pause_is_shortened() -> None:
    shown = frames(iter([(1.0, "a"), (60.0, "b")]))
    assert shown[-1][0] - shown[-2][0] == pytest.approx(PAUSE)
    assert f"{shown[-1][0] + AT_THE_END:.1f}s" in svg(shown)


def test_a_program_is_given_a_terminal() -> None:
    program = "import os, sys; print(sys.stdout.isatty(), os.get_terminal_size().columns)"
    said = "".join(text for _, text in record((sys.executable, "-c", program)))
    assert said.split() == ["True", str(COLUMNS)]


def test_nothing_is_drawn_of_a_program_that_fails() -> None:
    with pytest.raises(SystemExit, match="ended with 3: nothing was drawn"):
        list(chain(record((sys.executable, "-c", "raise SystemExit(3)"))))
