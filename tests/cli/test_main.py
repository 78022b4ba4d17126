"""The command line itself: usage, versions, and how quickly it says so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import repram as package
from tests.processes import repram


def test_the_version_is_data() -> None:
    done = repram("--version")
    assert (done.returncode, done.stdout.decode(), done.stderr) == (
        0,
        f"repram {package.__version__}\n",
        b"",
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["upload"],
        ["nonsense"],
        ["upload", "a", "b"],
        ["upload", "--nonsense", "a"],
        ["storaged", "nonsense"],
        ["upload", "-", "--ttl", "soon"],
        ["upload", "-", "--ttl", "29s", "--host", f"repram+node://{'A' * 43}@h"],
        ["upload", "-", "--host", "somewhere"],
        ["upload", "-", "--timeout", "x"],
        ["upload", "-"],
        ["download", "somewhere"],
        ["storaged", "run", "--public", "--memory", "lots"],
        ["storaged", "run", "--public", "--listen", "nowhere:x"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_2_with_a_sentence_and_no_traceback(arguments: list[str]) -> None:
    done = repram(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert len(done.stderr.splitlines()) >= 2
    assert b"Traceback" not in done.stderr


def test_what_most_verbs_do_without_is_not_loaded_to_start() -> None:
    program = "import sys, repram_cli.main as main; main.verbs(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout
    large = {b"asyncio", b"structlog", b"rich", b"nacl", b"repram.sdk"}
    verbs = {b"repram_cli.upload", b"repram_cli.kv", b"repram_cli.storaged"}
    assert (large | verbs) & {*loaded.split()} == set()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = repram("upload", tmp_path / "missing\x1b[2J", "--host", f"repram+node://{'A' * 43}@h")
    assert done.returncode == 2
    assert b"missing\\x1b[2J" in done.stderr
    assert b"\x1b" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["upload", "--help"], ["download", "--help"], ["storaged", "run", "--help"]],
)
def test_every_verb_explains_itself(arguments: list[str]) -> None:
    done = repram(*arguments)
    assert done.returncode == 0
    assert b"Usage: repram" in done.stdout
