"""A node's folder: the config says what was chosen, and one node at a time runs on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from repram.errors import Conflict, RepramError, UsageError
from repram.storaged.folder import Folder, Setup, changed


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "deep" / "node")
    made.make()
    return made


def test_it_is_its_owners_alone(folder: Folder) -> None:
    assert folder.path.stat().st_mode & 0o777 == 0o700


def test_the_config_says_what_was_chosen(folder: Folder) -> None:
    assert folder.setup() == Setup()
    chosen = Setup(
        public=True, capacity="2GiB", policy=("/bin/ask", '"quoted" \\ and more'), listen="[::1]:7"
    )
    folder.write_setup(chosen)
    assert folder.setup() == chosen


def test_what_is_given_wins_over_the_config() -> None:
    written = Setup(public=True, capacity="2GiB")
    given = {"capacity": "3GiB", "listen": None, "rate": 0}
    assert changed(written, given) == Setup(public=True, capacity="3GiB", rate=0)


@pytest.mark.parametrize("text", ["public = 1", "capcity = '1GiB'", "rate = -1", "[", "\0"])
def test_a_config_that_is_not_understood_stops_the_start(folder: Folder, text: str) -> None:
    folder.config.write_text(text)
    with pytest.raises(UsageError, match="not understood"):
        folder.setup()


def test_a_second_node_is_refused(folder: Folder) -> None:
    folder.lock()
    with pytest.raises(Conflict, match="already runs"):
        Folder(folder.path).lock()


def test_paths_of_the_config_are_the_folders(folder: Folder) -> None:
    assert folder.within("store") == folder.path / "store"
    assert folder.within("/elsewhere") == Path("/elsewhere")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RepramError, match="file"):
        Folder(tmp_path / "file" / "node").make()
