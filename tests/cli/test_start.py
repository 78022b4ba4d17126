"""How the program begins and ends: without looking for garbage; in between it does."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import gc, sys
from repram_cli import main, start
from repram_cli.running import run

async def working():
    print("at work", gc.isenabled())

def one_command():
    print("begun", gc.isenabled())
    run(working())

main.main = one_command
start.start()
"""


def test_garbage_is_looked_for_while_a_command_works_and_not_before() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True)
    assert done.stdout.split(b"\n") == [b"begun False", b"at work True", b""]
