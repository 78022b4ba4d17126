"""Locks on a head: each opens with its own key alone, and a node cannot tell which there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repram.crypto import committed, identity, locks, passwords, people, sealing
from repram.crypto.locks import ITEM_SIZE, MAX_PEOPLE, PAGE_SIZE, Locked, Locks, lock, unlock
from repram.crypto.people import Person
from repram.errors import (
    IntegrityFailure,
    LocalError,
    NotAllowed,
    RepramError,
    UsageError,
    WrongPassword,
)
from tests.handmade import SECRET, under_the_link
from tests.salamander import committed_to

HEAD = b"head" * 20
ANNA, BORIS, CARLA = (bytes([n]) * 32 for n in (1, 2, 3))
PASSWORD = Locks(password=b"correct horse")


@pytest.fixture(autouse=True)
def _cheap() -> Iterator[None]:
    with passwords.cheap_for_tests():
        yield


def person(seed: bytes) -> Person:
    return Person(identity.public_key(seed))


def opens_for(seed: bytes) -> Callable[[bytes], bytes | None]:
    def unbox(box: bytes) -> bytes | None:
        try:
            return people.unbox(seed, box)
        except IntegrityFailure:
            return None

    return unbox


def reopen(sealed: bytes, secret: bytes = SECRET) -> Locked:
    return unlock(sealing.id_of(sealed), sealed, secret)


def test_a_head_without_more_locks_opens_with_the_link() -> None:
    locked = reopen(lock(SECRET, HEAD, Locks()))
    assert (locked.needs, locked.head) == (None, HEAD)


def test_a_password_opens_it_and_another_can_be_tried_again() -> None:
    locked = reopen(lock(SECRET, HEAD, PASSWORD))
    assert locked.needs == "password"
    with pytest.raises(WrongPassword):
        locked.open_password(b"wrong horse")
    assert locked.open_password(b"correct horse").head == HEAD


def test_people_open_it_and_nobody_else_does() -> None:
    locked = reopen(lock(SECRET, HEAD, Locks(people=(person(ANNA), person(BORIS)))))
    assert locked.needs == "people"
    for seed in (ANNA, BORIS):
        assert locked.open_people(opens_for(seed)).head == HEAD
    with pytest.raises(NotAllowed, match="other people's keys"):
        locked.open_people(opens_for(CARLA))


def test_people_come_before_the_password() -> None:
    locked = reopen(lock(SECRET, HEAD, Locks(password=b"p", people=(person(ANNA),))))
    inner = locked.open_people(opens_for(ANNA))
    assert (locked.needs, inner.needs) == ("people", "password")
    assert inner.open_password(b"p").head == HEAD


def test_a_node_cannot_tell_what_locks_there_are() -> None:
    everyone = tuple(person(bytes([n]) * 32) for n in range(MAX_PEOPLE))
    kinds = (Locks(), PASSWORD, Locks(people=everyone), Locks(b"p", everyone))
    for head in (b"", HEAD, bytes(5_281)):
        assert {len(lock(SECRET, head, each)) for each in kinds} == {ITEM_SIZE}
    with pytest.raises(UsageError, match="32 people"):
        Locks(people=(*everyone, person(ANNA)))
    with pytest.raises(LocalError, match="more than a page"):
        lock(SECRET, bytes(PAGE_SIZE), Locks())


def test_the_same_head_is_never_sealed_alike() -> None:
    assert lock(SECRET, HEAD, Locks()) != lock(SECRET, HEAD, Locks())


def test_another_link_or_other_bytes_do_not_open() -> None:
    sealed = lock(SECRET, HEAD, Locks())
    with pytest.raises(IntegrityFailure, match="key in the link"):
        reopen(sealed, bytes(32))
    with pytest.raises(IntegrityFailure, match="other bytes"):
        unlock(sealing.id_of(sealed), sealed[:-1] + b"x", SECRET)
    for other in (sealed[:-1], sealed + b"\0", b""):
        with pytest.raises(IntegrityFailure, match="size"):
            reopen(other)


def test_nothing_is_passed_over() -> None:
    for locked in (reopen(lock(SECRET, HEAD, PASSWORD)),):
        with pytest.raises(LocalError):
            _ = locked.head
        with pytest.raises(LocalError):
            locked.open_people(opens_for(ANNA))
    with pytest.raises(LocalError):
        reopen(lock(SECRET, HEAD, Locks())).open_password(b"p")


@pytest.mark.parametrize(
    "cost",
    [(0, 128, 1), (1, 127, 1), (1, 128, 0), (17, 128, 1), (1, (1 << 20) + 1, 1), (1, 128, 17)],
)
def test_a_hostile_cost_is_refused_before_a_password_is_asked_for(
    cost: tuple[int, int, int],
) -> None:
    with pytest.raises(IntegrityFailure, match="cost"):
        reopen(under_the_link(["password", bytes(16), *cost, b""]))


def test_an_altered_cost_or_salt_opens_nothing() -> None:
    key = passwords.stretch(b"p", bytes(16), passwords.Cost(1, 129, 1))
    inner = msgspec.msgpack.encode(["plain", HEAD])
    sealed = committed.seal(key, inner, locks._about_password(bytes(16), passwords.link_cost()))
    with pytest.raises(WrongPassword):
        reopen(under_the_link(["password", bytes(16), 1, 129, 1, sealed])).open_password(b"p")


def test_what_opens_under_two_passwords_opens_under_one() -> None:
    """A body made to decrypt under both keys: the commitment is to one of them."""
    salt, cost = bytes(16), passwords.link_cost()
    one, other = (passwords.stretch(text, salt, cost) for text in (b"one", b"other"))
    sealed = committed_to(one, other, bytes(24), locks._about_password(salt, cost))
    locked = reopen(under_the_link(["password", salt, *cost, sealed]))
    with pytest.raises(WrongPassword):
        locked.open_password(b"other")


def test_boxes_that_were_exchanged_open_nothing() -> None:
    key = bytes(32)
    ours, theirs = ((people.box_to(person(seed), key),) for seed in (ANNA, BORIS))
    inner = msgspec.msgpack.encode(["plain", HEAD])
    sealed = committed.seal(key, inner, locks._about_people(ours))
    assert (
        reopen(under_the_link(["people", ours, sealed])).open_people(opens_for(ANNA)).head == HEAD
    )
    with pytest.raises(IntegrityFailure):
        reopen(under_the_link(["people", theirs, sealed])).open_people(opens_for(BORIS))


def test_layers_nest_one_way_only() -> None:
    """Password in password, people in people or people in password: each would be a loop to pay for."""
    key, salt, cost = bytes(32), bytes(16), passwords.link_cost()
    boxes = (people.box_to(person(ANNA), key),)
    for inner in (["people", boxes, b""], ["password", salt, *cost, b""]):
        stretched = passwords.stretch(b"p", salt, cost)
        sealed = committed.seal(
            stretched, msgspec.msgpack.encode(inner), locks._about_password(salt, cost)
        )
        with pytest.raises(IntegrityFailure, match="does not know"):
            reopen(under_the_link(["password", salt, *cost, sealed])).open_password(b"p")
    sealed = committed.seal(
        key, msgspec.msgpack.encode(["people", boxes, b""]), locks._about_people(boxes)
    )
    with pytest.raises(IntegrityFailure, match="does not know"):
        reopen(under_the_link(["people", boxes, sealed])).open_people(opens_for(ANNA))


@given(
    st.recursive(
        st.none() | st.integers() | st.binary(max_size=50) | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=7),
    ).filter(lambda layer: not (isinstance(layer, int) and not -(1 << 63) <= layer < 1 << 63))
)
def test_arbitrary_layers_raise_nothing_else(layer: object) -> None:
    try:
        sealed = under_the_link(layer)
    except (OverflowError, msgspec.ValidationError):
        return
    with pytest.raises(RepramError):
        _ = reopen(sealed).head


def test_no_repr_tells_the_password() -> None:
    assert "horse" not in repr(PASSWORD)
    assert "head" not in repr(reopen(lock(SECRET, HEAD, Locks())))
