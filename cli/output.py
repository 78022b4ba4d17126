"""Where output goes: data to stdout, everything for people to stderr."""

from __future__ import annotations

import io
import json
import sys
from contextvars import ContextVar
from pathlib import Path
from typing import Final

import msgspec

from repram.content.names import shown as shown_name
from repram.errors import RepramError

_errors_as_json: Final = ContextVar("errors as json", default=False)


def data(line: str) -> None:
    """One line of data."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def event(kind: str, /, **fields: object) -> None:
    """One JSON object with its `type`, on a line of its own; names that are no UTF-8 come back from it."""
    data(json.dumps(msgspec.to_builtins({"type": kind, **fields}), separators=(",", ":")))


def say(line: str) -> None:
    """One line for the person."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def shown(path: Path) -> str:
    """A path as a terminal may show it."""
    return shown_name(str(path))


def errors_as_json(wanted: bool) -> bool:
    """With --json an error is an object, too."""
    _errors_as_json.set(wanted)
    return wanted


def report(error: RepramError) -> None:
    """What happened, and on a line of its own what to do next."""
    if _errors_as_json.get():
        event("error", code=error.exit_code, message=str(error), hint=error.hint)
    say(f"repram: {error}")
    if error.hint:
        say(f"  {error.hint}")


def qr(text: str) -> None:
    """A QR code for the person; on a terminal black on white, whatever its own colours are."""
    import segno  # most verbs show none

    drawn = io.StringIO()
    segno.make_qr(text, error="l").terminal(drawn, border=2, compact=True)
    start, end = ("\033[97;40m", "\033[0m") if sys.stderr.isatty() else ("", "")
    for line in drawn.getvalue().splitlines():
        say(f"{start}{line}{end}")


def raw(value: bytes) -> None:
    """Bytes as they are; on a terminal the prompt comes on a line of its own."""
    sys.stdout.buffer.write(value)
    if sys.stdout.isatty() and not value.endswith(b"\n"):
        sys.stdout.buffer.write(b"\n")
    sys.stdout.flush()


def stdin_up_to(limit: int) -> bytes:
    """All of standard input, or one byte more than the limit."""
    return sys.stdin.buffer.read(limit + 1)


def stdin() -> io.FileIO:
    """Standard input without a buffer: a reader that is cancelled leaves no lock behind."""
    return io.FileIO(sys.stdin.fileno(), closefd=False)


def stdout() -> io.FileIO:
    """Standard output without a buffer."""
    sys.stdout.flush()
    return io.FileIO(sys.stdout.fileno(), "w", closefd=False)
