"""Processes are heard, paid for and ended, whatever they do."""

from __future__ import annotations

import sys

import pytest

from bench.processes import Failed, Process, run


def python(program: str) -> Process:
    return Process([sys.executable, "-c", program])


def test_lines_and_then_the_rest_are_heard() -> None:
    with python("print('ready', flush=True); print('a'); print('b')") as process:
        assert process.line() == "ready"
        assert process.finish(20)[0] == "a\nb\n"


def test_the_cost_of_a_whole_life_includes_children() -> None:
    burn = "import time\\nwhile time.process_time() < 0.3: pass"
    with python(
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', '{burn}'])"
    ) as process:
        assert process.finish(20)[1] > 0.3


def test_the_cost_so_far_is_that_of_living_children_too() -> None:
    child = "import time\\nwhile time.process_time() < 0.3: pass\\nprint(1, flush=True); input()"
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', '{child}'])"
    with python(program) as process:
        process.line()
        assert process.cpu_s() > 0.3


def test_the_cost_so_far_is_that_of_children_too_that_have_ended() -> None:
    burn = "import time\\nwhile time.process_time() < 0.3: pass"
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', '{burn}'])"
    with python(f"{program}; print(1, flush=True); input()") as process:
        process.line()
        assert process.cpu_s() > 0.3
        assert process.family() == {process.pid}


def test_what_ends_in_silence_fails_with_its_complaint() -> None:
    silent = python("raise SystemExit('no such luck')")
    with silent, pytest.raises(Failed, match="no such luck"):
        silent.line()


def test_what_does_not_end_is_ended() -> None:
    with python("print('ready', flush=True); input()") as process:
        process.line()
        with pytest.raises(Failed, match=r"did not end within 0 s"):
            process.finish(0.2)


def test_leaving_ends_what_still_runs() -> None:
    with python("print('ready', flush=True); input()") as process:
        process.line()
        assert not process.ended()
    assert process.ended()


def test_a_command_that_fails_says_why() -> None:
    with pytest.raises(Failed, match="nosuchfile"):
        run("ls", "/nosuchfile")
