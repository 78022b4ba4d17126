"""A space: 32 random bytes that several machines share, and what is derived from them.

It prints as one line, `repram+space://v1.<secret and checksum>`. Who has it may read, write and list its
values; a node sees record ids, sizes and times, and nothing of names or values. `docs/keys.md` has it byte
by byte. No error and no repr says what stands after `v1.`.
"""

from __future__ import annotations

import re
import secrets
import struct
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Self

from blake3 import blake3

from repram.crypto import labels, xchacha
from repram.crypto.statements import Signer, record_id
from repram.crypto.xchacha import Bytes
from repram.errors import IntegrityFailure, LocalError, UsageError
from repram.ids import (
    INVITE_SCHEME,
    LINK_SCHEME,
    NODE_SCHEME,
    PERSON_SCHEME,
    SPACE_SCHEME,
    ItemId,
    from_base64url,
    to_base64url,
)
from repram.proto.messages import NOTE_MAX, RECORD_MAX

SECRET_SIZE: Final = 32
CHECKSUM_SIZE: Final = 4
OVERHEAD: Final = xchacha.NONCE_SIZE + xchacha.TAG_SIZE
NAME_MAX: Final = NOTE_MAX - OVERHEAD  # bytes; a sealed name has to fit into a record's note
VALUE_MAX: Final = RECORD_MAX - OVERHEAD

_START: Final = f"{SPACE_SCHEME}v1."
_FORM = re.compile(r"repram\+space://v1\.(?P<tail>[A-Za-z0-9_-]{48})")
_NAMES_KEPT: Final = 16_384
_AAD: Final = struct.Struct(">32sQ")
_COPY_AGAIN: Final = (
    "Copy the line again, whole: `repram space show` prints it where the space is known."
)
_OTHERS: Final = (
    (NODE_SCHEME, "a node's address", "An address goes to --host or to `repram hosts add`."),
    (INVITE_SCHEME, "an invite to a node", "An invite goes to `repram hosts add`."),
    (PERSON_SCHEME, "a person's key", "It goes to `repram upload --to`."),
    ((LINK_SCHEME, "https://", "http://"), "a link", "`repram download` opens links."),
)


@dataclass(frozen=True, slots=True)
class Space:
    """What its members share."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != SECRET_SIZE:
            raise LocalError(f"a space has {SECRET_SIZE} bytes, not {len(self.secret)}")

    @classmethod
    def new(cls, draw: Callable[[int], bytes] = secrets.token_bytes) -> Self:
        """One that nobody has yet."""
        return cls(draw(SECRET_SIZE))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the line as a person pastes it; a UsageError says what is wrong with it."""
        text = text.strip()
        match = _FORM.fullmatch(text)
        if match is None:
            raise _not_a_space(text)
        try:
            raw = from_base64url(match["tail"], SECRET_SIZE + CHECKSUM_SIZE)
        except UsageError:
            raise _changed() from None
        secret, checksum = raw[:SECRET_SIZE], raw[SECRET_SIZE:]
        if checksum != _checksum(secret):
            raise _changed()
        return cls(secret)

    def __str__(self) -> str:
        return _START + to_base64url(self.secret + _checksum(self.secret))


class Named(NamedTuple):
    """What a name becomes: alike for all members, and nothing to others."""

    raw: bytes  # the name itself
    label: bytes
    item: ItemId  # where its record is found


class SpaceKeys:
    """Who owns a space's records, what they are called, and how their names and values are sealed."""

    __slots__ = ("_draw", "_named", "_names", "_values", "signer")

    def __init__(self, space: Space, draw: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self.signer = Signer(labels.derive(labels.SPACE_OWNER, space.secret))
        self._names = labels.derive(labels.SPACE_NAMES, space.secret)
        self._values = labels.derive(labels.SPACE_VALUES, space.secret)
        self._draw = draw
        self._named: dict[str, Named] = {}  # of names asked for lately

    @property
    def owner(self) -> bytes:
        """The Ed25519 key that owns every record of the space."""
        return self.signer.key

    def named(self, name: str) -> Named:
        """What a name becomes, worked out once for names that are used again."""
        known = self._named.get(name)
        if known is None:
            if len(self._named) >= _NAMES_KEPT:
                self._named.clear()
            raw = name_bytes(name)
            label = blake3(raw, key=self._names).digest()
            known = self._named[name] = Named(raw, label, record_id(self.owner, label))
        return known

    def seal_value(self, item: ItemId, version: int, value: Bytes) -> bytes:
        """Nonce and sealed bytes; they open as this version of this record and as no other."""
        return self._seal(labels.SEALED_VALUE, item, version, value)

    def open_value(self, item: ItemId, version: int, sealed: Bytes) -> bytes:
        """The value, or IntegrityFailure: who could seal it has the space."""
        return self._open(labels.SEALED_VALUE, item, version, sealed)

    def seal_name(self, item: ItemId, version: int, name: str) -> bytes:
        """A record's note: its name, for members who list."""
        return self._seal(labels.SEALED_NOTE, item, version, self.named(name).raw)

    def open_name(self, item: ItemId, version: int, note: Bytes) -> str:
        """The name in a note; it must be the one that gives the record its id."""
        raw = self._open(labels.SEALED_NOTE, item, version, note)
        try:
            name = raw.decode()
            placed = self.named(name).item
        except (UnicodeDecodeError, UsageError):
            raise IntegrityFailure(f"the note of {item} holds no name") from None
        if placed != item:
            raise IntegrityFailure(f"the note of {item} holds the name of another record")
        return name

    def _seal(self, label: bytes, item: ItemId, version: int, data: Bytes) -> bytes:
        nonce = self._draw(xchacha.NONCE_SIZE)
        associated = label + _AAD.pack(item.raw, version)
        return nonce + xchacha.encrypt(self._values, nonce, data, associated)

    def _open(self, label: bytes, item: ItemId, version: int, sealed: Bytes) -> bytes:
        if len(sealed) < OVERHEAD:
            raise IntegrityFailure(f"what came for {item} is shorter than its nonce and tag")
        nonce, body = bytes(sealed[: xchacha.NONCE_SIZE]), sealed[xchacha.NONCE_SIZE :]
        associated = label + _AAD.pack(item.raw, version)
        return bytes(xchacha.decrypt(self._values, nonce, body, associated))


def name_bytes(name: str) -> bytes:
    """A name in UTF-8 and NFC: one name however it was typed. A UsageError says what is wrong."""
    try:
        raw = unicodedata.normalize("NFC", name).encode()
    except UnicodeEncodeError:
        raise UsageError("the name is not text: it holds half a character") from None
    if not 0 < len(raw) <= NAME_MAX:
        raise UsageError(f"a name has 1 to {NAME_MAX} bytes of UTF-8, and this has {len(raw)}")
    if any(unicodedata.category(character) == "Cc" for character in name):
        raise UsageError("a name has no control characters, such as line ends")
    return raw


def check_value(value: Bytes) -> None:
    """Refuse what no record holds."""
    if len(value) > VALUE_MAX:
        raise UsageError(
            f"a value has at most {VALUE_MAX:,} bytes, and this one has more",
            hint="`repram upload` takes what is larger: store its link as the value.",
        )


def _checksum(secret: bytes) -> bytes:
    return labels.derive(labels.SPACE_CHECKSUM, _START.encode() + secret, CHECKSUM_SIZE)


def _changed() -> UsageError:
    return UsageError("the space was changed on the way: its checksum is wrong", hint=_COPY_AGAIN)


def _not_a_space(text: str) -> UsageError:
    for scheme, what, hint in _OTHERS:
        if text.startswith(scheme):
            return UsageError(f"this is {what}, and a space belongs here", hint=hint)
    if not text.startswith(SPACE_SCHEME):
        return UsageError(
            "this is not a space",
            hint="A space starts with repram+space:// and is what `repram space new` prints.",
        )
    if not text.startswith(_START):
        return UsageError(
            "the space is of a version that this repram does not know, or it was changed on the way",
            hint=f"{_COPY_AGAIN} If it is whole, update repram.",
        )
    return UsageError(
        "the space was changed on the way: its form is not a space's", hint=_COPY_AGAIN
    )
