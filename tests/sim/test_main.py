"""The command line prints a line a seed, and the same trace in whichever process."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.sim.__main__ import print_line
from tests.sim.scenario import Result, run_seed

TREE = Path(__file__).parents[2]


def test_each_seed_has_a_line_with_the_trace_that_any_process_gets() -> None:
    command = [sys.executable, "-m", "tests.sim", "--seeds", "3", "--first", "2", "--twice"]
    ran = subprocess.run(command, cwd=TREE, capture_output=True, text=True, check=False)
    lines = re.findall(r"^seed (\d+) trace ([0-9a-f]{64}) (\w+)", ran.stdout, re.MULTILINE)
    assert [(int(seed), trace) for seed, trace, _ in lines] == [
        (seed, run_seed(seed).trace) for seed in (2, 3, 4)
    ]
    assert ran.returncode == any(word != "ok" for _, _, word in lines)
    assert "retransmitted frames" in ran.stdout


def test_a_failure_is_printed_with_all_that_replays_it(capsys: pytest.CaptureFixture[str]) -> None:
    failed = Result("scenario 7", "0" * 64, "Traceback\nValueError: why", "Plan(…)", Counter(), 1.5)
    print_line("seed 7", failed)
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == f"seed 7 trace {'0' * 64} FAILED: ValueError: why"
    assert rest == ["Traceback", "  after 1.500000 s of Plan(…)"]
