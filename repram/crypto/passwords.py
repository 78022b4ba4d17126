"""Keys from passwords: Argon2id, at a cost that is checked before any work is done.

A cost comes with what it locks, so it is hostile until checked: too little lets others guess, too much
keeps this machine busy for whoever chose it.
"""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from argon2.low_level import Type, hash_secret_raw

from repram.errors import IntegrityFailure, LocalError, UsageError

SALT_SIZE: Final = 16
PASSWORD_MAX: Final = 1024  # bytes

_ROOT_SIZE: Final = 32


class Cost(NamedTuple):
    """Passes over the memory, KiB of it, and lanes."""

    t: int
    m_kib: int
    p: int


LINK_COST: Final = Cost(3, 65_536, 1)  # of one lane, so that a browser can open it
ACCOUNT_COST: Final = Cost(3, 262_144, 4)

_CEILING: Final = Cost(16, 1 << 20, 16)
_FOR_TESTS: Final = Cost(1, 128, 1)

_floor = Cost(3, 65_536, 1)
_cheap = False


def link_cost() -> Cost:
    """What a new link with a password costs to open."""
    return _FOR_TESTS if _cheap else LINK_COST


def account_cost() -> Cost:
    """What it costs to open an account."""
    return _FOR_TESTS if _cheap else ACCOUNT_COST


@contextmanager
def cheap_for_tests() -> Iterator[None]:
    """Inside, passwords cost next to nothing. Called by tests alone: no option and no environment does."""
    global _floor, _cheap
    before = _floor, _cheap
    _floor, _cheap = _FOR_TESTS, True
    try:
        yield
    finally:
        _floor, _cheap = before


def password_bytes(text: str) -> bytes:
    """A password in UTF-8 and NFC: one password however it was typed. A UsageError says what is wrong."""
    try:
        raw = unicodedata.normalize("NFC", text).encode()
    except UnicodeEncodeError:
        raise UsageError("the password is not text: it holds half a character") from None
    if not 0 < len(raw) <= PASSWORD_MAX:
        raise UsageError(
            f"a password has 1 to {PASSWORD_MAX:,} bytes of UTF-8, and this has {len(raw):,}",
            hint="Choose a longer one." if not raw else "Choose a shorter one.",
        )
    return raw


def new_salt() -> bytes:
    """Random, so that no table made beforehand helps."""
    return secrets.token_bytes(SALT_SIZE)


def check_cost(cost: Cost) -> None:
    """Refuse a cost that somebody chose so that guessing is cheap, or so that opening is not."""
    for name, value, least, most in zip(("t", "m", "p"), cost, _floor, _CEILING, strict=True):
        if not least <= value <= most:
            raise IntegrityFailure(
                f"the password's cost was tampered with: {name} = {value} is not in {least}–{most}",
                hint="No password was tried. Ask whoever sent this for a new one.",
            )


def stretch(password: bytes, salt: bytes, cost: Cost) -> bytes:
    """32 bytes from which keys are derived; takes a moment, and must not run on an event loop."""
    check_cost(cost)
    if len(salt) != SALT_SIZE or not 0 < len(password) <= PASSWORD_MAX:
        raise LocalError(f"a salt has {SALT_SIZE} bytes and a password 1 to {PASSWORD_MAX}")
    return hash_secret_raw(password, salt, cost.t, cost.m_kib, cost.p, _ROOT_SIZE, Type.ID)
