"""Argon2id, and what is refused before it does any work."""

from __future__ import annotations

import base64

import nacl.pwhash.argon2id as sodium
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repram.crypto import passwords
from repram.crypto.passwords import ACCOUNT_COST, LINK_COST, Cost, check_cost, stretch
from repram.errors import IntegrityFailure, LocalError, UsageError

SALT = bytes(range(16))


def of_phc(text: str) -> tuple[bytes, Cost, bytes]:
    """Salt, cost and hash of the text form in which Argon2's are published."""
    _, kind, version, cost, *values = text.split("$")
    assert (kind, version) == ("argon2id", "v=19")
    m, t, p = (int(each.partition("=")[2]) for each in cost.split(","))
    salt, answer = (base64.b64decode(each + "=" * (-len(each) % 4)) for each in values)
    return salt, Cost(t, m, p), answer


def test_the_answer_of_argon2_cffis_own_page_at_a_cost_that_is_allowed() -> None:
    salt, cost, answer = of_phc(
        "$argon2id$v=19$m=65536,t=3,p=4$MIIRqgvgQbgj220jfp0MPA"
        "$YfwJSVjtjSU0zzV/P3S9nnQ/USre2wvJMjfCIjrTQbg"
    )
    assert stretch(b"correct horse battery staple", salt, cost) == answer


def test_the_answer_of_the_reference_command_at_a_lower_cost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`echo -n password | argon2 randomsaltishard -id -t 3 -m 12 -p 1 -l 32`, kept by zitadel/passwap."""
    salt, cost, answer = of_phc(
        "$argon2id$v=19$m=4096,t=3,p=1$cmFuZG9tc2FsdGlzaGFyZA"
        "$DYojYpnUWSMmTtrkVXyaNWVGxLmGe1n8VJBPDdFkbjU"
    )
    with passwords.cheap_for_tests():
        assert stretch(b"password", salt, cost) == answer


@settings(max_examples=30)
@given(st.binary(min_size=1, max_size=100), st.binary(min_size=16, max_size=16), st.integers(1, 4))
def test_it_agrees_with_libsodium(password: bytes, salt: bytes, t: int) -> None:
    theirs = sodium.kdf(32, password, salt, opslimit=t, memlimit=128 << 10)
    with passwords.cheap_for_tests():
        assert stretch(password, salt, Cost(t, 128, 1)) == theirs


@pytest.mark.parametrize(
    "cost",
    [
        Cost(2, 65_536, 1),
        Cost(3, 65_535, 1),
        Cost(3, 65_536, 0),
        Cost(17, 65_536, 1),
        Cost(3, (1 << 20) + 1, 1),
        Cost(3, 65_536, 17),
        Cost(1 << 32, 65_536, 1),
        Cost(3, -65_536, 1),
    ],
)
def test_a_cost_beneath_the_floor_or_above_the_ceiling_is_refused_before_any_work(
    cost: Cost, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked: list[object] = []
    monkeypatch.setattr(passwords, "hash_secret_raw", lambda *given: worked.append(given))
    with pytest.raises(IntegrityFailure, match="cost was tampered with"):
        stretch(b"password", SALT, cost)
    assert not worked


@pytest.mark.parametrize("cost", [LINK_COST, ACCOUNT_COST, Cost(16, 1 << 20, 16)])
def test_what_is_used_and_what_is_just_allowed_passes(cost: Cost) -> None:
    check_cost(cost)
    assert (passwords.link_cost(), passwords.account_cost()) == (LINK_COST, ACCOUNT_COST)


def test_the_tests_cost_is_gone_when_the_test_is() -> None:
    cheap = passwords.link_cost()
    with passwords.cheap_for_tests():
        assert passwords.link_cost() == passwords.account_cost() != cheap
        check_cost(passwords.link_cost())
    with pytest.raises(IntegrityFailure):
        check_cost(Cost(1, 128, 1))


def test_one_password_is_one_password_however_it_was_typed() -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    assert passwords.password_bytes(composed) == passwords.password_bytes(decomposed)
    assert passwords.password_bytes(" a ") == b" a "


@pytest.mark.parametrize("text", ["", "a" * 1025, "é" * 513, "\ud800"])
def test_what_is_no_password_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        passwords.password_bytes(text)
    assert not text or text not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize(("password", "salt"), [(b"", SALT), (b"a" * 1025, SALT), (b"a", SALT[1:])])
def test_wrong_sizes_are_the_callers_mistake(password: bytes, salt: bytes) -> None:
    with pytest.raises(LocalError):
        stretch(password, salt, LINK_COST)
