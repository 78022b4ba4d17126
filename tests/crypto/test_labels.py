"""One label, one meaning: docs/keys.md lists exactly those that there are."""

from __future__ import annotations

import re
from pathlib import Path

from repram.crypto import labels

PAGE = (Path(__file__).parents[2] / "docs" / "keys.md").read_text()
TABLE = PAGE.partition("## Labels")[2].partition("\n## ")[0]


def test_the_page_lists_every_label_once_and_no_other() -> None:
    there = [value for name, value in vars(labels).items() if name.isupper()]
    texts = [value.decode() if isinstance(value, bytes) else value for value in there]
    assert len(set(texts)) == len(texts)
    assert sorted(texts) == sorted(re.findall(r"^\| `([^`]+)`", TABLE, re.MULTILINE))
