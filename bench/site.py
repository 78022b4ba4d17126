"""Where files are handed over: two sides of a link, a folder for one turn, and what goes from A to B."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Self, TypeAlias

from bench.links import Link, Side
from bench.processes import Failed, Process

Move: TypeAlias = Literal["upload", "download", "handover"]

PATIENCE: Final = 120.0  # seconds that one move may take
READY_WITHIN: Final = 20.0
FOLDERS: Final = 100  # that small files are spread over
SMALL: Final = (1 << 10, 16 << 10)  # bytes of the least and the largest of them
PIECE: Final = 1 << 24
WARM: Final = 2.5  # times the load
LISTENING: Final = "0A"  # as /proc/net/tcp tells it


@dataclass(frozen=True, slots=True)
class Load:
    """One file, or a folder of many small ones; alone in the folder where it is."""

    path: Path
    bytes: int
    files: int

    @classmethod
    def one(cls, folder: Path, size: int) -> Self:
        """A file that nothing can compress, nor find twice the same piece in."""
        folder.mkdir()
        path = folder / "one.bin"
        with path.open("wb") as file:
            for at in range(0, size, PIECE):
                file.write(os.urandom(min(PIECE, size - at)))
        return cls(path, size, 1)

    @classmethod
    def many(cls, folder: Path, count: int) -> Self:
        """The same tree whenever it is made."""
        chance = random.Random(count)
        top = folder / "many"
        total = 0
        for number in range(count):
            inner = top / f"folder {number % FOLDERS:02}"
            inner.mkdir(parents=True, exist_ok=True)
            content = chance.randbytes(chance.randint(*SMALL))
            (inner / f"file {number:05}").write_bytes(content)
            total += len(content)
        return cls(top, total, count)


@dataclass(frozen=True, slots=True)
class Carried:
    """One move, what it took on either side, and what its command printed."""

    move: Move
    seconds: float
    cpu_s_a: float
    cpu_s_b: float
    printed: str = ""


class Site:
    """One turn: processes on either side, and the folder in which all that they write is."""

    def __init__(self, link: Link, load: Load, folder: Path) -> None:
        self.link = link
        self.load = load
        self.folder = folder
        self.got = folder / "got"
        self.got.mkdir()

    @property
    def received(self) -> Path:
        """Where what arrived is to be."""
        return self.got / self.load.path.name

    def start(self, side: Side, *command: str, **environment: str) -> Process:
        """A process on one side that knows nothing of the settings of whoever runs this."""
        own = {
            "HOME": str(self.folder),
            "XDG_STATE_HOME": f"{self.folder}/state",
            "PYTHONDONTWRITEBYTECODE": "",  # or what is not installed is compiled every time
        } | environment
        settings = [f"{name}={value}" for name, value in own.items()]
        return Process(self.link.command(side, ["env", *settings, *command]))

    @contextmanager
    def serving(self, port: int, *command: str, **environment: str) -> Iterator[Process]:
        """A process on side B, once it listens there."""
        with self.start("b", *command, **environment) as process:
            deadline = time.monotonic() + READY_WITHIN
            while not _listens(process.pid, port):
                if process.ended():
                    raise process.failure(f"{command[0]} ended")
                if time.monotonic() > deadline:
                    raise process.failure(f"{command[0]} does not listen")
                time.sleep(0.02)
            yield process

    def warm(self) -> None:
        """Before each move: virtual machines give memory back that is free, and it is slow where it is
        touched first. What is moved twice would pay for that once more than what is handed over."""
        zeros, place = bytes(1 << 20), self.folder / "warm"
        with place.open("wb", buffering=0) as file:
            for _ in range(int(WARM * self.load.bytes) >> 20):
                file.write(zeros)
        place.unlink()

    def move(self, move: Move, server: Process, *command: str, **environment: str) -> Carried:
        """Runs a command on side A until it ends, and counts what it and that server take."""
        self.warm()
        before, idle = server.cpu_s(), server.family()
        started = time.monotonic()
        with self.start("a", *command, **environment) as client:
            printed, cpu_s = client.finish(PATIENCE)
            seconds = time.monotonic() - started
            if not client.succeeded:
                raise client.failure(f"the {move} failed")
        _wait_until_idle(server, idle)
        return Carried(move, seconds, cpu_s, server.cpu_s() - before, printed.strip())

    def prepare(self, *command: str, **environment: str) -> None:
        """Runs a command on side A that is not counted."""
        with self.start("a", *command, **environment) as process:
            process.finish(PATIENCE)
            if not process.succeeded:
                raise process.failure(f"{command[0]} failed")


def difference(sent: Path, received: Path) -> str | None:
    """The first path at which what arrived is not what was sent."""
    names = _files(sent)
    if names != _files(received):
        return f"other names beneath {received.name}"
    for name in sorted(names):
        if not _same(sent / name, received / name):
            return name or sent.name
    return None


def _files(top: Path) -> set[str]:
    """Paths of files beneath, or the one that it is itself."""
    if top.is_file():
        return {""}
    return {str(path.relative_to(top)) for path in top.rglob("*") if path.is_file()}


def _same(one: Path, other: Path) -> bool:
    with one.open("rb") as first, other.open("rb") as second:
        while piece := first.read(PIECE):
            if second.read(len(piece)) != piece:
                return False
        return not second.read(1)


def _listens(pid: int, port: int) -> bool:
    """Whether there is a listener in that process's network, which is not the one of this process."""
    if Path(f"/proc/{pid}/ns/net").readlink() == Path("/proc/self/ns/net").readlink():
        return False  # not there yet
    sockets = [
        line.split()[1:4]
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
    ]
    return any(at.endswith(f":{port:04X}") and state == LISTENING for at, _, state in sockets)


def _wait_until_idle(server: Process, idle: frozenset[int]) -> None:
    """Children that served one client are counted once they have ended and been waited for."""
    deadline = time.monotonic() + READY_WITHIN
    while not server.family() <= idle:
        if time.monotonic() > deadline:
            raise Failed("the server does not come to rest")
        time.sleep(0.01)
