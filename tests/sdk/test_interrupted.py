"""Clients and nodes that are killed, and how much memory a client takes; real processes.

`python -m tests.sdk.interrupted` does more of the first.
"""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from repram.content.chunker import CHUNK_SIZE
from repram.errors import NotFound
from repram.sdk import Client
from tests.conftest import Run
from tests.processes import node
from tests.sdk import interrupted
from tests.sdk.interrupted import Attempt

LARGE = 192 << 20


def test_a_transfer_whose_client_or_node_is_killed_ends_all_the_same() -> None:
    interrupted.run(1, seed=1)  # two kills of each: on the way up, and on the way down


def test_a_counted_download_that_was_killed_is_taken_up_under_its_claim(
    run: Run[None], tmp_path: Path
) -> None:
    async def main(address: str) -> None:
        async with Client(address) as sender:
            content = bytes(40 * CHUNK_SIZE)
            link = str(await sender.upload(io.BytesIO(content), downloads=1, ttl="10m"))
            killed = Attempt("download", address, tmp_path, link)
            assert killed.until(CHUNK_SIZE)
            killed.kill()
            async with Client(state=tmp_path / "elsewhere") as other:
                with pytest.raises(NotFound, match="as often as it may be"):
                    await other.download(link, tmp_path / "theirs")
            Attempt("download", address, tmp_path, link).finish()
            assert (tmp_path / "out").read_bytes() == content

    with node() as one:
        run(main(one.address))


def test_a_transfer_takes_less_memory_than_the_file_is_large(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(LARGE)
    with node() as one:
        up = Attempt("upload", one.address, tmp_path, str(tmp_path / "sparse"))
        down = Attempt("download", one.address, tmp_path, up.finish())
        down.finish()
    assert (tmp_path / "out").stat().st_size == LARGE
    assert max(up.peak, down.peak) < 150 << 20
