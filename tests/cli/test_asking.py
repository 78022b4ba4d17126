"""Where a password may come from, and what is wrong with what stands there."""

from __future__ import annotations

from pathlib import Path

import pytest

from repram.errors import UsageError
from repram_cli.asking import NEW_PASSWORD_VARIABLE, given_password, without_passwords

WHAT = "password of the link"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "given"


@pytest.mark.parametrize(
    ("data", "password"),
    [
        (b"word\n", "word"),
        (b"word", "word"),
        (b"word\r\n", "word"),
        (b" a word \n", " a word "),
        ("cafe\u0301\n".encode(), "caf\u00e9"),
        (b"word\n\n", "word"),
    ],
)
def test_a_password_is_one_line_and_nothing_but_its_end_is_taken_off(
    file: Path, data: bytes, password: str
) -> None:
    file.write_bytes(data)
    assert given_password(WHAT, file=file) == password
    assert given_password(WHAT, command=f"cat '{file}'") == password


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"swordfish\nhunter\n", "more than the one line"),
        (b"swordfish\xff\n", "is no text"),
        (b"swordfish" * 200, "1 to 1,024 bytes"),
        (b"swordfish" * 1_000, "more than the one line"),
    ],
)
def test_what_is_no_password_is_refused_and_not_repeated(
    file: Path, data: bytes, what: str
) -> None:
    file.write_bytes(data)
    with pytest.raises(UsageError, match=what) as caught:
        given_password(WHAT, file=file)
    assert "swordfish" not in str(caught.value) + caught.value.hint
    with pytest.raises(UsageError, match=what):
        given_password(WHAT, command=f"cat '{file}'")


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ("false", "ended with 1"),
        ("/nonexistent", "cannot run"),
        ("'", "is no command line"),
        ("", "is no command line"),
    ],
)
def test_a_command_that_gives_none_is_told(command: str, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        given_password(WHAT, command=command)


def test_a_command_is_run_without_a_shell() -> None:
    assert given_password(WHAT, command="echo $HOME; true") == "$HOME; true"


def test_flags_come_before_the_variable_and_two_are_one_too_many(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert given_password(WHAT) is None
    monkeypatch.setenv("REPRAM_PASSWORD", "swordfish")
    file.write_text("word")
    assert given_password(WHAT) == "swordfish"
    assert given_password(WHAT, file=file) == "word"
    assert given_password(WHAT, variable=NEW_PASSWORD_VARIABLE) is None
    assert "swordfish" not in without_passwords().values()
    with pytest.raises(UsageError, match="both a file and a command"):
        given_password(WHAT, file=file, command="echo")
    with pytest.raises(UsageError, match="cannot read"):
        given_password(WHAT, file=file / "not there")
    monkeypatch.setenv("REPRAM_PASSWORD", "")
    with pytest.raises(UsageError, match="1 to 1,024 bytes"):
        given_password(WHAT)
