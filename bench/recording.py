"""`make recording` draws docs/demo.svg: what `make demo` shows on a terminal, as a picture that moves."""

from __future__ import annotations

import argparse
import codecs
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from fcntl import ioctl
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

from bench.processes import ROOT

SHOWN: Final = "make demo"
COMMAND: Final = (sys.executable, "-m", "repram_cli.demo")
COLUMNS: Final = 100
ROWS: Final = 32
LONGEST: Final = 120.0  # seconds
FRAME: Final = 0.1  # seconds in which changes are one picture
PAUSE: Final = 0.9  # longer ones are told as if they were this long
AT_THE_END: Final = 6.0

CELL: Final = 8.43
LINE: Final = 17
MARGIN: Final = 18
BAR: Final = 34
STYLE: Final = """
.ground { fill: #0d1117; } text { font: 14px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
fill: #c9d1d9; white-space: pre; } .bold { font-weight: 700; fill: #ffffff; } .block { fill: #ffffff; }
.line { visibility: hidden; animation-duration: %.1fs; animation-timing-function: step-end;
animation-iteration-count: infinite; }
@media (prefers-reduced-motion: reduce) { .line { animation: none; } .last { visibility: visible; } }
"""
# Of a cell: left, top, width and height of what is filled, in cells.
BLOCKS: Final = {"█": (0, 0, 1, 1), "▀": (0, 0, 1, 0.5), "▄": (0, 0.5, 1, 0.5)}
CONTROL: Final = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\x1b[()][A-Z0-9]|([\r\n\b])")


class Cell(NamedTuple):
    """One character, and whether it is bold."""

    character: str = " "
    bold: bool = False


Row = tuple[Cell, ...]
EMPTY: Final[Row] = (Cell(),) * COLUMNS


class Screen:
    """As much of a terminal as the demo uses."""

    def __init__(self) -> None:
        self.rows: list[Row] = [EMPTY] * ROWS
        self._row = self._column = 0
        self._bold = False

    def feed(self, text: str) -> None:
        """What a program writes."""
        at = 0
        for found in CONTROL.finditer(text):
            self._write(text[at : found.start()])
            self._control(found[1] or "", found[2] or found[3] or "")
            at = found.end()
        self._write(text[at:])

    def _write(self, text: str) -> None:
        for character in text:
            if self._column == COLUMNS:
                self._next_line()
                self._column = 0
            row = list(self.rows[self._row])
            row[self._column] = Cell(character, self._bold)
            self.rows[self._row] = tuple(row)
            self._column += 1

    def _control(self, numbers: str, what: str) -> None:
        match what:
            case "\n":
                self._next_line()
            case "\r":
                self._column = 0
            case "\b":
                self._column = max(0, self._column - 1)
            case "K":
                start = 0 if numbers == "2" else self._column
                self.rows[self._row] = self.rows[self._row][:start] + EMPTY[start:]
            case "A":
                self._row = max(0, self._row - int(numbers or 1))
            case "m":
                self._bold = "1" in numbers.split(";")

    def _next_line(self) -> None:
        self._row += 1
        if self._row == ROWS:
            self.rows = [*self.rows[1:], EMPTY]
            self._row -= 1


# ---- recording ----


def record(command: tuple[str, ...]) -> Iterator[tuple[float, str]]:
    """What a command writes to a terminal, and when."""
    terminal, inside = pty.openpty()
    ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environment = os.environ | {"TERM": "xterm-256color"}
    program = subprocess.Popen(
        command,
        stdin=inside,
        stdout=inside,
        stderr=inside,
        start_new_session=True,
        cwd=ROOT,
        env=environment,
    )
    os.close(inside)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    started = time.monotonic()
    try:
        while (data := _read(terminal, started + LONGEST)) is not None:
            yield time.monotonic() - started, decoder.decode(data)
    except BaseException:
        program.terminate()
        raise
    finally:
        os.close(terminal)
        program.wait()
    if program.returncode:
        raise SystemExit(f"the demo ended with {program.returncode}: nothing was drawn")


def _read(terminal: int, deadline: float) -> bytes | None:
    if not select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0]:
        raise SystemExit(f"the demo took more than {LONGEST:.0f} s")
    try:
        return os.read(terminal, 1 << 16) or None
    except OSError:  # as Linux tells that the other side is closed
        return None


def frames(written: Iterator[tuple[float, str]]) -> list[tuple[float, list[Row]]]:
    """What stands on the screen from which moment on; long pauses are shortened."""
    screen = Screen()
    screen.feed("$ ")
    shown: list[tuple[float, list[Row]]] = [(0.0, list(screen.rows))]
    now = 0.6
    for character in SHOWN:
        screen.feed(character)
        shown.append((now, list(screen.rows)))
        now += 0.07
    screen.feed("\r\n")
    last = 0.0
    for when, text in written:
        screen.feed(text)
        pause, last = when - last, when
        now += min(pause, PAUSE)
        if screen.rows == shown[-1][1]:
            continue
        if now - shown[-1][0] < FRAME:
            shown[-1] = (shown[-1][0], list(screen.rows))
        else:
            shown.append((now, list(screen.rows)))
    return shown


# ---- drawing ----


class Spell(NamedTuple):
    """A row that stands somewhere from one moment to another."""

    number: int
    row: Row
    start: float
    end: float


def spells(shown: Sequence[tuple[float, list[Row]]], end: float) -> Iterator[Spell]:
    """Every row's, but the empty ones."""
    moments = [*(when for when, _ in shown), end]
    for number in range(ROWS):
        at = 0
        for row, alike in groupby(rows[number] for _, rows in shown):
            after = at + len(list(alike))
            if row != EMPTY:
                yield Spell(number, row, moments[at], moments[after])
            at = after


def svg(shown: Sequence[tuple[float, list[Row]]]) -> str:
    """The picture; whoever wants none that move sees how it ends."""
    end = shown[-1][0] + AT_THE_END
    every = list(spells(shown, end))
    times = {(spell.start, spell.end): f"t{at}" for at, spell in enumerate(every)}
    keyframes = "\n".join(_keyframes(name, *between, end) for between, name in times.items())
    drawn = "\n".join(_drawn(spell, times[spell.start, spell.end], end) for spell in every)
    used = 1 + max(spell.number for spell in every)
    width, height = 2 * MARGIN + COLUMNS * CELL, BAR + used * LINE + MARGIN
    dots = "".join(
        f'<circle cx="{MARGIN + at * 18}" cy="18" r="5.5" fill="{colour}"/>'
        for at, colour in enumerate(("#ff5f56", "#ffbd2e", "#27c93f"))
    )
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img">
<title>repram: a file is sealed, stored, fetched by its link, and gone on time</title>
<style>{STYLE % end}{keyframes}</style>
<rect class="ground" width="100%" height="100%" rx="8"/>{dots}
{drawn}
</svg>
"""


def _keyframes(name: str, start: float, end: float, whole: float) -> str:
    begins = f"{start / whole:.2%}{{visibility:visible}}"
    before = "0%{visibility:hidden}" if start else ""
    after = f"{end / whole:.2%}{{visibility:hidden}}" if end < whole else ""
    return f"@keyframes {name}{{{before}{begins}{after}}}.{name}{{animation-name:{name}}}"


def _drawn(spell: Spell, name: str, whole: float) -> str:
    kind = f"line {name}" + (" last" if spell.end == whole else "")
    top = BAR + spell.number * LINE
    parts: list[str] = []
    column = 0
    for (bold, block), cells in groupby(spell.row, lambda cell: (cell.bold, cell[0] in BLOCKS)):
        text = "".join(cell.character for cell in cells)
        if block:
            parts += (_block(each, column + at, top) for at, each in enumerate(text))
        elif text.strip():
            parts.append(_text(text, column, top, bold=bold))
        column += len(text)
    return f'<g class="{kind}">{"".join(parts)}</g>'


def _text(text: str, column: int, top: float, *, bold: bool) -> str:
    """As wide as its cells, whatever font there is."""
    start = column + len(text) - len(text.lstrip())
    text = text.strip()
    kind = ' class="bold"' if bold else ""
    return (
        f'<text{kind} x="{MARGIN + start * CELL:.1f}" y="{top + 13:.0f}" '
        f'textLength="{len(text) * CELL:.1f}" lengthAdjust="spacingAndGlyphs">{escape(text)}</text>'
    )


def _block(character: str, column: int, top: float) -> str:
    left, upper, width, height = BLOCKS[character]
    return (
        f'<rect class="block" x="{MARGIN + (column + left) * CELL:.2f}" y="{top + upper * LINE:.1f}" '
        f'width="{width * CELL + 0.1:.2f}" height="{height * LINE + 0.1:.2f}"/>'
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.recording", description=__doc__)
    parser.add_argument("target", nargs="?", type=Path, default=ROOT / "docs" / "demo.svg")
    target = parser.parse_args().target
    target.write_text(svg(frames(record(COMMAND))))
    print(target)


if __name__ == "__main__":
    main()
