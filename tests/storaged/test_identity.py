"""The identity file: made once, for its owner's eyes, refused when it is anything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from repram.errors import RepramError, UsageError
from repram.storaged.identity import load_or_create


def test_it_is_made_once_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "identity"
    seed = load_or_create(path)
    assert load_or_create(path) == seed
    assert len(seed) == 32
    assert path.stat().st_mode & 0o777 == 0o600


def test_one_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "identity"
    load_or_create(path)
    path.chmod(0o644)
    with pytest.raises(UsageError, match="others can read"):
        load_or_create(path)


@pytest.mark.parametrize(
    "content", ["", "something else\n", "repram-identity-v1 \n", "repram-identity-v1 AAAA\n"]
)
def test_what_is_no_identity_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "identity"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(UsageError):
        load_or_create(path)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(RepramError, match="nowhere"):
        load_or_create(tmp_path / "nowhere" / "identity")
