"""Fuzzes a target in Python: python -m tests.fuzz.engine fuzz_rpc --executions 100000; or replays an input.

A target is a module with `try_`, which tells what came of an input in words that are the same for inputs
of one kind, and raises for what must not be; and `change`, which makes one input of two and knows how they
are built. An input is kept when what came of it has not been seen before.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import mmap
import resource
import signal
import time
import traceback
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from random import Random
from types import FrameType
from typing import Final, Protocol, cast

TARGETS: Final = Path(__file__).parent
LONGEST: Final = 1 << 17  # bytes of an input
PATIENCE: Final = 10.0  # seconds of CPU for one input
MEMORY: Final = 256 << 20  # bytes more than there were at the start
MOST_KEPT: Final = 5000
ODD_BYTES: Final = (0, 1, 0x7F, 0x80, 0x90, 0xC0, 0xC1, 0xC4, 0xDC, 0xDF, 0xFE, 0xFF)


class Target(Protocol):
    """What a target's module has."""

    def try_(self, data: bytes) -> str: ...
    def change(self, data: bytes, other: bytes, random: Random) -> bytes: ...


class Hangs(AssertionError):
    """An input took longer than any has a reason to."""


class Pool:
    """The inputs that others are made of, and what has come of them."""

    def __init__(self, learnt: Path | None) -> None:
        self.inputs: list[bytes] = []
        self._learnt = learnt
        self._seen: set[str] = set()

    def add(self, data: bytes, outcome: str, *, seed: bool = False) -> None:
        """Keep it if it is a seed, or shows something new."""
        is_new = outcome not in self._seen and len(self.inputs) < MOST_KEPT
        self._seen.add(outcome)
        if is_new or seed:
            self.inputs.append(data)
        if is_new and not seed and self._learnt:
            (self._learnt / blake2b(data, digest_size=12).hexdigest()).write_bytes(data)


class InHand:
    """The input that is being tried, in a file: it is there even if this process is not any more."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(4 + LONGEST))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)

    def hold(self, data: bytes) -> None:
        """This one comes next."""
        self._map[: 4 + len(data)] = len(data).to_bytes(4, "big") + data


def in_hand(path: Path) -> bytes:
    """The input that a process had in hand when it ended."""
    content = path.read_bytes()
    return content[4 : 4 + int.from_bytes(content[:4], "big")]


def main() -> int:
    """Runs one target; 1 when it finds something."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.engine", description=__doc__)
    parser.add_argument("name", help="such as fuzz_rpc")
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--executions", type=int)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    parser.add_argument("--learnt", type=Path, help="a folder for inputs that show something new")
    parser.add_argument("--in-hand", type=Path, help="a file for the input that is being tried")
    parser.add_argument("--replay", type=Path, help="only this input")
    arguments = parser.parse_args()
    logging.disable()
    target = cast("Target", importlib.import_module(f"tests.fuzz.{arguments.name}"))
    if arguments.replay:
        print(target.try_(arguments.replay.read_bytes()))
        return 0
    seeds = sorted((TARGETS / "corpus" / arguments.name).iterdir())
    earlier = sorted(arguments.learnt.iterdir()) if arguments.learnt else []
    limits = Limits(arguments.executions, arguments.seconds)
    hand = InHand(arguments.in_hand) if arguments.in_hand else None
    try:
        fuzz(target, [*seeds, *earlier], Pool(arguments.learnt), limits, arguments.seed, hand)
    except Exception:  # noqa: BLE001  # whatever it is, it was found
        traceback.print_exc()
        print(f"after {limits.done} inputs, with --seed {arguments.seed}")
        return 1
    print(f"number_of_executed_units: {limits.done}")
    return 0


class Limits:
    """How long it goes on; counts what has been done."""

    def __init__(self, executions: int | None, seconds: float | None) -> None:
        self._executions = executions
        self._end = None if seconds is None else time.monotonic() + seconds
        self.done = 0

    def reached(self) -> bool:
        """Whether that was the last one."""
        if self._executions is not None and self.done >= self._executions:
            return True
        return self._end is not None and time.monotonic() > self._end


def fuzz(
    target: Target, seeds: list[Path], pool: Pool, limits: Limits, seed: int, hand: InHand | None
) -> None:
    """Tries the seeds as they are, then what is made of them."""
    signal.signal(signal.SIGPROF, _hangs)
    given = [path.read_bytes() for path in seeds]
    started = False
    for data in _inputs(target, given, pool, Random(seed)):
        if limits.reached():
            break
        if hand:
            hand.hold(data)
        signal.setitimer(signal.ITIMER_PROF, PATIENCE)
        outcome = target.try_(data)
        limits.done += 1
        pool.add(data, outcome, seed=limits.done <= len(given))
        if not started:  # by now all is loaded that will be
            _limit_memory()
            started = True
    signal.setitimer(signal.ITIMER_PROF, 0)


def _inputs(target: Target, given: list[bytes], pool: Pool, random: Random) -> Iterator[bytes]:
    yield from given
    while True:
        # Of two the shorter, or all would grow and take ever longer.
        data = min(random.choice(pool.inputs), random.choice(pool.inputs), key=len)
        other = random.choice(pool.inputs)
        for _ in range(random.choice((1, 1, 1, 2, 2, 4))):
            changes = target.change if random.random() < 0.6 else spoil
            data = changes(data, other, random)
        yield data[:LONGEST]


def spoil(data: bytes, other: bytes, random: Random) -> bytes:
    """A change of bytes that knows nothing of what they mean."""
    out = bytearray(data)
    at = random.randrange(len(out) + 1)
    end = min(len(out), at + int(2 ** random.uniform(0, 7)))
    match random.randrange(7):
        case 0 if at < len(out):
            out[at] ^= 1 << random.randrange(8)
        case 1 if at < len(out):
            out[at] = random.choice(ODD_BYTES)
        case 2:
            out[at:at] = random.randbytes(random.randint(1, 8))
        case 3:
            del out[at:end]
        case 4:
            out[at:at] = out[at:end] * random.choice((1, 1, 2, 50))
        case 5:
            begin = random.randrange(len(other) + 1)
            out[at:end] = other[begin : begin + end - at]
        case _:
            del out[at:]
    return bytes(out)


def _hangs(_signal: int, _frame: FrameType | None) -> None:
    raise Hangs(f"an input takes more than {PATIENCE:.0f} s")


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    size = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (size, resource.getrlimit(resource.RLIMIT_AS)[1]))


if __name__ == "__main__":
    raise SystemExit(main())
