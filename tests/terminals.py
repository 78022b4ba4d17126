"""Commands that talk to a person: a real process on a pseudo-terminal of its own."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

PATIENCE = 60  # seconds


class Terminal:
    """What a person sees, and types."""

    def __init__(self, process: subprocess.Popen[bytes], screen: int) -> None:
        self.process = process
        self.seen = b""
        self._screen = screen
        self._read = 0

    def until(self, text: str) -> None:
        """Wait until it is shown, behind what was waited for before."""
        deadline = time.monotonic() + PATIENCE
        while (at := self.seen.find(text.encode(), self._read)) < 0:
            assert time.monotonic() < deadline, self.seen
            assert self._more(deadline), self.seen
        self._read = at + len(text.encode())

    def type(self, line: str) -> None:
        """A line, and Enter."""
        os.write(self._screen, line.encode() + b"\n")

    def ended(self) -> int:
        """See the rest; the exit code."""
        deadline = time.monotonic() + PATIENCE
        while self._more(deadline):
            pass
        return self.process.wait(PATIENCE)

    def _more(self, deadline: float) -> bool:
        readable, _, _ = select.select([self._screen], [], [], max(deadline - time.monotonic(), 0))
        try:
            data = os.read(self._screen, 65_536) if readable else b""
        except OSError:  # on Linux: nobody has the other end any more
            return False
        self.seen += data
        return bool(data)


@contextmanager
def terminal(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[Terminal]:
    """Run it there."""
    screen, theirs = pty.openpty()

    def take_the_terminal() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    with subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        start_new_session=True,
        preexec_fn=take_the_terminal,  # noqa: PLW1509  # a child has but one thread
    ) as process:
        os.close(theirs)
        try:
            yield Terminal(process, screen)
        finally:
            process.kill()
            os.close(screen)
