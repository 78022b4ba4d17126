"""What is said to be on the disk has been synced: each file that a node writes, and where its name stands."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from repram.storaged.access.denied import Denial, Denied
from repram.storaged.clock import Mark
from repram.storaged.disk.files import Files, TimedFiles
from repram.storaged.identity import load_or_create
from repram.storaged.marks import MarkFile

Sync = Callable[[int], None]


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what the operating system was asked to sync, as it knows them."""
    names: list[str] = []

    def noted(call: Sync) -> Sync:
        def sync(descriptor: int) -> None:
            call(descriptor)
            names.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)

        return sync

    monkeypatch.setattr(os, "fsync", noted(os.fsync))
    monkeypatch.setattr(os, "fdatasync", noted(os.fdatasync))
    return names


@pytest.mark.parametrize("files", [Files(), TimedFiles(lambda _: None)], ids=["plain", "timed"])
def test_the_disk_tiers_files_and_folders(files: Files, tmp_path: Path, synced: list[str]) -> None:
    file = files.open(tmp_path / "log", create=True)
    files.sync(file)
    files.sync_folder(tmp_path)
    assert synced == ["log", tmp_path.name]


def test_a_clocks_mark(tmp_path: Path, synced: list[str]) -> None:
    marks = MarkFile.open(tmp_path / "clock")
    marks.write(Mark(1, 1, b"boot"))
    assert synced == [tmp_path.name, "clock"]
    marks.close()


def test_an_identity(tmp_path: Path, synced: list[str]) -> None:
    load_or_create(tmp_path / "identity")
    assert synced == ["identity", tmp_path.name]


def test_a_list_before_it_takes_the_place_of_the_one_from_before(
    tmp_path: Path, synced: list[str]
) -> None:
    Denied(tmp_path / "denied").add(Denial("item", bytes(32)))
    assert synced == [".denied.new", tmp_path.name]
