"""Commands in this very process, for what needs no process of its own: a start takes a third of a second."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from repram_cli.main import main
from tests.json_objects import objects


class Done(NamedTuple):
    """How a command went."""

    returncode: int
    stdout: str
    stderr: str


class Here:
    """Somebody's machine, as tests.processes.Machine is one."""

    def __init__(
        self,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
        *,
        host: str = "",
    ) -> None:
        self._folder = folder
        self._host = host
        self._monkeypatch = monkeypatch
        self._capfd = capfd

    def run(self, *arguments: str | Path, **environment: str) -> Done:
        folders = dict.fromkeys(("XDG_STATE_HOME", "XDG_CONFIG_HOME"), str(self._folder))
        with self._monkeypatch.context() as now:
            now.setattr(sys, "argv", ["repram", *map(str, arguments)])
            for name in ("SPACE", "TTL", "TIMEOUT", "PASSWORD_COMMAND", "QUIET", "PROFILE"):
                now.setenv(f"REPRAM_{name}", "")  # and --profile is undone with the others
            for name, value in (folders | {"REPRAM_HOST": self._host} | environment).items():
                now.setenv(name, value)
            try:
                main()
                code = 0
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else 1
        done = Done(code, *self._capfd.readouterr())
        if "--json" in arguments:
            objects(done.stdout.encode())
        return done

    def said(self, *arguments: str | Path, **environment: str) -> str:
        done = self.run(*arguments, **environment)
        assert done.returncode == 0, done.stderr
        return done.stdout
