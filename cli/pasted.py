"""What was pasted where something else belongs: said by its name, with what to do with it."""

from __future__ import annotations

from typing import Final

from repram.errors import UsageError
from repram.ids import INVITE_SCHEME, LINK_SCHEME, NODE_SCHEME, PERSON_SCHEME, SPACE_SCHEME

_KINDS: Final = (
    (LINK_SCHEME, "a link", "`repram download` opens links."),
    ("https://", "a link", "`repram download` opens links."),
    (NODE_SCHEME, "a node's address", "An address goes to --host or to `repram hosts add`."),
    (
        INVITE_SCHEME,
        "an invite to a node",
        "An invite is a secret: `repram hosts add` asks for it.",
    ),
    (PERSON_SCHEME, "a person's key", "It goes to `repram upload --to`."),
    (SPACE_SCHEME, "a space", "A space is a secret: `repram space join NAME` asks for it."),
)


def is_link(text: str) -> bool:
    """Whether it looks like one; whether it is one is another matter."""
    return text.startswith((LINK_SCHEME, "https://"))


def refuse(text: str, belongs: str) -> None:
    """Say what it is, if it is one of ours and none belongs here."""
    for scheme, what, hint in _KINDS:
        if text.strip().startswith(scheme):
            raise UsageError(f"this is {what}, and {belongs} belongs here", hint=hint)
