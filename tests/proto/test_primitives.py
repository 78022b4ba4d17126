"""The primitives that packets and handshakes use give the published answers, or are refused at the start."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import crypto_sign_ed25519_sk_to_curve25519, crypto_sign_seed_keypair

from repram._core import ffi, lib
from repram.errors import IntegrityFailure, LocalError, RepramError
from repram.proto import primitives
from repram.proto.primitives import (
    Suite,
    blake2b,
    dh,
    dh_public,
    identity_to_dh,
    open_sealed,
    seal,
    sodium,
)

if TYPE_CHECKING:
    from repram._core import CData

VECTORS = Path(__file__).parents[1] / "vectors"
OPTIONAL = {"aegis256_encrypt", "aegis256_decrypt"}
FIELDS = [name for name, _ in ffi.typeof("rp_sodium").fields]
NONCE_SIZES = {Suite.XCHACHA20: 24, Suite.AEGIS256: 32}
Vector = dict[str, str]

each_suite = pytest.mark.parametrize("suite", list(Suite))


def vectors(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((VECTORS / f"{name}.json").read_text())
    return found


def parts(vector: Vector, *names: str) -> list[bytes]:
    return [bytes.fromhex(vector[name]) for name in names]


# ---- the suites ----


@pytest.mark.parametrize("vector", vectors("xchacha20poly1305")["aead"])
def test_published_xchacha20_poly1305(vector: Vector) -> None:
    key, nonce, aad, plain, sealed = parts(vector, "key", "nonce", "aad", "plaintext", "sealed")
    assert seal(Suite.XCHACHA20, key, nonce, aad, plain) == sealed
    assert open_sealed(Suite.XCHACHA20, key, nonce, aad, sealed) == plain


def folded(tag: bytes) -> bytes:
    """AEGIS's 128-bit tag out of its 256-bit one, which packets carry: its halves, one on the other."""
    return bytes(one ^ other for one, other in zip(tag[:16], tag[16:], strict=True))


@pytest.mark.parametrize("vector", vectors("aegis256")["valid"], ids=lambda each: each["id"])
def test_published_aegis_256(vector: Vector) -> None:
    key, nonce, aad, plain = parts(vector, "key", "nonce", "aad", "plaintext")
    sealed = seal(Suite.AEGIS256, key, nonce, aad, plain)
    assert sealed[: len(plain)].hex() == vector["ciphertext"]
    assert folded(sealed[len(plain) :]).hex() == vector["tag"]
    assert open_sealed(Suite.AEGIS256, key, nonce, aad, sealed) == plain


@pytest.mark.parametrize("vector", vectors("aegis256")["invalid"], ids=lambda each: each["id"])
def test_aegis_256_refuses_published_forgeries(vector: Vector) -> None:
    """The published tag has 128 bits: a 256-bit one that folds to it, and differs in one half only."""
    key, nonce, aad, text, tag = parts(vector, "key", "nonce", "aad", "ciphertext", "tag")
    plain = bytes.fromhex(vector["plaintext"])
    half = seal(Suite.AEGIS256, key, nonce, aad, plain)[-16:]
    for forged in (folded(tag + half) + half, half + folded(half + tag)):
        assert folded(forged) == tag
        with pytest.raises(IntegrityFailure):
            open_sealed(Suite.AEGIS256, key, nonce, aad, text + forged)


@each_suite
@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 31, 32, 33])
def test_every_flipped_bit_is_refused(suite: Suite, size: int) -> None:
    key, nonce, aad, plain = b"k" * 32, b"n" * NONCE_SIZES[suite], b"about", b"p" * size
    sealed = seal(suite, key, nonce, aad, plain)
    for what, length in (("sealed", len(sealed)), ("aad", len(aad)), ("nonce", len(nonce))):
        for bit in range(8 * length):
            given_ = {"sealed": bytearray(sealed), "aad": bytearray(aad), "nonce": bytearray(nonce)}
            given_[what][bit // 8] ^= 1 << bit % 8
            changed = {name: bytes(value) for name, value in given_.items()}
            with pytest.raises(IntegrityFailure):
                open_sealed(suite, key, changed["nonce"], changed["aad"], changed["sealed"])


@each_suite
def test_what_is_shorter_than_a_tag_is_refused(suite: Suite) -> None:
    for size in range(primitives.TAG_SIZES[suite]):
        with pytest.raises(IntegrityFailure):
            open_sealed(suite, bytes(32), bytes(NONCE_SIZES[suite]), b"", bytes(size))


@each_suite
def test_keys_and_nonces_of_the_wrong_size_are_a_callers_mistake(suite: Suite) -> None:
    nonce = bytes(NONCE_SIZES[suite])
    for key, wrong in (
        (bytes(31), nonce),
        (bytes(33), nonce),
        (bytes(32), nonce[1:]),
        (bytes(32), nonce + b"0"),
    ):
        with pytest.raises(LocalError):
            seal(suite, key, wrong, b"", b"")
        with pytest.raises(LocalError):
            open_sealed(suite, key, wrong, b"", bytes(64))


# ---- X25519 and its keys ----


@pytest.mark.parametrize("vector", vectors("x25519")["products"])
def test_published_x25519_products(vector: Vector) -> None:
    private, public, shared = parts(vector, "private", "public", "shared")
    assert dh(private, public) == shared


def test_published_x25519_iteration() -> None:
    expected = {vector["times"]: vector["result"] for vector in vectors("x25519")["iterated"]}
    private = public = b"\x09" + bytes(31)
    for times in range(1, max(expected) + 1):
        private, public = dh(private, public), private
        assert private.hex() == expected.get(times, private.hex())


@pytest.mark.parametrize("vector", vectors("x25519")["exchange"])
def test_published_x25519_exchange(vector: Vector) -> None:
    private, public, peer, shared = parts(vector, "private", "public", "peer", "shared")
    assert dh_public(private) == public
    assert dh(private, peer) == shared


PRIME = 2**255 - 19
SMALL_ORDER = (  # RFC 7748 section 6.1 asks for a check; these are all the points that can fail it
    *(number.to_bytes(32, "little") for number in (0, 1, PRIME - 1, PRIME, PRIME + 1)),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
)


@pytest.mark.parametrize("point", SMALL_ORDER, ids=lambda each: each.hex()[:8])
@pytest.mark.parametrize("high_bit", [0, 0x80])
def test_an_all_zero_secret_is_refused(point: bytes, high_bit: int) -> None:
    peer = point[:31] + bytes([point[31] | high_bit])
    for private in (bytes(32), b"\x77" * 32, hashlib.sha256(peer).digest()):
        with pytest.raises(IntegrityFailure):
            dh(private, peer)


@pytest.mark.parametrize("vector", vectors("x25519")["images"])
def test_published_image_of_an_identity(vector: Vector) -> None:
    assert identity_to_dh(bytes.fromhex(vector["ed25519"])).hex() == vector["x25519"]


@given(st.binary(min_size=32, max_size=32))
def test_the_image_belongs_to_the_private_keys_image(seed: bytes) -> None:
    public, secret = crypto_sign_seed_keypair(seed)
    assert identity_to_dh(public) == dh_public(crypto_sign_ed25519_sk_to_curve25519(secret))


@pytest.mark.parametrize(
    "key",
    [bytes(32), b"\1" + bytes(31), b"\xff" * 32, b"\x02" + bytes(31)],
    ids=["order 4", "neutral", "not reduced", "not on the curve"],
)
def test_what_is_no_ed25519_key_has_no_image(key: bytes) -> None:
    with pytest.raises(IntegrityFailure):
        identity_to_dh(key)


# ---- BLAKE2b ----


@pytest.mark.parametrize("vector", vectors("blake2b")["hashes"])
def test_published_blake2b(vector: Vector) -> None:
    assert blake2b(bytes.fromhex(vector["input"])).hex() == vector["hash"]


@given(st.binary(max_size=600))
def test_blake2b_is_that_of_the_standard_library(data: bytes) -> None:
    assert blake2b(data) == hashlib.blake2b(data).digest()


def fibonacci_bytes(size: int, seed: int) -> bytes:
    """The input of RFC 7693, appendix E."""
    a, b, out = 0xDEAD4BAD * seed & 0xFFFFFFFF, 1, bytearray()
    for _ in range(size):
        a, b = b, (a + b) & 0xFFFFFFFF
        out.append(b >> 24)
    return bytes(out)


def digest(data: bytes, size: int, key: bytes = b"") -> bytes:
    """Through the functions that the core is handed, in two pieces."""
    memory = ffi.new("uint8_t[448]")
    state = ffi.addressof(memory, -int(ffi.cast("uintptr_t", memory)) % 64)
    out = ffi.new("unsigned char[]", size)
    sodium().blake2b_init(state, key or ffi.NULL, len(key), size)
    for piece in (data[:100], data[100:]):
        sodium().blake2b_update(state, piece, len(piece))
    sodium().blake2b_final(state, out, size)
    return bytes(ffi.buffer(out))


def test_published_self_test_of_blake2b_with_keys_and_all_output_sizes() -> None:
    total = b""
    for size, length in product((20, 32, 48, 64), (0, 3, 128, 129, 255, 1024)):
        data = fibonacci_bytes(length, length)
        total += digest(data, size) + digest(data, size, fibonacci_bytes(size, size))
    assert digest(total, 32).hex() == vectors("blake2b")["self_test"]


# ---- the table of functions ----


def changed_table(**fields: object) -> CData:
    """The table, with some of its pointers replaced."""
    table = ffi.new("rp_sodium *", sodium()[0])
    for name, value in fields.items():
        setattr(
            table, name, ffi.cast(ffi.typeof("rp_sodium").fields[FIELDS.index(name)][1].type, value)
        )
    return table


def test_the_table_that_is_in_use_passes() -> None:
    assert lib.rp_crypto_check(sodium()) == 0
    assert all(getattr(sodium(), name) for name in FIELDS)


@pytest.mark.parametrize("name", [name for name in FIELDS if name != "aegis256_encrypt"])
def test_a_missing_function_is_noticed(name: str) -> None:
    assert lib.rp_crypto_check(changed_table(**{name: 0})) == lib.RP_E_CRYPTO


def test_a_libsodium_without_aegis_is_taken_and_does_not_have_that_suite() -> None:
    assert lib.rp_crypto_check(changed_table(aegis256_encrypt=0, aegis256_decrypt=0)) == 0


# A function of the same form that does something else: what a damaged or replaced library has there.
STANDS_IN = {
    "hchacha20": "crypto_core_hsalsa20",
    "chacha20poly1305_ietf_encrypt": "crypto_aead_chacha20poly1305_encrypt",
    "chacha20poly1305_ietf_decrypt": "crypto_aead_chacha20poly1305_decrypt",
    "aegis256_encrypt": "crypto_aead_aegis128l_encrypt",
    "aegis256_decrypt": "crypto_aead_aegis128l_decrypt",
    "scalarmult": "crypto_scalarmult_ed25519",
    "scalarmult_base": "crypto_scalarmult_ed25519_base",
    "sign_pk_to_curve25519": "crypto_sign_ed25519_sk_to_curve25519",
    "blake2b_init": "crypto_hash_sha512_init",
    "blake2b_update": "crypto_hash_sha512_update",
    "blake2b_final": "crypto_hash_sha512_final",
    "memcmp": "crypto_verify_16",
    "memzero": "randombytes_buf",
}


LookUp = Callable[[str, str], "CData"]


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> LookUp:
    """Looks a field of the table up under another name."""

    def look_up(field: str, name: str) -> CData:
        monkeypatch.setitem(primitives._NAMES, field, name)
        found: CData = sodium.__wrapped__()
        return found

    return look_up


@pytest.mark.parametrize("field", FIELDS)
def test_a_swapped_function_is_refused_with_what_to_do(named: LookUp, field: str) -> None:
    with pytest.raises(RepramError, match="gave a wrong known answer") as caught:
        named(field, STANDS_IN[field])
    assert "reinstall PyNaCl" in caught.value.hint


@pytest.mark.parametrize("field", sorted(set(FIELDS) - OPTIONAL))
def test_a_function_that_is_not_there_is_named_with_what_to_do(named: LookUp, field: str) -> None:
    with pytest.raises(RepramError, match="has no crypto_unheard_of") as caught:
        named(field, "crypto_unheard_of")
    assert "PyNaCl 1.6" in caught.value.hint


def test_aegis_may_be_missing_as_a_pair_only(named: LookUp) -> None:
    with pytest.raises(RepramError, match="gave a wrong known answer"):
        named("aegis256_decrypt", "crypto_unheard_of")
    table = named("aegis256_encrypt", "crypto_unheard_of")
    assert not table.aegis256_encrypt
    assert not table.aegis256_decrypt
