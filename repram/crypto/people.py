"""A person: an Ed25519 public key that others seal to. `repram+id://<key and checksum>`, and no secret."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

import nacl.bindings as sodium
from nacl.exceptions import CryptoError

from repram.crypto import labels
from repram.crypto.identity import public_key, x25519_image, x25519_secret
from repram.errors import IntegrityFailure, LocalError, UsageError
from repram.ids import (
    INVITE_SCHEME,
    KEY_SIZE,
    LINK_SCHEME,
    NODE_SCHEME,
    PERSON_SCHEME,
    SPACE_SCHEME,
    from_base64url,
    to_base64url,
)

BOX_SIZE: Final = 32 + KEY_SIZE + 16  # an ephemeral key, the secret, a tag

_CHECKSUM_SIZE: Final = 4
_FORM = re.compile(r"repram\+id://(?P<tail>[A-Za-z0-9_-]{48})")
_COPY_AGAIN: Final = "Copy it again, whole: the other person's `repram id` prints it."
_OTHERS: Final = (
    (NODE_SCHEME, "a node's address", "An address goes to --host or to `repram hosts add`."),
    (INVITE_SCHEME, "an invite to a node", "An invite goes to `repram hosts add`."),
    (SPACE_SCHEME, "a space", "A space goes to `repram space join`, and is a secret."),
    ((LINK_SCHEME, "https://", "http://"), "a link", "`repram download` opens links."),
)


@dataclass(frozen=True, slots=True)
class Person:
    """Whom something is sealed to."""

    key: bytes

    def __post_init__(self) -> None:
        if len(self.key) != KEY_SIZE:
            raise LocalError(f"a person's key has {KEY_SIZE} bytes, not {len(self.key)}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `repram id` prints; a UsageError says what is wrong with it."""
        text = text.strip()
        match = _FORM.fullmatch(text)
        if match is None:
            raise _not_a_person(text)
        try:
            raw = from_base64url(match["tail"], KEY_SIZE + _CHECKSUM_SIZE)
        except UsageError:
            raise _changed() from None
        key, checksum = raw[:KEY_SIZE], raw[KEY_SIZE:]
        if checksum != _checksum(key):
            raise _changed()
        try:
            x25519_image(key)
        except UsageError:
            raise UsageError(
                "this holds no Ed25519 public key: no person can have it", hint=_COPY_AGAIN
            ) from None
        return cls(key)

    def __str__(self) -> str:
        return PERSON_SCHEME + to_base64url(self.key + _checksum(self.key))


def box_to(person: Person, secret: bytes) -> bytes:
    """32 bytes that this person alone can take out; nobody can tell from the box for whom it is."""
    if len(secret) != KEY_SIZE:
        raise LocalError(f"a box takes {KEY_SIZE} bytes, not {len(secret)}")
    return sodium.crypto_box_seal(secret, x25519_image(person.key))


def unbox(seed: bytes, box: bytes) -> bytes:
    """What is in a box to the person who has this seed; IntegrityFailure when it is to somebody else."""
    if len(box) != BOX_SIZE:
        raise IntegrityFailure(f"a box has {BOX_SIZE} bytes, not {len(box)}")
    try:
        return sodium.crypto_box_seal_open(box, x25519_image(public_key(seed)), x25519_secret(seed))
    except CryptoError:
        raise IntegrityFailure("the box was sealed to another person's key") from None


def _checksum(key: bytes) -> bytes:
    return labels.derive(labels.PERSON_CHECKSUM, PERSON_SCHEME.encode() + key, _CHECKSUM_SIZE)


def _changed() -> UsageError:
    return UsageError(
        "the person's key was changed on the way: its checksum is wrong", hint=_COPY_AGAIN
    )


def _not_a_person(text: str) -> UsageError:
    for scheme, what, hint in _OTHERS:
        if text.startswith(scheme):
            return UsageError(f"this is {what}, and a person's key belongs here", hint=hint)
    if not text.startswith(PERSON_SCHEME):
        return UsageError(
            "this is not a person's key",
            hint="It starts with repram+id:// and is what the other person's `repram id` prints.",
        )
    return UsageError(
        "the person's key was changed on the way: its form is not that of one", hint=_COPY_AGAIN
    )
