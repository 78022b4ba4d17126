"""The words of a recovery key."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repram.crypto.recovery import RecoveryKey, _list
from repram.errors import LocalError, UsageError

PUBLISHED = (  # BIP-39's reference vectors (trezor/python-mnemonic, vectors.json): entropy, words
    ("00" * 32, "abandon " * 23 + "art"),
    ("7f" * 32, "legal winner thank year wave sausage worth useful " * 2
     + "legal winner thank year wave sausage worth title"),
    ("ff" * 32, "zoo " * 23 + "vote"),
    ("f585c11aec520db57dd353c69554b21a89b20fb0650966fa0a9d6f74fd989d8f",
     "void come effort suffer camp survey warrior heavy shoot primary clutch crush "  # noqa: ISC004
     "open amazing screen patrol group space point ten exist slush involve unfold"),
)  # fmt: skip
KEY = RecoveryKey(bytes(range(32)))
WORDS = KEY.words().split()


@pytest.mark.parametrize(("entropy", "words"), PUBLISHED)
def test_words_are_those_of_the_published_vectors(entropy: str, words: str) -> None:
    assert RecoveryKey(bytes.fromhex(entropy)).words() == words
    assert RecoveryKey.parse(words).secret.hex() == entropy


def test_the_list_is_the_published_one() -> None:
    text = "\n".join(_list().wordlist) + "\n"
    published = "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda"
    assert hashlib.sha256(text.encode()).hexdigest() == published


@settings(max_examples=20)
@given(st.binary(min_size=32, max_size=32))
def test_a_key_comes_back_from_its_words_however_they_are_laid_out(secret: bytes) -> None:
    key = RecoveryKey(secret)
    numbered = "\n".join(f"{n}  {word.upper()}" for n, word in enumerate(key.words().split(), 1))
    assert RecoveryKey.parse(key.words()) == RecoveryKey.parse(numbered) == key


def test_a_wrong_word_is_named_by_its_place_and_not_repeated() -> None:
    with pytest.raises(UsageError, match="word 7 ") as caught:
        RecoveryKey.parse(" ".join([*WORDS[:6], "hunter", *WORDS[7:]]))
    assert "hunter" not in str(caught.value) + caught.value.hint
    for words in (WORDS[:-1], [*WORDS, WORDS[0]], []):
        with pytest.raises(UsageError, match=f"24 words, and here are {len(words)}"):
            RecoveryKey.parse(" ".join(words))


def test_nearly_every_swap_and_every_other_word_is_noticed() -> None:
    """The checksum has eight bits: of 255 wrong texts 254 are noticed here, and the last by the keystore."""
    tried = [[*WORDS[:at], WORDS[at + 1], WORDS[at], *WORDS[at + 2 :]] for at in range(23)]
    tried += [
        [*WORDS[:at], other, *WORDS[at + 1 :]] for at in range(24) for other in ("zoo", "able")
    ]
    assert sum(is_another_key(" ".join(words)) for words in tried) <= 2


def is_another_key(words: str) -> bool:
    try:
        return RecoveryKey.parse(words) != KEY
    except UsageError:
        return False


def test_neither_repr_nor_a_wrong_size_tells_anything() -> None:
    assert repr(KEY.secret) not in repr(KEY)
    with pytest.raises(LocalError):
        RecoveryKey(bytes(31))
