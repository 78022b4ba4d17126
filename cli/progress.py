"""A transfer under way: a bar with rate and time left on a terminal, JSON objects with --json."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from repram.content.names import shown
from repram.ids import format_size
from repram_cli import output

if TYPE_CHECKING:
    from repram.sdk import Event, LeftOut, Moved, Transfer

T = TypeVar("T")

KINDS: Final = {
    "Began": "began",
    "Moved": "progress",
    "Trouble": "trouble",
    "LeftOut": "left_out",
    "Finished": "finished",
}


class Teller(Protocol):
    """How a transfer is told."""

    def moved(self, event: Moved) -> None:
        """Some bytes have gone."""

    def say(self, line: str) -> None:
        """A line for the person."""

    def end(self) -> None:
        """Nothing more comes."""


async def followed(transfer: Transfer[T], title: str, *, json: bool, quiet: bool) -> T:
    """What the transfer ends with; meanwhile it is told what happens, and what does not travel."""
    from repram.sdk import Moved

    teller: Teller = _Bar(title) if sys.stderr.isatty() and not (quiet or json) else _Lines(json)
    last = time.monotonic()
    try:
        async for event in transfer:
            if not isinstance(event, Moved):
                _tell(event, teller, json=json, quiet=quiet)
            elif not quiet and not (json and time.monotonic() - last < 1):
                last = time.monotonic()
                teller.moved(event)
        return await transfer
    finally:
        teller.end()


def _tell(event: Event, teller: Teller, *, json: bool, quiet: bool) -> None:
    from repram.sdk import Began, LeftOut, Trouble

    if quiet and not isinstance(event, LeftOut):
        return  # what was asked for and does not travel is told however quiet it is to be
    if json:
        output.event(KINDS[type(event).__name__], **asdict(event))
    match event:
        case LeftOut():
            teller.say(left_out(event))
        case Trouble():
            teller.say(f"{shown(event.host)}: {event.message}")
        case Began(resumed=before) if before:
            teller.say(f"going on behind the first {format_size(before)}")
        case _:
            pass


def left_out(event: LeftOut) -> str:
    """A line for the person."""
    return f"left out: {shown(event.path)}: {event.why}"


class _Lines:
    """No terminal, or none that is to be drawn on."""

    def __init__(self, json: bool) -> None:
        self._json = json

    def moved(self, event: Moved) -> None:
        """For programs alone."""
        if self._json:
            output.event(KINDS["Moved"], **asdict(event))

    def say(self, line: str) -> None:
        """As any other."""
        output.say(line)

    def end(self) -> None:
        """Lines need no end."""


class _Bar:
    """Drawn from the first bytes on, so that a password can be asked for before."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._shown: Any = None
        self._task: Any = None

    def moved(self, event: Moved) -> None:
        """Draw it."""
        if self._shown is None:
            self._start()
        self._shown.update(self._task, completed=event.done, total=event.total)

    def say(self, line: str) -> None:
        """Above the bar."""
        if self._shown is None:
            output.say(line)
        else:
            self._shown.console.print(line, markup=False, highlight=False)

    def end(self) -> None:
        """Take it away."""
        if self._shown is not None:
            self._shown.stop()

    def _start(self) -> None:
        from rich import progress as rich  # only a terminal pays for its import
        from rich.console import Console

        columns = (
            rich.TextColumn("{task.description}", markup=False),
            rich.BarColumn(),
            rich.DownloadColumn(binary_units=True),
            rich.TransferSpeedColumn(),
            rich.TimeRemainingColumn(),
        )
        self._shown = rich.Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._shown.add_task(self._title, total=None)
        self._shown.start()
