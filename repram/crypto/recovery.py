"""The recovery key of an account: 256 random bits, shown once, written down as 24 words.

The words are those of BIP-39 (English), whose last eight bits check the others; they are unlike each
other in their first four letters. No error and no repr repeats one.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Final, Self

from mnemonic import Mnemonic

from repram.crypto import labels
from repram.errors import LocalError, UsageError

SECRET_SIZE: Final = 32
WORDS: Final = 24

_LONGEST: Final = 1024  # characters of what is pasted
_LOOK_AGAIN: Final = "Compare it with what you wrote down; order counts, capitals do not."


@dataclass(frozen=True, slots=True)
class RecoveryKey:
    """What opens an account whose password is forgotten."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != SECRET_SIZE:
            raise LocalError(f"a recovery key has {SECRET_SIZE} bytes, not {len(self.secret)}")

    @classmethod
    def new(cls, draw: Callable[[int], bytes] = secrets.token_bytes) -> Self:
        """One that nobody has yet."""
        return cls(draw(SECRET_SIZE))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the words, numbered or not; a UsageError says which is wrong, and not what stands there."""
        words = [word for word in text[:_LONGEST].lower().split() if not word.isdecimal()]
        if len(words) != WORDS:
            raise UsageError(
                f"a recovery key has {WORDS} words, and here are {len(words)}", hint=_LOOK_AGAIN
            )
        known = _list().wordlist
        for number, word in enumerate(words, 1):
            if word not in known:
                raise UsageError(f"word {number} is none of a recovery key's", hint=_LOOK_AGAIN)
        try:
            return cls(bytes(_list().to_entropy(words)))
        except ValueError:
            raise UsageError("the words do not belong together", hint=_LOOK_AGAIN) from None

    def words(self) -> str:
        """24 words with blanks between them."""
        return _list().to_mnemonic(self.secret)

    def seed(self) -> bytes:
        """The seed of the key to which an account seals what recovers it."""
        return labels.derive(labels.RECOVERY_SEED, self.secret)


@cache
def _list() -> Mnemonic:
    return Mnemonic("english")
