"""Invites: granted, kept, found by id or name, revoked."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from repram.errors import Full, NotFound, RepramError, UsageError
from repram.ids import to_base64url
from repram.storaged.access.invites import INVITES_MAX, Granted, Invites

NOW = 1_800_000_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "invites"


def opened(path: Path | None, seed: int = 1) -> Invites:
    return Invites(path, random.Random(seed).randbytes)


def grant(invites: Invites, name: str = "") -> Granted:
    return invites.grant(name=name, write_only=False, quota=7, now=NOW)


def test_each_is_random_and_all_of_it_comes_back(path: Path) -> None:
    invites = opened(path)
    one, other = grant(invites, "laptop"), grant(invites)
    assert len({one.id, other.id, one.secret, other.secret}) == 4
    assert opened(path).by_id == {one.id: one, other.id: other}
    assert (one.quota, one.created, one.name) == (7, NOW, "laptop")


def test_no_text_of_it_tells_the_secret(path: Path) -> None:
    assert "secret" not in repr(grant(opened(path)))


def test_it_is_revoked_by_id_or_name_and_stays_so(path: Path) -> None:
    invites = opened(path)
    one, other = grant(invites, "laptop"), grant(invites)
    assert invites.revoke("laptop") == one
    assert invites.revoke(to_base64url(other.id)) == other
    assert opened(path).by_id == {}
    for gone in ("laptop", "", to_base64url(other.id)):
        with pytest.raises(NotFound):
            invites.revoke(gone)


def test_a_name_of_two_revokes_neither() -> None:
    invites = opened(None)
    grant(invites, "laptop")
    grant(invites, "laptop")
    with pytest.raises(UsageError, match="2 invites"):
        invites.revoke("laptop")


def test_there_are_no_more_than_the_transport_holds() -> None:
    invites = opened(None)
    for _ in range(INVITES_MAX):
        grant(invites)
    with pytest.raises(Full):
        grant(invites)


@pytest.mark.parametrize("name", ["x" * 65, "two\nlines", "\x1b[2J"])
def test_a_name_is_short_and_printable(name: str) -> None:
    with pytest.raises(UsageError):
        grant(opened(None), name)


def test_what_could_not_be_written_does_not_count(path: Path) -> None:
    invites = opened(path / "nowhere")
    with pytest.raises(RepramError, match="cannot write"):
        grant(invites)
    assert invites.by_id == {}
