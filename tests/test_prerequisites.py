"""What the build needs and does not find is named, with the Debian package that brings it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECK = Path(__file__).parents[1] / ".ci" / "prerequisites"


def check(python: str | Path, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        [CHECK, python],
        env={**os.environ, **environment},
        check=False,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stderr


def python_that_lacks(what: str, folder: Path) -> Path:
    """A stand-in for a Python whose answer is no whenever it is asked for this."""
    stand_in = folder / "python3"
    stand_in.write_text(
        f'#!/bin/sh\ncase "$*" in *"{what}"*) exit 1 ;; esac\nexec {sys.executable} "$@"\n'
    )
    stand_in.chmod(0o755)
    return stand_in


def test_nothing_is_said_when_all_is_there() -> None:
    assert check(sys.executable) == (0, "")


@pytest.mark.parametrize(
    ("what", "package"),
    [("version_info", "python3"), ("import venv", "python3-venv"), ("Python.h", "python3-dev")],
)
def test_what_python_lacks_is_named(what: str, package: str, tmp_path: Path) -> None:
    code, said = check(python_that_lacks(what, tmp_path))
    assert (code, said.endswith(f"apt install {package}\n")) == (1, True)


def test_a_missing_python_is_named() -> None:
    code, said = check("/nowhere/python3")
    assert (code, said.endswith("apt install python3\n")) == (1, True)


def test_a_missing_compiler_is_named() -> None:
    code, said = check(sys.executable, CC="no-such-compiler")
    assert (code, said.endswith("apt install gcc\n")) == (1, True)
