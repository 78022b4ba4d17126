"""Real processes: a node and the commands that people type."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tests.json_objects import objects

REPRAM = (sys.executable, "-m", "repram_cli")
TYPED = Path(__file__).parent / "typed.py"
ENVIRONMENT = {
    key: value
    for key, value in os.environ.items()
    if not key.startswith("REPRAM_") or key == "REPRAM_SUITE"  # the whole suite runs under either
} | {
    "XDG_STATE_HOME": (_nobody := tempfile.mkdtemp(prefix="repram-tests-")),
    "XDG_CONFIG_HOME": _nobody,
    "XDG_RUNTIME_DIR": _nobody,  # short enough for the names of sockets, which tell folders apart
}  # nobody's hosts, spaces and settings; a test that makes some gives a folder of its own
atexit.register(shutil.rmtree, _nobody, ignore_errors=True)


def repram(
    *arguments: str | Path, stdin: bytes = b"", cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Run one command to its end; what it prints with --json is what the schema says."""
    prepared = _prepared().fileno()
    done = subprocess.run(
        [sys.executable, "-IS", TYPED, str(prepared), *map(str, arguments)],
        pass_fds=[prepared],
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
        cwd=cwd,
        env=ENVIRONMENT | environment,
    )
    if "--json" in arguments:
        objects(done.stdout)
    return done


class Machine:
    """Somebody's machine: commands that share one folder for state and settings."""

    def __init__(self, folder: Path, *, host: str | None = None) -> None:
        self.environment = {
            "XDG_STATE_HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder),
        } | ({"REPRAM_HOST": host} if host else {})

    def run(
        self, *arguments: str | Path, stdin: bytes = b"", **environment: str
    ) -> subprocess.CompletedProcess[bytes]:
        return repram(*arguments, stdin=stdin, cwd=None, **self.environment | environment)

    def said(self, *arguments: str | Path, stdin: bytes = b"", **environment: str) -> str:
        done = self.run(*arguments, stdin=stdin, **environment)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def start(self, *arguments: str, stdin: int | None = None) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*REPRAM, *arguments],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT | self.environment,
        )


@cache
def _prepared() -> socket.socket:
    """Of the process that becomes the commands, as long as this one lives."""
    ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.prepared", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=ENVIRONMENT,
            cwd=Path(__file__).parents[1],
            start_new_session=True,  # there is no terminal to ask at, wherever the tests are run
        )
    atexit.register(process.wait)
    atexit.register(ours.close)  # the last that is registered comes first
    return ours


def resident(process: int) -> int:
    """Bytes of its memory that are there."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Node:
    """A node that is up: its address is the line that says so."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout
        self.process = process
        self.address = process.stdout.readline().decode().strip()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Ask it to stop; its exit code and what it logged."""
        self.process.send_signal(number)
        _, logged = self.process.communicate(timeout=30)
        return self.process.returncode, logged.decode()


@contextmanager
def node(*options: str | Path, by: Sequence[str] = REPRAM) -> Iterator[Node]:
    """A public node on a free port of this machine."""
    command = [
        *by,
        "storaged",
        "run",
        "--public",
        "--listen",
        "127.0.0.1:0",
        *map(str, options),
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT
    ) as process:
        try:
            yield Node(process)
        finally:
            process.kill()
