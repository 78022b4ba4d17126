"""The locks on a head: the link's secret always, then people's keys, then a password, as the sender chose.

What a node holds is one page of one size whatever is inside, so it cannot tell locks, people or names.
`docs/keys.md` has the layers byte by byte.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from repram.crypto import committed, labels, passwords, people, sealing
from repram.crypto.passwords import SALT_SIZE, Cost
from repram.crypto.people import BOX_SIZE, Person
from repram.crypto.xchacha import KEY_SIZE, Bytes
from repram.errors import IntegrityFailure, LocalError, NotAllowed, UsageError, WrongPassword
from repram.ids import ItemId

PAGE_SIZE: Final = 8_192
ITEM_SIZE: Final = PAGE_SIZE + committed.OVERHEAD
MAX_PEOPLE: Final = 32
_LENGTH: Final = struct.Struct(">I")
_COST: Final = struct.Struct(">III")

_Amount = Annotated[int, Meta(ge=0, lt=1 << 32)]
_Salt = Annotated[bytes, Meta(min_length=SALT_SIZE, max_length=SALT_SIZE)]
_Box = Annotated[bytes, Meta(min_length=BOX_SIZE, max_length=BOX_SIZE)]


class _Plain(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="plain"):
    """Nothing more stands before the head."""

    head: bytes


class _ForPassword(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="password"
):
    """Opens with a password, at this cost."""

    salt: _Salt
    t: _Amount
    m_kib: _Amount
    p: _Amount
    sealed: bytes

    @property
    def cost(self) -> Cost:
        return Cost(self.t, self.m_kib, self.p)


class _ForPeople(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="people"
):
    """Opens with the key that lies in every box, each of which one person can open."""

    boxes: Annotated[tuple[_Box, ...], Meta(min_length=1, max_length=MAX_PEOPLE)]
    sealed: bytes


_Layer: TypeAlias = _Plain | _ForPassword | _ForPeople


@dataclass(frozen=True, slots=True)
class Locks:
    """What a reader needs besides the link: a password, or to be one of these people, or both."""

    password: bytes | None = field(default=None, repr=False)
    people: tuple[Person, ...] = ()

    def __post_init__(self) -> None:
        if len(self.people) > MAX_PEOPLE:
            raise UsageError(f"at most {MAX_PEOPLE} people can be named, not {len(self.people)}")


def lock(secret: bytes, head: bytes, locks: Locks) -> bytes:
    """The sealed item that a link with this secret leads to."""
    layer: _Layer = _Plain(head)
    if locks.password is not None:
        salt, cost = passwords.new_salt(), passwords.link_cost()
        key = passwords.stretch(locks.password, salt, cost)
        sealed = committed.seal(key, _encode(layer), _about_password(salt, cost))
        layer = _ForPassword(salt, *cost, sealed)
    if locks.people:
        key = secrets.token_bytes(KEY_SIZE)
        boxes = tuple(people.box_to(person, key) for person in locks.people)
        layer = _ForPeople(boxes, committed.seal(key, _encode(layer), _about_people(boxes)))
    return committed.seal(_page_key(secret), _page(_encode(layer)), labels.SEALED_HEAD)


class Locked:
    """A head behind what is left of its locks; each opens to what is behind it."""

    def __init__(self, layer: _Layer) -> None:
        self._layer = layer

    @property
    def needs(self) -> Literal["password", "people"] | None:
        """What opens the next lock; None when there is none left."""
        if isinstance(self._layer, _Plain):
            return None
        return "password" if isinstance(self._layer, _ForPassword) else "people"

    @property
    def head(self) -> bytes:
        """What was locked, once nothing is needed any more."""
        if not isinstance(self._layer, _Plain):
            raise LocalError(f"this still needs the {self.needs}")
        return self._layer.head

    @property
    def boxes(self) -> tuple[bytes, ...]:
        """One of them has to be unboxed, when people are needed."""
        return self._layer.boxes if isinstance(self._layer, _ForPeople) else ()

    def open_password(self, password: bytes) -> Locked:
        """Try one; takes a moment. WrongPassword leaves this as it was, for another try."""
        layer = self._layer
        if not isinstance(layer, _ForPassword):
            raise LocalError("no password is needed here")
        key = passwords.stretch(password, layer.salt, layer.cost)
        about = _about_password(layer.salt, layer.cost)
        try:
            inner = committed.open_sealed(key, layer.sealed, about)
        except committed.NotThisKey:
            raise WrongPassword from None
        return Locked(_decode(inner, _inside_password))

    def open_people(self, unbox: Callable[[bytes], bytes | None]) -> Locked:
        """Try each box with what opens those of this reader, and gives None for the others."""
        layer = self._layer
        if not isinstance(layer, _ForPeople):
            raise LocalError("nobody's key is needed here")
        key = next((key for box in layer.boxes if (key := unbox(box)) is not None), None)
        if key is None:
            raise NotAllowed(
                "this was sealed to other people's keys",
                hint="Send the sender what `repram id` prints here, and ask for a new link.",
            )
        inner = committed.open_sealed(key, layer.sealed, _about_people(layer.boxes))
        return Locked(_decode(inner, _inside_people))


def unlock(item: ItemId, sealed: Bytes, secret: bytes) -> Locked:
    """Verify what a node sent for `item`, and open it with the link's secret."""
    sealing.check_id(item, sealed)
    if len(sealed) != ITEM_SIZE:
        raise IntegrityFailure("what this link names is no head: its size is another")
    try:
        page = committed.open_sealed(_page_key(secret), sealed, labels.SEALED_HEAD)
    except committed.NotThisKey:
        raise IntegrityFailure("the key in the link is not the one of what it names") from None
    (length,) = _LENGTH.unpack_from(page)
    return Locked(_decode(page[_LENGTH.size :][:length], _outside))


def _page(layer: bytes) -> bytes:
    framed = _LENGTH.pack(len(layer)) + layer
    if len(framed) > PAGE_SIZE:
        raise LocalError("the head and its locks are more than a page")
    return framed.ljust(PAGE_SIZE, b"\0")


def _page_key(secret: bytes) -> bytes:
    return labels.derive(labels.LINK_HEAD_KEY, secret)


def _about_password(salt: bytes, cost: Cost) -> bytes:
    return labels.PASSWORD_LOCK + salt + _COST.pack(*cost)


def _about_people(boxes: Sequence[bytes]) -> bytes:
    return labels.PEOPLE_LOCK + b"".join(boxes)


def _decode(encoded: bytes, decoder: msgspec.msgpack.Decoder[_Layer]) -> _Layer:
    try:
        layer = decoder.decode(encoded)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise IntegrityFailure(
            "the head is locked in a way that this version does not know", hint="Update repram."
        ) from None
    if isinstance(layer, _ForPassword):
        passwords.check_cost(layer.cost)  # before anybody is asked for a password
    return layer


_encode = msgspec.msgpack.Encoder().encode
_outside: Final[msgspec.msgpack.Decoder[_Layer]] = msgspec.msgpack.Decoder(
    _Plain | _ForPassword | _ForPeople
)
_inside_people: Final[msgspec.msgpack.Decoder[_Layer]] = msgspec.msgpack.Decoder(
    _Plain | _ForPassword
)
_inside_password: Final[msgspec.msgpack.Decoder[_Layer]] = msgspec.msgpack.Decoder(_Plain)
