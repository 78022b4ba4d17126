"""People's keys, as `docs/keys.md` states them, and what is sealed to them."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repram.crypto import identity
from repram.crypto.links import Invite, parse_link
from repram.crypto.people import BOX_SIZE, Person, box_to, unbox
from repram.crypto.spaces import Space
from repram.errors import IntegrityFailure, LocalError, UsageError
from repram.ids import NodeAddress

SEED = bytes(range(32))
PERSON = Person(identity.public_key(SEED))
ALPHABET = string.ascii_letters + string.digits + "-_.~:/#@+"

seeds = st.binary(min_size=32, max_size=32)


@given(seeds)
def test_a_person_comes_back_from_the_text(seed: bytes) -> None:
    person = Person(identity.public_key(seed))
    assert Person.parse(f" {person}\n") == person
    assert len(str(person)) == 60


def test_any_one_changed_lost_or_doubled_character_is_noticed() -> None:
    text = str(PERSON)
    for index, character in enumerate(text):
        for other in [*sorted(set(ALPHABET) - {character}), "é", " ", "\n", ""]:
            with pytest.raises(UsageError):
                Person.parse(text[:index] + other + text[index + 1 :])
        with pytest.raises(UsageError):
            Person.parse(text[:index] + character + text[index:])


@pytest.mark.parametrize("key", [bytes(32), b"\xff" * 32, b"\x02" + bytes(31)])
def test_what_is_no_key_is_nobody(key: bytes) -> None:
    with pytest.raises(UsageError, match="no person can have it"):
        Person.parse(str(Person(key)))
    with pytest.raises(LocalError):
        Person(key[1:])


def test_a_person_in_anothers_place_is_named_and_the_other_way_round() -> None:
    for parse in (parse_link, NodeAddress.parse, Invite.parse, Space.parse):
        with pytest.raises(UsageError, match="this is a person's key"):
            parse(str(PERSON))
    others = {
        str(Space.new()): "a space",
        f"repram+node://{'A' * 43}@host": "a node's address",
        "repram+invite://": "an invite",
        "repram://": "a link",
        "https://": "a link",
    }
    for text, what in others.items():
        with pytest.raises(UsageError, match=f"this is {what}") as caught:
            Person.parse(text)
        assert text not in str(caught.value) + caught.value.hint


@settings(max_examples=50)
@given(st.one_of(st.text(max_size=80), st.text(ALPHABET).map(lambda end: f"repram+id://{end}")))
def test_arbitrary_text_raises_nothing_but_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        Person.parse(text)


@given(seeds, seeds)
def test_a_box_opens_for_the_one_to_whom_it_was_sealed(seed: bytes, secret: bytes) -> None:
    box = box_to(Person(identity.public_key(seed)), secret)
    assert len(box) == BOX_SIZE
    assert unbox(seed, box) == secret


def test_a_box_opens_for_nobody_else_and_not_when_it_was_changed() -> None:
    box = box_to(PERSON, bytes(32))
    with pytest.raises(IntegrityFailure, match="another person"):
        unbox(bytes(32), box)
    for bent in (box[:-1], box + b"\0", b"", bytes(BOX_SIZE), box[:-1] + bytes([box[-1] ^ 1])):
        with pytest.raises(IntegrityFailure):
            unbox(SEED, bent)


def test_no_two_boxes_are_alike_and_none_says_for_whom_it_is() -> None:
    boxes = {box_to(PERSON, bytes(32)) for _ in range(3)}
    assert len(boxes) == 3
    assert not any(identity.x25519_image(PERSON.key) in box for box in boxes)
    with pytest.raises(LocalError):
        box_to(PERSON, bytes(31))
