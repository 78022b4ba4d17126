"""Transfers whose client or whose disk node is killed at random moments; each has to end all the same.

python -m tests.sdk.interrupted --rounds 20
"""

from __future__ import annotations

import argparse
import hashlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from repram.content.chunker import CHUNK_SIZE
from repram.content.padding import padme
from repram.sdk.sending import IN_FLIGHT
from tests.processes import ENVIRONMENT, Node, node

SIZE = 40 * CHUNK_SIZE + 4_321
_NEVER = 1 << 62


class Attempt:
    """A client at work."""

    def __init__(self, verb: str, host: str, folder: Path, what: str) -> None:
        arguments = [verb, host, str(folder / "state"), what, str(folder / "out")]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.sdk.attempt", *arguments],
            stdout=subprocess.PIPE,
            env=ENVIRONMENT,
            text=True,
        )
        self.resumed = self.moved = 0
        self.peak = 0  # bytes of memory, told at its end
        self.result = ""

    def until(self, moved: int) -> bool:
        """Follow it until so much has moved; whether it is still under way then."""
        assert self._process.stdout
        for line in self._process.stdout:
            kind, *values = line.split(maxsplit=2)
            if kind == "began":
                self.resumed = int(values[1])
            elif kind == "moved":
                self.moved = int(values[0])
            elif kind == "peak":
                self.peak = int(values[0])
            else:
                self.result = values[0]
            if self.moved >= moved:
                return True
        return False

    def kill(self) -> None:
        self._process.kill()
        self.until(_NEVER)  # what it had said before
        self._process.communicate()

    def finish(self) -> str:
        """What it says at its end."""
        self.until(_NEVER)
        self._process.communicate(timeout=60)
        assert self._process.returncode == 0
        return self.result


@contextmanager
def disk_node(folder: Path, port: int) -> Iterator[Node]:
    at = ("--disk", folder / "disk", "--identity", folder / "identity")
    with node("--listen", f"127.0.0.1:{port}", *at) as one:
        yield one


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def kill_the_client(chance: random.Random, folder: Path, source: Path, address: str) -> int:
    """Killed once on the way up and once on the way down; how many bytes went more than once."""
    first = Attempt("upload", address, folder, str(source))
    first.until(chance.randrange(SIZE))
    first.kill()
    second = Attempt("upload", address, folder, str(source))
    link = second.finish()
    assert first.moved <= second.resumed or first.result, "what was acknowledged went again"
    again = max(0, first.moved - second.resumed)
    third = Attempt("download", address, folder, link)
    third.until(chance.randrange(SIZE))
    third.kill()
    if not (folder / "out").exists():
        fourth = Attempt("download", address, folder, link)
        fourth.finish()
        lost = third.moved // CHUNK_SIZE * CHUNK_SIZE - fourth.resumed
        assert lost <= IN_FLIGHT * CHUNK_SIZE, "more came again than was under way"
        again += max(0, lost)
    return again


def kill_the_node(chance: random.Random, folder: Path, source: Path) -> None:
    """Killed once on the way up and once on the way down, and started again while the client waits."""
    port = free_port()
    with disk_node(folder, port) as one:
        address = one.address
        up = Attempt("upload", address, folder, str(source))
        up.until(chance.randrange(SIZE))
        one.stop(signal.SIGKILL)
    with disk_node(folder, port) as one:
        link = up.finish()
        down = Attempt("download", address, folder, link)
        down.until(chance.randrange(SIZE))
        one.stop(signal.SIGKILL)
    with disk_node(folder, port):
        down.finish()


def check(folder: Path, source: Path) -> None:
    """It is there whole, and nothing else is."""
    assert digest(folder / "out") == digest(source)
    assert not list(folder.glob(".repram-*"))
    (folder / "out").unlink()


def run(rounds: int, seed: int) -> int:
    """So many kills of the client, and as many of the node; the bytes that went again."""
    chance, again = random.Random(seed), 0
    with tempfile.TemporaryDirectory(prefix="repram-interrupted-") as name:
        folder = Path(name)
        source = folder / "source"
        source.write_bytes(chance.randbytes(SIZE))
        with node() as one:
            for _ in range(rounds):
                again += kill_the_client(chance, folder, source, one.address)
                check(folder, source)
        for _ in range(rounds):
            kill_the_node(chance, folder, source)
            check(folder, source)
    return again


def main() -> None:
    """Prints what it comes to."""
    parser = argparse.ArgumentParser(prog="python -m tests.sdk.interrupted", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    again = run(given.rounds, given.seed)
    print(f"{given.rounds} kills of each: {padme(SIZE)} bytes came through; {again} went again")


if __name__ == "__main__":
    main()
