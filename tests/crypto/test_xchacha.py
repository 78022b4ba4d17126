"""XChaCha20-Poly1305: both ways of computing it give the published answer and refuse every changed bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repram.crypto import xchacha
from repram.crypto.xchacha import COMPOSED, SODIUM, Implementation
from repram.errors import IntegrityFailure, LocalError

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "xchacha20poly1305.json").read_text())
KEY, NONCE = bytes(range(32)), bytes(range(24))
both = pytest.mark.parametrize("implementation", [COMPOSED, SODIUM], ids=lambda each: each.name)


@pytest.mark.parametrize("vector", VECTORS["aead"])
def test_published_aead_vectors(vector: dict[str, str]) -> None:
    key, nonce, aad, plaintext, sealed = (
        bytes.fromhex(vector[part]) for part in ("key", "nonce", "aad", "plaintext", "sealed")
    )
    assert xchacha.encrypt(key, nonce, plaintext, aad) == sealed
    assert xchacha.decrypt(key, nonce, sealed, aad) == plaintext


@both
@pytest.mark.parametrize("vector", VECTORS["aead"])
def test_each_implementation_gives_the_published_answer(
    implementation: Implementation, vector: dict[str, str]
) -> None:
    parts = [bytes.fromhex(vector[part]) for part in ("key", "nonce", "plaintext", "aad")]
    assert bytes(implementation.encrypt(*parts)).hex() == vector["sealed"]


@pytest.mark.parametrize("vector", VECTORS["hchacha20"])
def test_published_hchacha20_vector(vector: dict[str, str]) -> None:
    subkey = xchacha.hchacha20(bytes.fromhex(vector["key"]), bytes.fromhex(vector["nonce"]))
    assert subkey.hex() == vector["subkey"]


def test_the_fast_implementation_is_the_one_in_use() -> None:
    assert xchacha.IMPLEMENTATION is COMPOSED


@given(
    st.binary(max_size=5_000),
    st.binary(max_size=64),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=24, max_size=24),
)
def test_the_two_implementations_agree(
    plaintext: bytes, aad: bytes, key: bytes, nonce: bytes
) -> None:
    sealed = COMPOSED.encrypt(key, nonce, plaintext, aad)
    assert sealed == SODIUM.encrypt(key, nonce, plaintext, aad)
    assert (
        COMPOSED.decrypt(key, nonce, sealed, aad)
        == SODIUM.decrypt(key, nonce, sealed, aad)
        == plaintext
    )


def test_buffers_of_any_kind_are_taken() -> None:
    sealed = xchacha.encrypt(KEY, NONCE, memoryview(b"text"), b"")
    assert xchacha.decrypt(KEY, NONCE, memoryview(bytearray(sealed)), b"") == b"text"


@pytest.mark.parametrize("bit", range((4 + 16) * 8))
def test_every_flipped_bit_is_refused(bit: int) -> None:
    sealed = bytearray(xchacha.encrypt(KEY, NONCE, b"text", b"about"))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(IntegrityFailure):
        xchacha.decrypt(KEY, NONCE, sealed, b"about")


@pytest.mark.parametrize("length", range(16))
def test_what_is_shorter_than_a_tag_is_refused(length: int) -> None:
    with pytest.raises(IntegrityFailure):
        xchacha.decrypt(KEY, NONCE, bytes(length), b"")


def test_another_key_nonce_or_context_is_refused() -> None:
    sealed = xchacha.encrypt(KEY, NONCE, b"text", b"about")
    for key, nonce, aad in (
        (bytes(32), NONCE, b"about"),
        (KEY, bytes(24), b"about"),
        (KEY, NONCE, b"else"),
    ):
        with pytest.raises(IntegrityFailure):
            xchacha.decrypt(key, nonce, sealed, aad)


def test_wrong_sizes_are_a_callers_mistake() -> None:
    with pytest.raises(LocalError):
        xchacha.encrypt(bytes(31), NONCE, b"", b"")
    with pytest.raises(LocalError):
        xchacha.decrypt(KEY, bytes(12), bytes(16), b"")
    with pytest.raises(LocalError):
        xchacha.hchacha20(bytes(31), bytes(16))


def test_a_wrong_implementation_fails_its_self_test() -> None:
    def forgetful(
        key: bytes, nonce: bytes, data: xchacha.Bytes, _associated: bytes
    ) -> xchacha.Bytes:
        return SODIUM.encrypt(key, nonce, data, b"")

    assert xchacha.passes_known_answer(SODIUM)
    assert not xchacha.passes_known_answer(Implementation("forgetful", forgetful, SODIUM.decrypt))
