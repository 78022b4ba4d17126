"""What goes up comes down the same, whatever its size and whatever it is called."""

from __future__ import annotations

import os
import random
import unicodedata
from pathlib import Path

import pytest

from repram.content.chunker import CHUNK_SIZE
from tests.cli.here import Here
from tests.content.trees import snapshot
from tests.json_objects import objects
from tests.processes import Node, repram

SIZES = [0, 1, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1]
CONTENT = random.Random(3).randbytes(CHUNK_SIZE + 1)
NAMES = [
    unicodedata.normalize("NFC", "Grüße"),
    unicodedata.normalize("NFD", "Grüße"),
    "two\nlines",
    "-rf",
    "--help",
    "Twin",
    "twin",
    "TWIN",
    " ",
    "a\tb\x1b[2J",
    "\u202egnp.exe",
    "…" * 85,
    "con",
    "c:\\x",
    "*?$(x)`'\"",
    ".hidden",
    ".repram-0000000000000000.part",
    os.fsdecode(b"no utf-8 \xff\xfe"),
]


@pytest.mark.parametrize("size", SIZES)
def test_a_file(here: Here, tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(CONTENT[:size])
    link = here.said("upload", tmp_path / "file", "-q").strip()
    here.said("download", link, "-o", tmp_path / "got", "-q")
    assert (tmp_path / "got").read_bytes() == CONTENT[:size]


@pytest.mark.parametrize("size", [0, CHUNK_SIZE])
def test_a_stream_whose_length_nobody_knows(storage: Node, size: int) -> None:
    sent = repram("upload", "-", "-q", stdin=CONTENT[:size], REPRAM_HOST=storage.address)
    got = repram("download", sent.stdout.decode().strip(), "-o", "-")
    assert (got.returncode, got.stdout) == (0, CONTENT[:size])


def test_a_folder_of_odd_names_and_sizes(here: Here, tmp_path: Path) -> None:
    top = tmp_path / os.fsdecode(b"-top\n\xff")
    for number, name in enumerate(NAMES):
        (top / name).mkdir(parents=True)
        (top / name / f"{name[:60]}.").write_bytes(CONTENT[: SIZES[number % len(SIZES)]])
        (top / name / "empty").mkdir(mode=0o500)
        (top / name / "link").symlink_to(Path("..", NAMES[number - 1]))
    pipe = top / os.fsdecode(b"pipe \xfe")
    os.mkfifo(pipe)
    told = objects(here.said("upload", top, "--json").encode())
    assert os.fsencode(told[0]["path"]) == b"-top\n\xff/pipe \xfe"
    pipe.unlink()
    (tmp_path / "got").mkdir()
    told = objects(
        here.said("download", told[-1]["link"], "-o", tmp_path / "got", "--json").encode()
    )
    (place,) = told[-1]["paths"]
    assert Path(place) == tmp_path / "got" / top.name
    assert snapshot(Path(place)) == snapshot(top)
