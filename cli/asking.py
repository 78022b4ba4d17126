"""Secrets come from a prompt that shows nothing, from a file or from stdin, and never from an argument."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Final

from repram.errors import RepramError, UsageError
from repram.ids import INVITE_SCHEME, SPACE_SCHEME
from repram_cli import output

_LONGEST: Final = 4096


def ask_for_line(what: str, file: Path | None) -> str:
    """One line: from the file if there is one, else from the terminal, else from stdin."""
    if file is not None:
        try:
            with file.open("rb") as source:
                return _line(source.read(_LONGEST), what)
        except OSError as error:
            raise UsageError(f"cannot read {output.shown(file)}: {error.strerror}") from None
    if not sys.stdin.isatty():
        return _line(sys.stdin.buffer.readline(_LONGEST), what)
    try:
        return getpass.getpass(f"{what} (not shown): ").strip()
    except EOFError:
        raise UsageError(f"no {what} was given") from None


def refuse_secret(argument: str, how: str) -> None:
    """An argument is seen by every user of this machine, and stays in the shell's history."""
    for scheme, what in ((INVITE_SCHEME, "an invite"), (SPACE_SCHEME, "a space")):
        if argument.strip().startswith(scheme):
            raise UsageError(
                f"{what} is a secret, and other users of this machine can see arguments",
                hint=f"{how} This one may have been seen: on a machine of many, ask for a new one.",
            )


def _line(data: bytes, what: str) -> str:
    try:
        text = data.decode("ascii").strip()
    except UnicodeDecodeError:
        raise UsageError(f"what stands there is no {what}") from None
    if not text:
        raise UsageError(f"no {what} was given")
    if len(data) == _LONGEST or "\n" in text:
        raise RepramError(f"more than the one line of {what} stands there")
    return text
