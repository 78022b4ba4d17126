"""Secrets come from a prompt that shows nothing, a file, a command or stdin, and never from an argument."""

from __future__ import annotations

import getpass
import os
import shlex
import subprocess
import sys
import termios
from pathlib import Path
from typing import Annotated, Final

import typer

from repram.errors import Cancelled, RepramError, UsageError
from repram.ids import INVITE_SCHEME, SPACE_SCHEME
from repram_cli import output

PasswordFile = Annotated[
    Path | None,
    typer.Option("--password-file", metavar="FILE", help="The password is the line in this file."),
]
PasswordCommand = Annotated[
    str | None,
    typer.Option(
        "--password-command", metavar="COMMAND", help="The password is the line that this prints."
    ),
]

PASSWORD_VARIABLE: Final = "REPRAM_PASSWORD"  # noqa: S105  # a name, and no password
NEW_PASSWORD_VARIABLE: Final = "REPRAM_NEW_PASSWORD"  # noqa: S105  # as above

_LONGEST: Final = 4096
_TRIES: Final = 3


def asked_password(
    what: str,
    *,
    file: Path | None = None,
    command: str | None = None,
    variable: str = PASSWORD_VARIABLE,
    twice: bool = False,
) -> str:
    """A password from the file, the command or the variable that gives one, else from the terminal."""
    given = given_password(what, file=file, command=command, variable=variable)
    if given is not None:
        return given
    if not _has_terminal():
        raise _no_terminal(what, variable)
    for _ in range(_TRIES):
        password = _checked(_prompted(what))
        if not twice or _checked(_prompted(f"{what} again")) == password:
            return password
        output.say("the two are different; once more")
    raise UsageError(f"the {what} was not typed alike twice", hint="Nothing was changed.")


def given_password(
    what: str,
    *,
    file: Path | None = None,
    command: str | None = None,
    variable: str = PASSWORD_VARIABLE,
) -> str | None:
    """What was given without asking; None when nothing was."""
    if file is not None and command is not None:
        raise UsageError(
            f"the {what} cannot come from both a file and a command", hint="Give one of the two."
        )
    if file is not None:
        return _checked(_only_line(_read(file), what, output.shown(file)))
    if command is not None:
        return _checked(_only_line(_printed_by(command, what), what, "the command's output"))
    value = os.environ.get(variable)
    return None if value is None else _checked(value)


async def typed(what: str) -> str:
    """A password from the terminal while a session waits; Ctrl-C ends it, and echo is as before."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        raise _no_terminal(what, PASSWORD_VARIABLE) from None
    import asyncio

    before = termios.tcgetattr(terminal)
    hidden = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    try:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, hidden)
        os.write(terminal, f"{what} (not shown): ".encode())
        loop.add_reader(terminal, ready.set)
        await ready.wait()
        return _checked(_only_line(os.read(terminal, _LONGEST), what, "what was typed"))
    finally:
        loop.remove_reader(terminal)
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
        os.write(terminal, b"\n")
        os.close(terminal)


def without_passwords() -> dict[str, str]:
    """The environment for a child, which is to see none of what was given to us in it."""
    secret = (PASSWORD_VARIABLE, NEW_PASSWORD_VARIABLE)
    return {name: value for name, value in os.environ.items() if name not in secret}


def ask_for_line(what: str, file: Path | None) -> str:
    """One line: from the file if there is one, else from the terminal, else from stdin."""
    if file is not None:
        return _line(_read(file), what)
    if not sys.stdin.isatty():
        return _line(sys.stdin.buffer.readline(_LONGEST), what)
    return _prompted(what).strip()


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


def _prompted(what: str) -> str:
    try:
        return getpass.getpass(f"{what} (not shown): ")
    except EOFError:
        raise UsageError(f"no {what} was given") from None
    except KeyboardInterrupt:
        output.say("")  # the prompt's line ends here
        raise Cancelled("interrupted") from None


def _no_terminal(what: str, variable: str) -> UsageError:
    return UsageError(
        f"no {what} was given, and there is no terminal to ask at",
        hint=f"Give it with --password-file or --password-command, or in ${variable}.",
    )


def _has_terminal() -> bool:
    """Where stdin is data a terminal can be there all the same."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as source:
            return source.read(_LONGEST)
    except OSError as error:
        raise UsageError(f"cannot read {output.shown(file)}: {error.strerror}") from None


def _printed_by(command: str, what: str) -> bytes:
    """Run without a shell; what it says on stderr is the person's to read."""
    try:
        words = shlex.split(command)
        done = subprocess.run(  # noqa: S603  # the person's own command
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=without_passwords(),
            check=False,
        )
    except (ValueError, IndexError):
        raise UsageError(f"the command for the {what} is no command line") from None
    except OSError as error:
        raise UsageError(f"cannot run the command for the {what}: {error.strerror}") from None
    except KeyboardInterrupt:
        raise Cancelled("interrupted") from None
    if done.returncode != 0:
        raise UsageError(
            f"the command for the {what} ended with {done.returncode}",
            hint="Run it by itself: it has to print one line and to end with 0.",
        )
    return done.stdout[:_LONGEST]


def _only_line(data: bytes, what: str, where: str) -> str:
    """A password may start or end with blanks, so nothing but the line's end is taken off."""
    line, _, rest = data.partition(b"\n")
    try:
        text = line.removesuffix(b"\r").decode()
    except UnicodeDecodeError:
        raise UsageError(f"{where} is no text, and a {what} belongs there") from None
    if rest.strip() or len(data) == _LONGEST:
        raise UsageError(f"{where} has more than the one line of a {what}")
    if not text:
        raise UsageError(f"{where} is empty, and a {what} belongs there")
    return text


def _checked(password: str) -> str:
    from repram.crypto.passwords import password_bytes

    return password_bytes(password).decode()
