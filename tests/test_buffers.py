"""Buffers for chunks: of the size that was asked for, and not taken from the kernel anew each time."""

from __future__ import annotations

import subprocess
import sys

import pytest

from repram.buffers import unset

ROUNDS, BUFFERS = 50, 20

AGAIN = f"""
from resource import RUSAGE_SELF, getrusage
from repram.buffers import keep_freed, unset

def use():
    held = [unset(1 << 20) for _ in range({BUFFERS})]
    for each in held:
        each[:] = bytes(len(each))

keep_freed()
use()
before = getrusage(RUSAGE_SELF).ru_minflt
for _ in range({ROUNDS}):
    use()
print(getrusage(RUSAGE_SELF).ru_minflt - before)
"""

AT_ONCE = """
from resource import RUSAGE_SELF, getrusage
from repram.buffers import unset

filling = b"x" * (32 << 20)
made = unset(32 << 20, kept=True)
before = getrusage(RUSAGE_SELF).ru_minflt
memoryview(made)[:] = filling
print(getrusage(RUSAGE_SELF).ru_minflt - before)
"""


def told_by(program: str) -> int:
    """The number that it prints."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    return int(done.stdout)


@pytest.mark.parametrize("size", [0, 1, 4096, 1 << 20])
def test_a_buffer_has_the_size_that_was_asked_for_and_can_be_written(size: int) -> None:
    buffer = unset(size)
    assert len(buffer) == size
    buffer[:] = b"x" * size
    assert buffer.count(b"x") == size


def test_what_was_freed_serves_again() -> None:
    pages = ROUNDS * BUFFERS * (1 << 20) // 4096
    assert told_by(AGAIN) < pages / 10


def test_the_pages_of_a_large_one_are_all_there_when_it_is_written() -> None:
    assert told_by(AT_ONCE) < (32 << 20) // 4096 / 10
