"""Processes that a benchmark starts: each is heard, accounted for, and ended by its id."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Self

ROOT: Final = Path(__file__).parents[1]
STATE: Final = ROOT / "build" / "bench"
GRACE: Final = 3.0  # seconds between asking a process to end and ending it


class Failed(Exception):
    """A process that did not do what it was started for, and the last thing that it said."""


# Of a benchmark that is ended itself nothing goes on.
_WITH_THIS: Final = ("setpriv", "--pdeathsig", "TERM")


class Process:
    """One process in a session of its own, so that a Ctrl-C reaches only the benchmark, which ends it."""

    def __init__(self, command: Sequence[str]) -> None:
        self.command = command
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 -- stop() closes it
        self._popen = subprocess.Popen(
            [*_WITH_THIS, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,
            cwd=ROOT,
            text=True,
        )
        assert self._popen.stdin
        assert self._popen.stdout
        self.stdin, self.stdout = self._popen.stdin, self._popen.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def line(self, seconds: float = 20.0) -> str:
        """The next line that it prints."""
        with self._killed_after(seconds):
            line = self.stdout.readline()
        if not line:
            raise self.failure("ended without a word")
        return line.strip()

    def finish(self, seconds: float) -> tuple[str, float]:
        """What it prints until it ends, and the CPU seconds of its whole life, children included."""
        with self._killed_after(seconds):
            output = self.stdout.read()
            _, status, usage = os.wait4(self._popen.pid, 0)
        self._popen.returncode = os.waitstatus_to_exitcode(status)
        if self._popen.returncode == -signal.SIGKILL:
            raise self.failure(f"did not end within {seconds:.0f} s")
        return output, usage.ru_utime + usage.ru_stime

    def failure(self, what: str) -> Failed:
        """An error that names the program and quotes the end of what it had to say."""
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines()
        last = " ".join(line.strip() for line in said[-2:])[-300:]
        return Failed(f"{what}: {last}" if last else what)

    def ended(self) -> bool:
        """Whether it is over."""
        return self._popen.poll() is not None

    @property
    def pid(self) -> int:
        """Its id."""
        return self._popen.pid

    @property
    def succeeded(self) -> bool:
        """Whether it is over and said that all went well."""
        return self._popen.returncode == 0

    def family(self) -> frozenset[int]:
        """Its id and those of its living children, theirs included."""
        return frozenset(_with_children(self._popen.pid))

    def cpu_s(self) -> float:
        """CPU seconds so far, those of its children included, the living and those it waited for."""
        return sum(time.clock_gettime(_cpu_clock(pid)) + _waited_for(pid) for pid in self.family())

    def stop(self) -> None:
        """Ask it to end, and end it if it does not."""
        if self._popen.returncode is None:
            self._signal(signal.SIGTERM)
            try:
                self._popen.wait(GRACE)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
                self._popen.wait()
        with suppress(BrokenPipeError):
            self.stdin.close()
        self.stdout.close()
        self._errors.close()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._popen.pid, number)

    @contextmanager
    def _killed_after(self, seconds: float) -> Iterator[None]:
        timer = threading.Timer(seconds, self._signal, [signal.SIGKILL])
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def _cpu_clock(pid: int) -> int:
    """The clock of another process's CPU time, as clock_getcpuclockid(3) makes its number."""
    return (~pid << 3) | 2


def _waited_for(pid: int) -> float:
    """CPU seconds of the children that a process has seen end, as proc(5) counts them: in ticks."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system = after_name[13:15]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _with_children(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            for child in children.read_text().split():
                yield from _with_children(int(child))


def run(*command: str, stdin: str = "") -> str:
    """Output of a command that takes a moment; `Failed` with its complaint."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
    return done.stdout
