"""Journals: what was torn off or damaged was never there, and nobody else has it meanwhile."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repram.content.refs import REF_SIZE
from repram.errors import UsageError
from repram.sdk.journal import VERSION, Batch, Done, Extended, Journal, Plan, Record, Revoked

SEED, OTHER, SECRET = (bytes([number]) * 32 for number in (1, 2, 3))
PLAN = Plan(VERSION, (b"/a",), "a", 60_000, 0, ("host",), 1, 2, SEED, OTHER, SECRET)
STEPS: list[Record] = [
    Batch(bytes(REF_SIZE)),
    Batch(bytes(16 * REF_SIZE)),
    Done(SEED, "file", "a", 5, False, 0, ("host",)),
    Extended(5, 6, 7, 8),
    Revoked(9),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "uploads" / "one"


def written(path: Path) -> bytes:
    with Journal.create(path, PLAN) as journal:
        for step in STEPS:
            journal.append(step)
    return path.read_bytes()


def read(path: Path) -> list[Record]:
    journal = Journal.open(path)
    assert journal is not None
    with journal:
        return list(journal.records())


def test_what_was_appended_is_read_in_its_order(path: Path) -> None:
    written(path)
    assert read(path) == [PLAN, *STEPS]
    assert path.stat().st_mode & 0o777 == 0o600


@given(cut=st.integers(0, 2_000), flip=st.integers(0, 2_000))
def test_a_torn_or_damaged_journal_ends_before_the_damage_and_goes_on_from_there(
    tmp_path_factory: pytest.TempPathFactory, cut: int, flip: int
) -> None:
    path = tmp_path_factory.mktemp("journal") / secrets.token_hex(4)
    whole = bytearray(written(path))
    del whole[cut:]
    if flip < len(whole):
        whole[flip] ^= 1
    path.write_bytes(whole)
    records = read(path)
    assert records == [PLAN, *STEPS][: len(records)]
    journal = Journal.open(path)
    assert journal is not None
    with journal:
        journal.append(Revoked(1))
        assert list(journal.records()) == [*records, Revoked(1)]


def test_one_at_a_time_has_it(path: Path) -> None:
    with Journal.create(path, PLAN):
        assert Journal.open(path) is None
    assert read(path) == [PLAN]


def test_one_that_others_can_read_is_not_used(path: Path) -> None:
    written(path)
    path.chmod(0o644)
    assert Journal.open(path) is None


def test_what_is_rewritten_holds_nothing_of_before_and_stays_locked(path: Path) -> None:
    written(path)
    journal = Journal.open(path)
    assert journal is not None
    with journal:
        journal.rewrite([PLAN, Revoked(3)])
        assert Journal.open(path) is None
        journal.append(Revoked(4))
    assert read(path) == [PLAN, Revoked(3), Revoked(4)]


def test_what_begins_with_no_plan_is_damaged(path: Path) -> None:
    written(path)
    path.write_bytes(b"")
    journal = Journal.open(path)
    assert journal is not None
    with journal, pytest.raises(UsageError, match="damaged"):
        journal.plan()


def test_no_key_is_in_the_repr_of_a_record() -> None:
    assert repr(PLAN) == "Plan(…)"
