"""Real shells at a real terminal: what is typed, and what a command called `repram` gets to see of it."""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import shutil
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.processes import REPRAM, Machine

PATIENCE = 120  # seconds: several commands of a busy machine

START = {
    "bash": (("bash", "--norc", "--noprofile", "-i"), "PS1='ready> '; bind 'set bell-style none'"),
    "zsh": (
        ("zsh", "-f", "-i"),
        "PS1='ready> '; unsetopt beep; autoload -Uz compinit; compinit -u",
    ),
}
SHOW = "repram() { for word; do printf '<%s>' \"$word\"; done; echo; }"


def present(program: str) -> str:
    """The program, or a test that says that it was not run."""
    if not shutil.which(program):
        pytest.skip(f"NOT RUN: {program} is not installed; on Debian: apt install {program}")
    return program


class Typing:
    """Somebody at an interactive bash or zsh in which `repram` prints its arguments in brackets."""

    def __init__(self, shell: str, folder: Path) -> None:
        command, setting_up = START[present(shell)]
        self._seen = b""
        environment = {
            **{name: value for name, value in os.environ.items() if name != "NO_COLOR"},
            "TERM": "dumb",
            "HOME": str(folder),
            "ZDOTDIR": str(folder),
        }
        self._child, self._terminal = pty.fork()
        if not self._child:
            os.chdir(folder)
            os.execvpe(command[0], command, environment)
        self.run(f"{setting_up}; {SHOW}; echo set-'up'", until=rb"set-up\r\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._terminal)
        os.waitpid(self._child, 0)

    def be(self, machine: Machine) -> None:
        """From now on `repram` is the real one, on that machine, and then tells its exit code."""
        where = shlex.join(f"{name}={value}" for name, value in machine.environment.items())
        command = f'env {where} {shlex.join(REPRAM)} "$@"; echo code-is-$?'
        self.run(f"repram() {{ {command}; }}; echo be-'ing'", until=rb"be-ing\r\n")

    def run(self, keys: str, *, until: bytes = rb"(<[^\r\n]*>)\r\n") -> str:
        """Type it and press return; what the pattern finds in what the terminal then shows."""
        os.write(self._terminal, f"{keys}\n".encode())
        end = time.monotonic() + PATIENCE
        while not (found := re.search(until, self._seen)):
            ready, _, _ = select.select([self._terminal], [], [], max(0, end - time.monotonic()))
            assert ready, f"the shell shows {self._seen!r}"
            self._seen += os.read(self._terminal, 65536)
        self._seen = self._seen[found.end() :]
        return found[found.lastindex or 0].decode()
