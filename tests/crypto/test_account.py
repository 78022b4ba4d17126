"""An account's keystore: what opens it, and what does not."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace

import pytest

from repram.crypto import account, committed, identity, labels, passwords
from repram.crypto.account import KEYSTORE_SIZE, Keystore
from repram.crypto.passwords import Cost
from repram.crypto.people import Person, box_to
from repram.crypto.recovery import RecoveryKey
from repram.errors import IntegrityFailure, UsageError, WrongPassword
from tests import salamander

SEED = bytes(range(32))
RECOVERY = RecoveryKey(bytes(range(32, 64)))
TO_RECOVERY = Person(identity.public_key(RECOVERY.seed()))
HEAD_SIZE = 93


@pytest.fixture(autouse=True)
def cheap() -> Iterator[None]:
    with passwords.cheap_for_tests():
        yield


def keystore(password: bytes = b"password") -> Keystore:
    return account.sealed(SEED, password, TO_RECOVERY)


def test_password_and_recovery_key_give_the_same_identity() -> None:
    made = account.create(b"password", RECOVERY)
    stored = Keystore.parse(bytes(made))
    assert len(bytes(made)) == KEYSTORE_SIZE
    seed = account.open_with_password(stored, b"password")
    assert seed == account.open_with_recovery(stored, RECOVERY)
    assert identity.public_key(seed) == stored.person.key


def test_others_open_nothing_and_are_told_which_it_was() -> None:
    stored = keystore()
    with pytest.raises(WrongPassword, match="not the account's password"):
        account.open_with_password(stored, b"Password")
    with pytest.raises(WrongPassword, match="not the account's recovery key"):
        account.open_with_recovery(stored, RecoveryKey(bytes(32)))


def test_a_change_of_password_changes_every_key_but_the_identity() -> None:
    before, after = keystore(), keystore(b"new")
    assert before.person == after.person
    assert before.recovery == after.recovery
    assert before.salt != after.salt
    assert account.open_with_recovery(after, RECOVERY) == SEED
    with pytest.raises(WrongPassword):
        account.open_with_password(after, b"password")
    kek = account.kek_of(passwords.stretch(b"password", before.salt, before.cost))
    master = committed.open_sealed(kek, before.by_password, labels.MASTER_WRAP + before.head())
    with pytest.raises(committed.NotThisKey):  # whoever had MK before has nothing of it now
        committed.open_sealed(master, after.identity, labels.IDENTITY_WRAP + after.head())


def test_every_flipped_bit_is_refused_by_password_or_recovery_key_and_most_by_both() -> None:
    raw = bytes(keystore())
    for at in range(len(raw)):
        bent = bytearray(raw)
        bent[at] ^= 1
        outcomes = [opens(bytes(bent), b"password"), opens(bytes(bent), RECOVERY)]
        assert True not in outcomes if at < HEAD_SIZE else False in outcomes, at


def opens(raw: bytes, by: bytes | RecoveryKey) -> bool:
    """Whether it gives the identity; it must not give another, nor fail in another way."""
    try:
        stored = Keystore.parse(raw)
        if isinstance(by, RecoveryKey):
            return account.open_with_recovery(stored, by) == SEED
        return account.open_with_password(stored, by) == SEED
    except (IntegrityFailure, WrongPassword, UsageError):
        return False


def test_parts_of_two_keystores_do_not_go_together() -> None:
    one, other = keystore(), keystore(b"other")
    for mixed in (
        replace(one, by_password=other.by_password),
        replace(one, identity=other.identity),
        replace(one, recovery=Person(identity.public_key(bytes(32)))),
        replace(one, person=Person(identity.public_key(bytes(32)))),
    ):
        with pytest.raises((WrongPassword, IntegrityFailure)):
            account.open_with_password(mixed, b"password")
    for mixed in (
        replace(one, by_recovery=other.by_recovery),
        replace(one, by_recovery=box_to(TO_RECOVERY, bytes(32))),
        replace(one, by_recovery=bytes(80)),
    ):
        with pytest.raises(IntegrityFailure, match="damaged"):
            account.open_with_recovery(mixed, RECOVERY)


def test_another_identity_sealed_under_the_same_master_key_is_refused() -> None:
    one = keystore()
    kek = account.kek_of(passwords.stretch(b"password", one.salt, one.cost))
    master = committed.open_sealed(kek, one.by_password, labels.MASTER_WRAP + one.head())
    other = committed.seal(master, bytes(32), labels.IDENTITY_WRAP + one.head())
    with pytest.raises(IntegrityFailure, match="damaged"):
        account.open_with_password(replace(one, identity=other), b"password")


def test_a_wrap_made_to_open_under_two_passwords_opens_under_neither_but_the_committed_one() -> (
    None
):
    """Without commitments the second password would go on, and tell that it was among those tried."""
    stored = keystore()
    associated = labels.MASTER_WRAP + stored.head()
    one, other = (
        account.kek_of(passwords.stretch(each, stored.salt, stored.cost)) for each in (b"a", b"b")
    )
    made = salamander.committed_to(one, other, bytes(24), associated)
    two = replace(stored, by_password=made)
    with pytest.raises(IntegrityFailure, match="damaged"):  # it opens, to no MK of this account
        account.open_with_password(two, b"a")
    with pytest.raises(WrongPassword):
        account.open_with_password(two, b"b")


def test_a_box_for_two_recovery_keys_opens_with_the_one_that_the_keystore_names() -> None:
    """Boxes commit to no key; the public key in the head does, and is compared before a box is tried."""
    stored, other = keystore(), RecoveryKey(bytes([9]) * 32)
    kek = account.kek_of(passwords.stretch(b"password", stored.salt, stored.cost))
    master = committed.open_sealed(kek, stored.by_password, labels.MASTER_WRAP + stored.head())
    boxed = box_to(Person(identity.public_key(other.seed())), master)
    with pytest.raises(WrongPassword):
        account.open_with_recovery(replace(stored, by_recovery=boxed), other)


@pytest.mark.parametrize("cost", [Cost(2, 262_144, 4), Cost(3, 65_535, 4), Cost(3, 1 << 21, 4)])
def test_a_hostile_cost_is_refused_before_a_password_is_asked_for(
    cost: Cost, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = bytes(replace(keystore(), cost=cost))
    with monkeypatch.context() as real:  # undone before the tests' cost is
        real.setattr(passwords, "_floor", Cost(3, 65_536, 1))
        with pytest.raises(IntegrityFailure, match="cost was tampered with"):
            Keystore.parse(raw)


@pytest.mark.parametrize("size", [0, 1, HEAD_SIZE, KEYSTORE_SIZE - 1, KEYSTORE_SIZE + 1])
def test_another_size_is_damage_and_another_version_is_named(size: int) -> None:
    raw = bytes(keystore()) + b"\0"
    with pytest.raises(IntegrityFailure, match="damaged"):
        Keystore.parse(raw[:size])
    with pytest.raises(IntegrityFailure, match="damaged"):
        Keystore.parse(b"\0" + raw[1:KEYSTORE_SIZE])
    with pytest.raises(UsageError, match="newer repram"):
        Keystore.parse(b"\2" + raw)


def test_the_layout_is_the_documented_one() -> None:
    made = keystore()
    head = struct.pack(
        ">B32s32s16s3I", 1, made.person.key, made.recovery.key, made.salt, *made.cost
    )
    assert bytes(made) == head + made.by_password + made.by_recovery + made.identity
    assert [len(part) for part in (head, made.by_password, made.by_recovery, made.identity)] == [
        HEAD_SIZE,
        104,
        80,
        104,
    ]


def test_what_proves_the_password_is_not_what_wraps() -> None:
    root = passwords.stretch(b"password", bytes(16), passwords.account_cost())
    assert len({root, account.kek_of(root), account.login_seed(root)}) == 3
