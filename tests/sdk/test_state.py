"""State files: private, replaced whole, and read with suspicion."""

from __future__ import annotations

import stat
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import msgspec
import pytest

from repram.errors import RepramError, UsageError
from repram.sdk.state import MAX_SIZE, StateFile, check_name, state_folder


class Numbers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    numbers: tuple[int, ...] = ()


def add(path: Path, number: int) -> None:
    StateFile(path, Numbers).update(lambda there: Numbers((*there.numbers, number)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "er" / "numbers.json"


def test_what_is_not_there_holds_the_defaults(path: Path) -> None:
    assert StateFile(path, Numbers).read() == Numbers()
    assert not path.parent.exists()


def test_it_is_readable_by_its_owner_alone_and_leaves_nothing_else(path: Path) -> None:
    add(path, 1)
    add(path, 2)
    assert StateFile(path, Numbers).read() == Numbers((1, 2))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {each.name for each in path.parent.iterdir()} == {"numbers.json", "numbers.lock"}


def test_programs_that_change_it_at_once_lose_nothing(path: Path) -> None:
    with ProcessPoolExecutor(4, get_context("spawn")) as pool:
        list(pool.map(add, [path] * 40, range(40)))
    assert sorted(StateFile(path, Numbers).read().numbers) == list(range(40))


def test_a_change_that_fails_leaves_what_was_there(path: Path) -> None:
    add(path, 1)
    with pytest.raises(ZeroDivisionError):
        StateFile(path, Numbers).update(lambda there: Numbers((1 // 0,)))
    assert StateFile(path, Numbers).read() == Numbers((1,))


def test_what_others_can_read_is_refused(path: Path) -> None:
    add(path, 1)
    path.chmod(0o640)
    with pytest.raises(UsageError, match="others can read") as caught:
        StateFile(path, Numbers).read()
    assert "chmod 600" in caught.value.hint


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"numbers": ["secret"]}', b'{"more": 1}', b"\xff", b"[" * 100_000],
    ids=lambda each: repr(each[:20]),
)
def test_a_damaged_file_is_named_and_not_shown(path: Path, content: bytes) -> None:
    add(path, 1)
    path.write_bytes(content)
    for use in (StateFile(path, Numbers).read, lambda: add(path, 2)):
        with pytest.raises(UsageError, match="is damaged") as caught:
            use()
        assert "secret" not in str(caught.value) + caught.value.hint
        assert str(path) in str(caught.value)
    assert path.read_bytes() == content


def test_a_file_of_any_size_is_read_to_its_bound_only(path: Path) -> None:
    add(path, 1)
    with path.open("r+b") as file:
        file.truncate(MAX_SIZE << 20)
    with pytest.raises(UsageError, match="has more than"):
        StateFile(path, Numbers).read()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RepramError, match="cannot use"):
        add(tmp_path / "file" / "numbers.json", 1)


def test_a_relative_state_home_is_passed_over() -> None:
    assert state_folder({"XDG_STATE_HOME": "/somewhere"}) == Path("/somewhere/repram")
    usual = Path.home() / ".local" / "state" / "repram"
    assert state_folder({"XDG_STATE_HOME": "some/where"}) == state_folder({}) == usual


@pytest.mark.parametrize("name", ["", ".a", "-a", "a b", "a/b", "é", "a\n", "a" * 64, "a://b"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="1 to 63 letters"):
        check_name(name)
