"""`account …` and `id`: who I am to others, and the password that lets me be it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from repram.errors import WrongPassword
from repram.ids import format_duration, parse_duration
from repram_cli import output
from repram_cli.asking import (
    NEW_PASSWORD_VARIABLE,
    PasswordCommand,
    PasswordFile,
    ask_for_line,
    asked_password,
    given_password,
)
from repram_cli.options import Json, Quiet

if TYPE_CHECKING:
    from repram.crypto.recovery import RecoveryKey

T = TypeVar("T")

app = typer.Typer(
    help="My account: the key that others seal to, under a password.", no_args_is_help=True
)

NewPasswordFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The new password is the line in this file."),
]
NewPasswordCommand = Annotated[
    str | None,
    typer.Option(metavar="COMMAND", help="The new password is the line that this prints."),
]
_TRIES: Final = 3
_PASSWORD: Final = "password of the account"  # noqa: S105  # what is asked for
_NEW: Final = "new password of the account"


@app.command()
def create(
    *,
    password_file: PasswordFile = None,
    password_command: PasswordCommand = None,
    json: Json = False,
    quiet: Quiet,
) -> None:
    """Make an account here, and print its recovery key, this once."""
    from repram.sdk.account import Account

    account = Account()
    account.refuse_a_second()  # before a password is asked for
    password = asked_password(_PASSWORD, file=password_file, command=password_command, twice=True)
    recovery = account.create(password)
    if not quiet:
        output.say(f"made: {account.person()}")
    _tell_recovery_key(recovery, account.path, str(account.person()), json=json, quiet=quiet)


@app.command()
def passwd(
    *,
    password_file: PasswordFile = None,
    password_command: PasswordCommand = None,
    new_password_file: NewPasswordFile = None,
    new_password_command: NewPasswordCommand = None,
    new_recovery_key: Annotated[
        bool, typer.Option("--new-recovery-key", help="Replace the recovery key, too.")
    ] = False,
    json: Json = False,
    quiet: Quiet,
) -> None:
    """Change the password; the recovery key stays as it is."""
    from repram.sdk.account import Account

    account = Account()
    seed = _tried(account.open, file=password_file, command=password_command)
    new = _asked_new(new_password_file, new_password_command)
    recovery = account.change_password(seed, new, renew_recovery=new_recovery_key)
    if not quiet:
        output.say("changed: the old password opens old copies of the keystore alone")
    if recovery is not None:
        _tell_recovery_key(recovery, account.path, str(account.person()), json=json, quiet=quiet)


@app.command()
def recover(
    *,
    recovery_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The recovery key's words are the line in this file."),
    ] = None,
    new_password_file: NewPasswordFile = None,
    new_password_command: NewPasswordCommand = None,
    quiet: Quiet,
) -> None:
    """Set a new password with the recovery key, which stays as it is."""
    from repram.crypto.recovery import RecoveryKey
    from repram.sdk.account import Account

    account = Account()
    account.person()  # before anything is asked for
    seed = account.open_with(RecoveryKey.parse(ask_for_line("recovery key", recovery_file)))
    account.change_password(seed, _asked_new(new_password_file, new_password_command))
    if not quiet:
        output.say("recovered: the new password opens the account, and so does the recovery key")


@app.command()
def show(*, json: Json = False) -> None:
    """Say whose account it is, where its keystore is, and whether it is unlocked."""
    from repram.sdk.account import Account

    account = Account()
    person, left = account.person(), account.agent().remaining()
    if json:
        seconds = (left or 0) // 1_000
        output.event("account", id=str(person), keystore=str(account.path), unlocked_for=seconds)
        return
    output.data(str(person))
    output.data(f"keystore {output.shown(account.path)}")
    output.data("locked" if left is None else f"unlocked for {format_duration(left)}")


@app.command()
def unlock(
    *,
    for_: Annotated[
        str, typer.Option("--for", metavar="TIME", help="How long it stays unlocked.")
    ] = "1h",
    password_file: PasswordFile = None,
    password_command: PasswordCommand = None,
    quiet: Quiet,
) -> None:
    """Have an agent in the background hold the account's key, so that no password is asked for."""
    from repram.sdk.account import Account

    lifetime = parse_duration(for_)
    account = Account()
    seed = _tried(account.open, file=password_file, command=password_command)
    account.agent().start(seed, lifetime)
    if not quiet:
        output.say(f"unlocked for {format_duration(lifetime)}; `repram account lock` ends it")


@app.command()
def lock(*, quiet: Quiet) -> None:
    """Have the agent forget the account's key now."""
    from repram.sdk.account import Account

    was_unlocked = Account().agent().lock()
    if not quiet:
        output.say("locked" if was_unlocked else "it was locked already")


def id_(*, json: Json = False) -> None:
    """Print my public key, for others to seal to: `repram upload --to` takes it."""
    from repram.sdk.account import Account

    person = Account().person()
    if json:
        output.event("person", id=str(person))
    else:
        output.data(str(person))


def _tried(use: Callable[[str], T], *, file: Path | None, command: str | None) -> T:
    """With the password that was given, once; else with what is typed, three times."""
    given = given_password(_PASSWORD, file=file, command=command)
    if given is not None:
        return use(given)
    for _ in range(_TRIES - 1):
        try:
            return use(asked_password(_PASSWORD))
        except WrongPassword as error:
            output.report(error)
    return use(asked_password(_PASSWORD))


def _asked_new(file: Path | None, command: str | None) -> str:
    return asked_password(
        _NEW, file=file, command=command, variable=NEW_PASSWORD_VARIABLE, twice=True
    )


def _tell_recovery_key(
    recovery: RecoveryKey, keystore: Path, person: str, *, json: bool, quiet: bool
) -> None:
    words = recovery.words()
    if json:
        output.event("recovery", id=person, words=words)
    elif sys.stdout.isatty():
        for line in _numbered(words.split()):
            output.data(line)
    else:
        output.data(words)
    if quiet:
        return
    if sys.stderr.isatty():
        output.qr(words)
    output.say("the recovery key: write these words down, in order; they are not shown again")
    output.say(f"with them and {output.shown(keystore)} a forgotten password can be replaced,")
    output.say("so keep a copy of that file, too: it is useless without the words or the password")


def _numbered(words: list[str]) -> list[str]:
    """Four in a line, as they are best copied to paper."""
    cells = [f"{number:2} {word:<10}" for number, word in enumerate(words, 1)]
    return ["".join(cells[start : start + 4]).rstrip() for start in range(0, len(cells), 4)]
