"""docs/threat-model.md counts only what a test shows: each test that it names is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "threat-model.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ")]


def shown_by() -> Iterator[tuple[str, str]]:
    """Each file, or folder, and the test in it; `::test` alone is in the file named before it."""
    for row in ROWS:
        file = ""
        for name in re.findall(r"`([^`]+)`", row.rstrip("| ").rpartition(" | ")[2]):
            path, _, test = name.partition("::")
            file = path or file
            yield file, test


@pytest.mark.parametrize(("file", "test"), sorted(set(shown_by())))
def test_a_test_that_is_named_is_there(file: str, test: str) -> None:
    places = [path for path in (ROOT / "tests").rglob("*") if f"/{path}".endswith(f"/{file}")]
    assert places
    assert not test or any(f"def {test}(" in path.read_text() for path in places)


def test_every_row_names_one() -> None:
    heads = ("| adversary ", "| it ", "| attack ", "| state ")
    assert all("`" in row.rpartition(" | ")[2] for row in ROWS if not row.startswith(heads))
