"""Names from elsewhere: no path leaves the chosen folder, and what is sent is always accepted."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repram.content.names import is_safe_name, portable_name, shown


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "/",
        "/etc/passwd",
        "../up",
        "a/b",
        "a\\b",
        "..\\up",
        "a\0b",
        "x" * 256,
        "ü" * 128,
        "\ud800",
    ],
)
def test_hostile_names_are_refused(name: str) -> None:
    assert not is_safe_name(name)


@pytest.mark.parametrize(
    "name", ["report.pdf", "-rf", "a\nb", "…", ".hidden", "...", "x" * 255, "~", "CON"]
)
def test_odd_names_are_names(name: str) -> None:
    assert is_safe_name(name)


@given(st.text(max_size=300))
def test_a_safe_name_stays_in_its_folder(name: str) -> None:
    if is_safe_name(name):
        assert (PurePosixPath("/folder") / name).parent == PurePosixPath("/folder")


@given(
    st.text(max_size=300).map(
        lambda text: text.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")
    )
)
def test_whatever_a_file_is_called_its_portable_name_is_safe(name: str) -> None:
    assert is_safe_name(portable_name(name))


def test_a_portable_name_is_the_name_where_that_can_be() -> None:
    assert portable_name("Grüße -n\n.txt") == "Grüße -n\n.txt"
    assert portable_name("a\\b") == "a_b"
    assert portable_name("..") == ".._"


def test_a_shown_name_moves_no_cursor() -> None:
    assert shown("a\x1b[2J\n\u202eb") == "a\\x1b[2J\\n\\u202eb"
