"""Who may talk to whom: secrets, pairing, and what a wrong one looks like."""

import pytest

from repram.errors import DeadAddress, NotAllowed, RepramError, WrongSecret
from repram.proto.connection import Secret, Settings
from repram.proto.primitives import Pattern
from tests.proto.duo import Duo

ALL = Settings(patterns=tuple(Pattern))
INVITE = Secret(b"invite-1", b"\x01" * 32)
NETWORK = Secret(b"network1", b"\x02" * 32)
PAIRING = Secret(bytes(8), b"\x03" * 32)


def test_a_caller_with_a_secret_is_known_by_it() -> None:
    duo = Duo()
    for secret in (INVITE, NETWORK):
        duo.server.add_secret(secret)
    for secret in (NETWORK, INVITE):
        mine, theirs = duo.connect(secret=secret)
        assert theirs.secret_id == secret.id
        assert mine.handshake_hash() == theirs.handshake_hash()
        assert duo.transfer(mine, theirs, b"hello") == b"hello"


def test_a_caller_without_a_secret_has_none() -> None:
    duo = Duo()
    duo.server.add_secret(INVITE)
    assert duo.connect()[1].secret_id is None


@pytest.mark.parametrize(
    "secret", [Secret(b"unknown!", INVITE.secret), Secret(INVITE.id, b"\x09" * 32)]
)
def test_a_wrong_secret_is_named(secret: Secret) -> None:
    duo = Duo()
    duo.server.add_secret(INVITE)
    with pytest.raises(WrongSecret):
        duo.connect(secret=secret)
    assert duo.connect(secret=INVITE)[1].secret_id == INVITE.id


def test_a_removed_secret_opens_nothing_more() -> None:
    duo = Duo()
    duo.server.add_secret(INVITE)
    mine, theirs = duo.connect(secret=INVITE)
    duo.server.remove_secret(INVITE.id)
    with pytest.raises(WrongSecret):
        duo.connect(secret=INVITE)
    assert duo.transfer(mine, theirs, b"the open session goes on") == b"the open session goes on"


def test_secrets_are_bounded_and_distinct() -> None:
    duo = Duo(settings=Settings(max_secrets=1))
    duo.server.add_secret(INVITE)
    with pytest.raises(RepramError):
        duo.server.add_secret(NETWORK)
    with pytest.raises(RepramError):
        duo.server.add_secret(INVITE)


@pytest.mark.parametrize("identity", [None, b"m" * 32])
def test_xx_tells_each_side_who_the_other_is(identity: bytes | None) -> None:
    duo = Duo(settings=ALL, client_identity=identity)
    mine, theirs = duo.connect(pattern=Pattern.XX)
    assert mine.peer_key == duo.server.key
    assert theirs.peer_key == (duo.client.key if identity else None)
    assert mine.handshake_hash() == theirs.handshake_hash()
    assert duo.transfer(theirs, mine, b"x" * 100_000) == b"x" * 100_000


def test_xx_survives_the_loss_of_each_of_its_messages() -> None:
    for lost in range(6):
        duo = Duo(settings=ALL)
        count = iter(range(1000))
        duo.path = lambda *d, lost=lost, count=count: [] if next(count) == lost else [d]
        mine, theirs = duo.connect(pattern=Pattern.XX)
        assert duo.transfer(mine, theirs, b"through") == b"through"


def test_xxpsk3_needs_the_pairing_secret_on_both_sides() -> None:
    duo = Duo(settings=ALL)
    duo.server.add_secret(PAIRING)
    mine, theirs = duo.connect(pattern=Pattern.XXPSK3, secret=PAIRING)
    assert theirs.secret_id == PAIRING.id
    assert duo.transfer(mine, theirs, b"paired") == b"paired"
    with pytest.raises(DeadAddress):
        duo.connect(pattern=Pattern.XXPSK3, secret=Secret(bytes(8), b"\x04" * 32))


def test_a_listener_answers_only_the_patterns_it_was_told() -> None:
    with pytest.raises(NotAllowed):
        Duo().connect(pattern=Pattern.XX)
