"""An account: an Ed25519 identity that only its password, or its recovery key, takes out of its keystore.

    password ── Argon2id(salt, cost) ──► root ──► KEK ── wraps ── MK ── wraps ── the identity's seed
                                          └─────► the seed of the login key
    recovery key ──► the key to which the same MK is boxed

MK is random, and another one whenever the password changes, so an old password and an old copy of the
keystore together open that copy and nothing newer. It is boxed to a key, and not wrapped under the
recovery key itself, so that a change of password needs no recovery key and leaves the words as they are.
What stands in the head is bound into both wraps. `docs/keys.md` has it byte by byte.
"""

from __future__ import annotations

import hmac
import secrets
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self, TypeAlias

from repram.crypto import committed, identity, labels, people
from repram.crypto.passwords import SALT_SIZE, Cost, account_cost, check_cost, stretch
from repram.crypto.people import BOX_SIZE, Person
from repram.crypto.recovery import RecoveryKey
from repram.errors import IntegrityFailure, UsageError, WrongPassword

VERSION: Final = 1
SEED_SIZE: Final = 32

_HEAD: Final = struct.Struct(f">B32s32s{SALT_SIZE}sIII")
_WRAP_SIZE: Final = SEED_SIZE + committed.OVERHEAD
KEYSTORE_SIZE: Final = _HEAD.size + _WRAP_SIZE + BOX_SIZE + _WRAP_SIZE

Draw: TypeAlias = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Keystore:
    """What is stored of an account: useless without its password or its recovery key."""

    person: Person
    recovery: Person  # to whom MK is boxed: whoever has the recovery key
    salt: bytes
    cost: Cost
    by_password: bytes
    by_recovery: bytes
    identity: bytes

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read stored bytes; the cost is checked here, before anybody is asked for a password."""
        if raw[:1] and raw[0] > VERSION:
            raise UsageError(
                "the account's keystore was written by a newer repram", hint="Update repram."
            )
        if len(raw) != KEYSTORE_SIZE or raw[0] != VERSION:
            raise _damaged()
        _, person, recovery, salt, t, m_kib, p = _HEAD.unpack_from(raw)
        cost = Cost(t, m_kib, p)
        check_cost(cost)
        box = _HEAD.size + _WRAP_SIZE
        wraps = raw[_HEAD.size : box], raw[box : box + BOX_SIZE], raw[box + BOX_SIZE :]
        return cls(Person(person), Person(recovery), salt, cost, *wraps)

    def __bytes__(self) -> bytes:
        return self.head() + self.by_password + self.by_recovery + self.identity

    def head(self) -> bytes:
        """What is not secret, and is bound into every wrap."""
        return _HEAD.pack(VERSION, self.person.key, self.recovery.key, self.salt, *self.cost)


def create(password: bytes, recovery: RecoveryKey, draw: Draw = secrets.token_bytes) -> Keystore:
    """A new account, with an identity that nobody has yet."""
    return sealed(draw(SEED_SIZE), password, Person(identity.public_key(recovery.seed())), draw)


def sealed(
    seed: bytes, password: bytes, recovery: Person, draw: Draw = secrets.token_bytes
) -> Keystore:
    """The identity under this password, with a new MK, a new salt, and the cost of today."""
    salt, cost, master = draw(SALT_SIZE), account_cost(), draw(SEED_SIZE)
    person = Person(identity.public_key(seed))
    bare = Keystore(person, recovery, salt, cost, b"", b"", b"")
    head = bare.head()
    kek = kek_of(stretch(password, salt, cost))
    return Keystore(
        person,
        recovery,
        salt,
        cost,
        committed.seal(kek, master, labels.MASTER_WRAP + head, draw),
        people.box_to(recovery, master),
        committed.seal(master, seed, labels.IDENTITY_WRAP + head, draw),
    )


def open_with_password(keystore: Keystore, password: bytes) -> bytes:
    """The identity's seed; takes a moment, and must not run on an event loop."""
    kek = kek_of(stretch(password, keystore.salt, keystore.cost))
    try:
        associated = labels.MASTER_WRAP + keystore.head()
        master = committed.open_sealed(kek, keystore.by_password, associated)
    except committed.NotThisKey:
        raise WrongPassword("this is not the account's password") from None
    return _identity(keystore, master)


def open_with_recovery(keystore: Keystore, recovery: RecoveryKey) -> bytes:
    """The identity's seed. The keystore names the one recovery key that may try: that is the commitment."""
    seed = recovery.seed()
    if not hmac.compare_digest(identity.public_key(seed), keystore.recovery.key):
        raise WrongPassword(
            "this is not the account's recovery key",
            hint="`repram id` prints whose account it is; another account has other words.",
        )
    try:
        master = people.unbox(seed, keystore.by_recovery)
    except IntegrityFailure:
        raise _damaged() from None
    return _identity(keystore, master)


def kek_of(root: bytes) -> bytes:
    """The key that wraps MK."""
    return labels.derive(labels.ACCOUNT_KEK, root)


def login_seed(root: bytes) -> bytes:
    """The seed of the key that proves to a coordinator that somebody knows the password."""
    return labels.derive(labels.LOGIN_SEED, root)


def _identity(keystore: Keystore, master: bytes) -> bytes:
    try:
        associated = labels.IDENTITY_WRAP + keystore.head()
        seed = committed.open_sealed(master, keystore.identity, associated)
    except IntegrityFailure:
        raise _damaged() from None
    if identity.public_key(seed) != keystore.person.key:
        raise _damaged()
    return seed


def _damaged() -> IntegrityFailure:
    return IntegrityFailure(
        "the account's keystore is damaged, or was tampered with",
        hint="Put back a copy of it, or move it away and make a new account.",
    )
