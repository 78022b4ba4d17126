"""The link grammar: where, what, and after `#` the secret that stays with the client.

    repram://<node key>@<host>/<item id>#v1.<secret and checksum>
    https://<host>/s/<item id>#v1.<secret and checksum>

and, for the right to store on a node, its sibling:

    repram+invite://<node key>@<host>#v1.<id, secret and checksum>

One link has one text. The last four of the bytes after `v1.` are a checksum over everything before
them, so a character that changed on the way is noticed here, before anything is sent. No error and no
repr says what stands after `#`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Self

from repram.crypto import labels
from repram.errors import LocalError, UsageError
from repram.ids import (
    INVITE_SCHEME,
    KEY_SIZE,
    LINK_SCHEME,
    NODE_SCHEME,
    PERSON_SCHEME,
    SPACE_SCHEME,
    HostPort,
    ItemId,
    NodeAddress,
    from_base64url,
    to_base64url,
)

SECRET_SIZE: Final = 32
CHECKSUM_SIZE: Final = 4
INVITE_ID_SIZE: Final = 8
MAX_HOST: Final = 51
MAX_LINK: Final = 200

_WEB_SCHEME: Final = "https://"
_WEB_PORT: Final = 443
_FORM = re.compile(
    r"(repram://(?P<key>[A-Za-z0-9_-]{43})@(?P<at>[a-z0-9._:~-]{1,51})/"
    r"|https://(?P<web>[a-z0-9._:-]{1,90})/s/)"
    r"(?P<id>[A-Za-z0-9_-]{43})#v1\.(?P<tail>[A-Za-z0-9_-]{48})"
)
_INVITE_FORM = re.compile(
    r"repram\+invite://(?P<key>[A-Za-z0-9_-]{43})@(?P<at>[a-z0-9._:~-]{1,260})"
    r"#v1\.(?P<tail>[A-Za-z0-9_-]{59})"
)
_COPY_AGAIN: Final = (
    "Copy the link again, whole: not one character may change or be lost on the way."
)
_INVITE_AGAIN: Final = "Copy the invite again, whole, or ask for a new one."


@dataclass(frozen=True, slots=True)
class Link:
    """A self-contained link: the node that holds the manifest, the manifest's id, and the secret."""

    node: NodeAddress
    item: ItemId
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        _check_secret(self.secret)
        if len(_link_host(self.node.at)) > MAX_HOST:
            raise UsageError(
                f"the node's host and port are longer than the {MAX_HOST} characters of a link",
                hint="Give the node by its IP address or by a shorter name.",
            )

    def __str__(self) -> str:
        where = f"{to_base64url(self.node.key)}@{_link_host(self.node.at)}"
        return _with_tail(f"{LINK_SCHEME}{where}/{self.item}#v1.", self.secret)


@dataclass(frozen=True, slots=True)
class WebLink:
    """The same for a browser, by way of a coordinator that knows where the item is."""

    coordinator: HostPort
    item: ItemId
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        _check_secret(self.secret)
        if self.coordinator.is_ipv6 or len(_web_host(self.coordinator)) > MAX_HOST:
            raise UsageError(f"a web link names its coordinator in at most {MAX_HOST} characters")

    def __str__(self) -> str:
        host = _web_host(self.coordinator)
        return _with_tail(f"{_WEB_SCHEME}{host}/s/{self.item}#v1.", self.secret)


@dataclass(frozen=True, slots=True)
class Invite:
    """The right to store on a node: where it is, and a secret that it knows under a random id."""

    node: NodeAddress
    id: bytes
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        _check_secret(self.secret)
        if len(self.id) != INVITE_ID_SIZE:
            raise LocalError(f"an invite's id has {INVITE_ID_SIZE} bytes, not {len(self.id)}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an invite as a person pastes it; a UsageError says what is wrong with it."""
        text = text.strip()
        match = _INVITE_FORM.fullmatch(text)
        if match is None:
            raise _not_an_invite(text)
        start = text[: match.start("tail")]
        raw = from_base64url(match["tail"], INVITE_ID_SIZE + SECRET_SIZE + CHECKSUM_SIZE)
        named, checksum = raw[:-CHECKSUM_SIZE], raw[-CHECKSUM_SIZE:]
        if checksum != _checksum(start, named):
            raise UsageError(
                "the invite was changed on the way: its checksum is wrong", hint=_INVITE_AGAIN
            )
        node = NodeAddress(from_base64url(match["key"], KEY_SIZE), _host_of_link(match["at"]))
        invite = cls(node, named[:INVITE_ID_SIZE], named[INVITE_ID_SIZE:])
        if str(invite) != text:
            raise UsageError(
                "the invite is not written the one way an invite is written", hint=_INVITE_AGAIN
            )
        return invite

    def __str__(self) -> str:
        start = f"{INVITE_SCHEME}{to_base64url(self.node.key)}@{_link_host(self.node.at)}#v1."
        return _with_tail(start, self.id + self.secret)


def parse_link(text: str) -> Link | WebLink:
    """Read a link as a person pastes it; a UsageError says what is wrong with it."""
    text = text.strip()
    match = _FORM.fullmatch(text)
    if match is None:
        raise _not_a_link(text)
    start = text[: match.start("tail")]
    tail = from_base64url(match["tail"], SECRET_SIZE + CHECKSUM_SIZE)
    secret, checksum = tail[:SECRET_SIZE], tail[SECRET_SIZE:]
    if checksum != _checksum(start, secret):
        raise UsageError("the link was changed on the way: its checksum is wrong", hint=_COPY_AGAIN)
    link = _from_parts(match, secret)
    if str(link) != text:
        raise UsageError("the link is not written the one way a link is written", hint=_COPY_AGAIN)
    return link


def _from_parts(match: re.Match[str], secret: bytes) -> Link | WebLink:
    item = ItemId.parse(match["id"])
    if match["key"] is None:
        host, colon, _ = match["web"].partition(":")
        at = HostPort.parse(match["web"] if colon else f"{host}:{_WEB_PORT}")
        return WebLink(at, item, secret)
    node = NodeAddress(from_base64url(match["key"], KEY_SIZE), _host_of_link(match["at"]))
    return Link(node, item, secret)


def _with_tail(start: str, secret: bytes) -> str:
    return start + to_base64url(secret + _checksum(start, secret))


def _checksum(start: str, secret: bytes) -> bytes:
    """Over the text up to and with `v1.` and over the secret itself."""
    return labels.derive(labels.LINK_CHECKSUM, start.encode("ascii") + secret, CHECKSUM_SIZE)


def _link_host(at: HostPort) -> str:
    """IPv6 stands without brackets, which shells expand, and its port after `~`."""
    return f"{at.host}~{at.port}" if at.is_ipv6 else f"{at.host}:{at.port}"


def _host_of_link(text: str) -> HostPort:
    host, tilde, port = text.partition("~")
    return HostPort.parse(f"[{host}]:{port}" if tilde else text)


def _web_host(at: HostPort) -> str:
    return at.host if at.port == _WEB_PORT else f"{at.host}:{at.port}"


def _check_secret(secret: bytes) -> None:
    if len(secret) != SECRET_SIZE:
        raise LocalError(f"a secret has {SECRET_SIZE} bytes, not {len(secret)}")


def _not_an_invite(text: str) -> UsageError:
    if text.startswith(NODE_SCHEME):
        return UsageError(
            "this is a node's address, and an invite belongs here",
            hint="An address opens public nodes only; ask the node's owner for an invite.",
        )
    if text.startswith((LINK_SCHEME, _WEB_SCHEME, "http://")):
        return UsageError(
            "this is a link, and an invite belongs here",
            hint="`repram download` opens links; an invite starts with repram+invite://",
        )
    if text.startswith(SPACE_SCHEME):
        return UsageError(
            "this is a space, and an invite belongs here",
            hint="A space goes to `repram space join`; an invite starts with repram+invite://",
        )
    if text.startswith(PERSON_SCHEME):
        return UsageError(
            "this is a person's key, and an invite belongs here",
            hint="It goes to `repram upload --to`; an invite starts with repram+invite://",
        )
    if not text.startswith(INVITE_SCHEME):
        return UsageError(
            "this is not an invite",
            hint="An invite starts with repram+invite:// and is what `repram storaged invite` prints.",
        )
    return UsageError(
        "the invite was changed on the way: its form is not an invite's", hint=_INVITE_AGAIN
    )


def _not_a_link(text: str) -> UsageError:
    if text.startswith(INVITE_SCHEME):
        return UsageError(
            "this is an invite to a node, and a link belongs here",
            hint="An invite goes to `repram hosts add`; `repram upload` prints links.",
        )
    if text.startswith(SPACE_SCHEME):
        return UsageError(
            "this is a space, and a link belongs here",
            hint="A space goes to `repram space join`; `repram upload` prints links.",
        )
    if text.startswith(PERSON_SCHEME):
        return UsageError(
            "this is a person's key, and a link belongs here",
            hint="It goes to `repram upload --to`; `repram upload` prints links.",
        )
    if text.startswith(NODE_SCHEME):
        return UsageError(
            "this is a node's address, and a link belongs here",
            hint="An address goes to --host; `repram upload` prints links, which start with repram://.",
        )
    if not text.startswith((LINK_SCHEME, _WEB_SCHEME)):
        return UsageError(
            "this is not a link",
            hint="A link starts with repram:// and is what `repram upload` prints.",
        )
    if "#" not in text:
        return UsageError(
            "the link lacks its part from `#` on, without which nothing can be read",
            hint=_COPY_AGAIN,
        )
    if not text.partition("#")[2].startswith("v1."):
        return UsageError(
            "the link is of a version that this repram does not know, or it was changed on the way",
            hint=f"{_COPY_AGAIN} If it is whole, update repram.",
        )
    if len(text) > MAX_LINK:
        return UsageError(
            f"the link is longer than the {MAX_LINK} characters of a link", hint=_COPY_AGAIN
        )
    return UsageError("the link was changed on the way: its form is not a link's", hint=_COPY_AGAIN)
