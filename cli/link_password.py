"""The password of a link: what was given for it, else what the person types."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from repram.errors import WrongPassword
from repram_cli import output, settings
from repram_cli.asking import asked_password, given_password, typed

OF_LINK: Final = "password of the link"
OF_ACCOUNT: Final = "password of the account"
_TRIES: Final = 3


def chosen(file: Path | None, command: str | None, *, wanted: bool) -> str | None:
    """For an upload: one that was given locks it, and one that is wanted is asked for, twice."""
    given = given_password(OF_LINK, file=file, command=command)
    if given is not None or not wanted:
        return given
    return asked_password(OF_LINK, command=settings.text_or_none("password_command")(), twice=True)


class Asked:
    """For a download, when one is needed: what was given, else what is typed, three times."""

    def __init__(self, what: str, *, file: Path | None = None, command: str | None = None) -> None:
        self._what = what
        self._file = file
        self._command = command
        self._typed = 0

    async def __call__(self, wrong_before: bool) -> str | None:
        """The next one to try."""
        given = given_password(self._what, file=self._file, command=self._command)
        usual = settings.text_or_none("password_command")() if self._what == OF_LINK else None
        if given is None and usual is not None:
            given = given_password(self._what, command=usual)
        if wrong_before and (given is not None or self._typed == _TRIES):
            raise WrongPassword
        if given is not None:
            return given
        if wrong_before:
            output.say("wrong; once more")
        self._typed += 1
        return await typed(self._what)
