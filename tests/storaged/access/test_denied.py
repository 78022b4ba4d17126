"""The deny list: items and owners, and nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from repram.errors import NotAllowed, NotFound, RepramError
from repram.storaged.access.denied import Denial, Denied

ONE, OTHER = bytes(32), bytes(range(32))


def test_an_item_is_refused_and_an_owner_of_the_same_bytes_is_not(tmp_path: Path) -> None:
    denied = Denied(None)
    denied.add(Denial("item", ONE))
    with pytest.raises(NotAllowed):
        denied.refuse(ONE, OTHER)
    denied.refuse(OTHER, ONE)
    denied.add(Denial("owner", ONE))
    with pytest.raises(NotAllowed):
        denied.refuse(OTHER, ONE)


def test_what_is_taken_off_the_list_passes(tmp_path: Path) -> None:
    denied = Denied(tmp_path / "denied")
    denied.add(Denial("item", ONE))
    denied.add(Denial("item", ONE, "said twice"))
    assert [each.row()["reason"] for each in denied.all] == ["said twice"]
    denied.remove("item", ONE)
    denied.refuse(ONE, ONE)
    assert Denied(tmp_path / "denied").all == []
    with pytest.raises(NotFound):
        denied.remove("item", ONE)


@pytest.mark.parametrize(
    "content", ["{", '{"kind":"item","id":"AAAA"}\n', '{"kind":"x"}\n', "\xff"]
)
def test_a_damaged_list_stops_the_start(tmp_path: Path, content: str) -> None:
    (tmp_path / "denied").write_text(content, "latin-1")
    with pytest.raises(RepramError, match="damaged"):
        Denied(tmp_path / "denied")
