"""Spaces, as `docs/keys.md` states them byte for byte."""

from __future__ import annotations

import json
import re
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repram.crypto.links import Invite, parse_link
from repram.crypto.spaces import NAME_MAX, VALUE_MAX, Space, SpaceKeys, check_value, name_bytes
from repram.errors import IntegrityFailure, LocalError, UsageError
from repram.ids import ItemId, NodeAddress
from repram.proto.messages import NOTE_MAX, RECORD_MAX

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "spaces.json").read_text())
SPACE = Space(bytes.fromhex(VECTORS["space"]))
KEYS = SpaceKeys(SPACE)
ALPHABET = string.ascii_letters + string.digits + "-_.~:/#@+"
ITEM = KEYS.named("name").item

bytes32 = st.binary(min_size=32, max_size=32)
versions = st.integers(0, (1 << 63) - 1)
names = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=100)


@pytest.mark.parametrize("vector", VECTORS["spaces"], ids=lambda each: each["about"])
def test_spaces_of_the_vectors(vector: dict[str, str]) -> None:
    if vector["expect"] != "ok":
        with pytest.raises(UsageError, match=re.escape(vector["expect"])):
            Space.parse(vector["line"])
        return
    space = Space.parse(vector["line"])
    keys = SpaceKeys(space)
    assert space.secret.hex() == vector["secret"]
    assert str(space) == vector["line"].strip()
    assert keys.owner.hex() == vector["owner"]
    assert (keys._names.hex(), keys._values.hex()) == (vector["names"], vector["values"])


@pytest.mark.parametrize("vector", VECTORS["records"], ids=lambda each: each["about"])
def test_records_of_the_vectors(vector: dict[str, Any]) -> None:
    item, version = ItemId(bytes.fromhex(vector["id"])), vector["version"]
    sealed, note = bytes.fromhex(vector["sealed"]), bytes.fromhex(vector["note"])
    if vector["expect"] != "ok":
        with pytest.raises(IntegrityFailure):
            KEYS.open_value(item, version, sealed)
        return
    keys = SpaceKeys(SPACE, lambda size: bytes.fromhex(vector["nonce"]))
    named = keys.named(vector["name"])
    assert (named.label.hex(), named.item) == (vector["label"], item)
    assert keys.seal_value(item, version, bytes.fromhex(vector["value"])) == sealed
    assert keys.seal_name(item, version, vector["name"]) == note
    assert keys.open_value(item, version, sealed).hex() == vector["value"]
    assert name_bytes(keys.open_name(item, version, note)) == name_bytes(vector["name"])


@given(bytes32)
def test_a_space_comes_back_from_its_line(secret: bytes) -> None:
    space = Space(secret)
    assert Space.parse(f" {space}\n") == space


def test_any_one_changed_lost_or_doubled_character_is_noticed() -> None:
    text = str(SPACE)
    for index, character in enumerate(text):
        for other in [*sorted(set(ALPHABET) - {character}), "é", " ", "\n", ""]:
            with pytest.raises(UsageError):
                Space.parse(text[:index] + other + text[index + 1 :])
        with pytest.raises(UsageError):
            Space.parse(text[:index] + character + text[index:])


def test_no_error_and_no_repr_tells_the_secret() -> None:
    text = str(SPACE)
    tail = text.partition("v1.")[2]
    for each in (text[:-1], text + "A", text[:-1] + "_", text.replace("v1", "v2")):
        with pytest.raises(UsageError) as caught:
            Space.parse(each)
        assert tail[:12] not in str(caught.value) + caught.value.hint
    assert repr(SPACE.secret) not in repr(SPACE)


def test_a_space_in_anothers_place_is_named() -> None:
    for parse in (parse_link, NodeAddress.parse, Invite.parse):
        with pytest.raises(UsageError, match="this is a space") as caught:
            parse(str(SPACE))
        assert str(SPACE)[20:40] not in str(caught.value) + caught.value.hint


@given(
    st.one_of(st.text(max_size=100), st.text(ALPHABET).map(lambda end: f"repram+space://v1.{end}"))
)
def test_arbitrary_text_raises_nothing_but_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        Space.parse(text)


def test_two_spaces_share_no_owner_and_no_label() -> None:
    one, other = SpaceKeys(Space.new()), SpaceKeys(Space.new())
    assert one.owner != other.owner
    assert one.named("name").label != other.named("name").label


@given(versions, st.binary(max_size=200), names)
def test_what_was_sealed_opens_as_that_version_alone(version: int, value: bytes, name: str) -> None:
    item = KEYS.named(name).item
    sealed, note = KEYS.seal_value(item, version, value), KEYS.seal_name(item, version, name)
    assert KEYS.open_value(item, version, sealed) == value
    assert name_bytes(KEYS.open_name(item, version, note)) == name_bytes(name)
    for other in (version + 1, version ^ (1 << 62)):
        with pytest.raises(IntegrityFailure):
            KEYS.open_value(item, other, sealed)
        with pytest.raises(IntegrityFailure):
            KEYS.open_name(item, other, note)


def test_the_same_value_is_never_sealed_alike() -> None:
    assert KEYS.seal_value(ITEM, 1, b"same") != KEYS.seal_value(ITEM, 1, b"same")


def test_another_space_opens_nothing() -> None:
    sealed = KEYS.seal_value(ITEM, 1, b"value")
    with pytest.raises(IntegrityFailure):
        SpaceKeys(Space.new()).open_value(ITEM, 1, sealed)


def test_a_note_that_names_another_record_is_refused() -> None:
    misplaced = KEYS._seal(b"repram v1 sealed note", ITEM, 1, b"another name")
    with pytest.raises(IntegrityFailure, match="another record"):
        KEYS.open_name(ITEM, 1, misplaced)
    for nonsense in (b"", b"\xff", b"a\nb"):
        with pytest.raises(IntegrityFailure, match="holds no name"):
            KEYS.open_name(ITEM, 1, KEYS._seal(b"repram v1 sealed note", ITEM, 1, nonsense))


def test_the_longest_name_and_value_fit_into_a_record() -> None:
    longest = "é" * (NAME_MAX // 2)
    assert len(KEYS.seal_name(ITEM, 1, longest)) == NOTE_MAX
    assert len(KEYS.seal_value(ITEM, 1, bytes(VALUE_MAX))) == RECORD_MAX
    check_value(bytes(VALUE_MAX))
    with pytest.raises(UsageError, match="at most 1,048,536 bytes"):
        check_value(bytes(VALUE_MAX + 1))


@pytest.mark.parametrize(
    "name", ["", "é" * (NAME_MAX // 2 + 1), "a\nb", "a\0", "\x1b[2J", "\ud800"]
)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="name"):
        name_bytes(name)


def test_a_secret_of_another_size_is_a_callers_mistake() -> None:
    with pytest.raises(LocalError):
        Space(bytes(31))
