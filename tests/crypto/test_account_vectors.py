"""tests/vectors/accounts.json, read by repram and by a reader that shares no code with it.

The second reader knows docs/keys.md, and uses blake3, argon2 and libsodium as they are.
"""

from __future__ import annotations

import hashlib
import json
import struct
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

import nacl.bindings as sodium
import pytest
from argon2.low_level import Type, hash_secret_raw
from blake3 import blake3
from mnemonic import Mnemonic
from nacl.exceptions import CryptoError

from repram.crypto import account, committed, people
from repram.crypto.account import Keystore
from repram.crypto.passwords import Cost, cheap_for_tests, check_cost, password_bytes, stretch
from repram.crypto.people import Person
from repram.crypto.recovery import RecoveryKey
from repram.errors import IntegrityFailure, UsageError, WrongPassword
from repram.ids import to_base64url
from tests.vectors import accounts

VECTORS = json.loads(accounts.FILE.read_text())


def each(kind: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("vector", VECTORS[kind], ids=lambda vector: vector["about"])


def raw(vector: dict[str, Any], *names: str) -> Iterator[bytes]:
    return (bytes.fromhex(vector[name]) for name in names)


def outcome(error: Exception) -> str:
    """What an error of repram's is called in the file."""
    if isinstance(error, WrongPassword):
        return "recovery" if "recovery key" in str(error) else "password"
    if isinstance(error, UsageError):
        return "newer" if "newer" in str(error) else "text"
    if isinstance(error, committed.NotThisKey):
        return "key"
    return "cost" if "cost" in str(error) else "damaged"


def test_the_file_is_what_its_command_writes() -> None:
    assert accounts.made() == VECTORS


@each("passwords")
def test_passwords(vector: dict[str, Any]) -> None:
    cost = Cost(vector["t"], vector["m_kib"], vector["p"])
    password, (salt,) = password_bytes(vector["password"]), raw(vector, "salt")
    if vector["expect"] != "ok":
        with pytest.raises(IntegrityFailure) as caught:
            check_cost(cost)
        assert outcome(caught.value) == vector["expect"]
        return
    with cheap_for_tests():
        root = stretch(password, salt, cost)
    assert root == second_root(vector["password"], salt, cost)
    answers = root, account.kek_of(root), account.login_seed(root)
    assert answers == tuple(raw(vector, "root", "kek", "login_seed"))
    labels = ("repram v1 account kek", "repram v1 login seed")
    assert answers[1:] == tuple(derived(label, root) for label in labels)


@each("committed")
def test_committed(vector: dict[str, Any]) -> None:
    key, sealed, associated = raw(vector, "key", "sealed", "associated")
    if vector["expect"] == "ok":
        opened = committed.open_sealed(key, sealed, associated)
        assert opened.hex() == vector["plaintext"]
        assert second_open(key, sealed, associated) == opened
        return
    with pytest.raises(IntegrityFailure) as caught:
        committed.open_sealed(key, sealed, associated)
    assert outcome(caught.value) == vector["expect"]
    assert second_open(key, sealed, associated) is None


@each("people")
def test_people(vector: dict[str, Any]) -> None:
    if vector["expect"] != "ok":
        with pytest.raises(UsageError):
            Person.parse(vector["text"])
        return
    (key,) = raw(vector, "key")
    checksum = derived("repram v1 person checksum", b"repram+id://" + key)[:4]
    assert vector["text"] == "repram+id://" + to_base64url(key + checksum)
    assert Person.parse(vector["text"]).key == key


@each("boxes")
def test_boxes(vector: dict[str, Any]) -> None:
    seed, box = raw(vector, "seed", "box")
    if vector["expect"] == "ok":
        assert people.unbox(seed, box).hex() == vector["secret"]
        assert second_unbox(seed, box) == people.unbox(seed, box)
        return
    with pytest.raises(IntegrityFailure):
        people.unbox(seed, box)
    assert second_unbox(seed, box) is None


@each("recovery")
def test_recovery_words(vector: dict[str, Any]) -> None:
    if vector["expect"] != "ok":
        with pytest.raises(UsageError):
            RecoveryKey.parse(vector["words"])
        return
    key = RecoveryKey.parse(vector["words"])
    assert (key.secret, key.seed()) == tuple(raw(vector, "secret", "seed"))
    assert key.seed() == derived("repram v1 recovery seed", second_words(vector["words"]))


@each("keystores")
def test_keystores(vector: dict[str, Any]) -> None:
    (stored,) = raw(vector, "keystore")
    for by in ("password", "words"):
        if by not in vector:
            continue
        if vector["expect"] == "ok":
            assert opened(stored, by, vector[by]).hex() == vector["seed"]
            assert second_keystore(stored, by, vector[by]) == opened(stored, by, vector[by])
            continue
        with pytest.raises((IntegrityFailure, UsageError, WrongPassword)) as caught:
            opened(stored, by, vector[by])
        assert outcome(caught.value) == vector["expect"]
        assert second_keystore(stored, by, vector[by]) is None


def opened(stored: bytes, by: str, text: str) -> bytes:
    with cheap_for_tests():
        keystore = Keystore.parse(stored)
        if by == "password":
            return account.open_with_password(keystore, password_bytes(text))
        return account.open_with_recovery(keystore, RecoveryKey.parse(text))


# The second reader: None is whatever does not open.


def derived(label: str, material: bytes) -> bytes:
    return blake3(material, derive_key_context=label).digest()


def second_root(password: str, salt: bytes, cost: Sequence[int]) -> bytes:
    typed = unicodedata.normalize("NFC", password).encode()
    t, m_kib, p = cost
    return hash_secret_raw(typed, salt, t, m_kib, p, 32, Type.ID)


def second_open(key: bytes, sealed: bytes, associated: bytes) -> bytes | None:
    stated, nonce, body = sealed[:32], sealed[32:56], sealed[56:]
    if stated != derived("repram v1 key commitment", key + nonce + associated):
        return None
    return aead(derived("repram v1 committed key", key), nonce, body, associated)


def aead(key: bytes, nonce: bytes, body: bytes, associated: bytes) -> bytes | None:
    try:
        return sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(body, associated, nonce, key)
    except (CryptoError, ValueError):
        return None


def second_unbox(seed: bytes, box: bytes) -> bytes | None:
    hidden = bytearray(hashlib.sha512(seed).digest()[:32])
    hidden[0] &= 248
    hidden[31] = hidden[31] & 127 | 64
    image = sodium.crypto_scalarmult_base(bytes(hidden))
    nonce = hashlib.blake2b(box[:32] + image, digest_size=24).digest()
    try:
        return sodium.crypto_box_open(box[32:], nonce, box[:32], bytes(hidden))
    except CryptoError:
        return None


def second_words(words: str) -> bytes:
    return bytes(Mnemonic("english").to_entropy(words.lower().split()))


def second_keystore(stored: bytes, by: str, text: str) -> bytes | None:
    if len(stored) != 381:
        return None
    head, wrapped, box, sealed = stored[:93], stored[93:197], stored[197:277], stored[277:]
    version, person, recovery, salt, *cost = struct.unpack(">B32s32s16s3I", head)
    if version != 1 or cost[0] > 16:
        return None
    master: bytes | None
    if by == "password":
        kek = derived("repram v1 account kek", second_root(text, salt, cost))
        master = second_open(kek, wrapped, b"repram v1 master wrap" + head)
    else:
        seed = derived("repram v1 recovery seed", second_words(text))
        if sodium.crypto_sign_seed_keypair(seed)[0] != recovery:
            return None
        master = second_unbox(seed, box)
    found = second_open(master, sealed, b"repram v1 identity wrap" + head) if master else None
    matches = found is not None and sodium.crypto_sign_seed_keypair(found)[0] == person
    return found if matches else None
