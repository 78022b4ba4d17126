"""Clients and nodes that are killed, and how much memory a client takes; real processes.

`python -m tests.sdk.interrupted` does more of the first.
"""

from __future__ import annotations

from pathlib import Path

from tests.processes import node
from tests.sdk import interrupted
from tests.sdk.interrupted import Attempt

LARGE = 192 << 20


def test_a_transfer_whose_client_or_node_is_killed_ends_all_the_same() -> None:
    interrupted.run(1, seed=1)  # two kills of each: on the way up, and on the way down


def test_a_transfer_takes_less_memory_than_the_file_is_large(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(LARGE)
    with node() as one:
        up = Attempt("upload", one.address, tmp_path, str(tmp_path / "sparse"))
        down = Attempt("download", one.address, tmp_path, up.finish())
        down.finish()
    assert (tmp_path / "out").stat().st_size == LARGE
    assert max(up.peak, down.peak) < 150 << 20
