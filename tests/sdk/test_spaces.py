"""The spaces that are known by name."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from repram.crypto.spaces import Space
from repram.errors import Conflict, NotFound, UsageError
from repram.sdk.spaces import Spaces


def own(path: Path) -> Space:
    return Spaces(path).own()


def test_ones_own_space_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "spaces.json"
    first = own(path)
    assert own(path) == first == Spaces(path).named("default")
    assert path.stat().st_mode & 0o777 == 0o600


def test_programs_that_first_need_it_at_once_get_the_same(tmp_path: Path) -> None:
    path = tmp_path / "spaces.json"
    with ProcessPoolExecutor(4, get_context("spawn")) as pool:
        assert len(set(pool.map(own, [path] * 8))) == 1


def test_a_space_is_known_by_its_name(tmp_path: Path) -> None:
    spaces, team = Spaces(tmp_path / "spaces.json"), Space.new()
    spaces.add("team", team)
    spaces.add("team", team)
    assert spaces.names() == ("team",)
    assert spaces.named("team") == team
    with pytest.raises(NotFound, match="no space is called 'other'"):
        spaces.named("other")


def test_a_name_is_not_taken_from_another_space(tmp_path: Path) -> None:
    spaces, team = Spaces(tmp_path / "spaces.json"), Space.new()
    spaces.add("team", team)
    with pytest.raises(Conflict, match="another space is called 'team'"):
        spaces.add("team", Space.new())
    assert spaces.named("team") == team
    with pytest.raises(UsageError, match="1 to 63 letters"):
        spaces.add("a team", team)
