"""Identifiers and quantities that people type, parsed once; malformed text is a UsageError."""

from __future__ import annotations

import base64
import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

from repram.errors import UsageError

NODE_SCHEME: Final = "repram+node://"
LINK_SCHEME: Final = "repram://"
INVITE_SCHEME: Final = "repram+invite://"
SPACE_SCHEME: Final = "repram+space://"
PERSON_SCHEME: Final = "repram+id://"
DEFAULT_PORT: Final = 7433
KEY_SIZE: Final = 32
ID_SIZE: Final = 32

_KEY_TEXT = re.compile(r"[A-Za-z0-9_-]{43}")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_NAME = re.compile(
    r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
_AMOUNT = re.compile(r"([0-9]{1,12})([A-Za-z]{0,3})")

_MILLISECONDS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_BYTES: Final[dict[str, int]] = {
    "": 1,
    "B": 1,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
    "kB": 1_000,
    "MB": 1_000_000,
    "GB": 1_000_000_000,
    "TB": 1_000_000_000_000,
}
_MAX_DURATION = 100 * 365 * _MILLISECONDS["d"]
_MAX_BYTES = 1 << 62


def to_base64url(raw: bytes) -> str:
    """Unpadded base64url, the only text form of bytes in addresses and links."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def from_base64url(text: str, size: int) -> bytes:
    """Exactly `size` bytes; one text for one value: stray low bits in the last character are refused."""
    if not _BASE64URL.fullmatch(text):
        raise UsageError("only the letters, digits, `-` and `_` of base64url may stand here")
    if len(text) != (size * 8 + 5) // 6:
        raise UsageError(f"{len(text)} characters where {(size * 8 + 5) // 6} belong")
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if to_base64url(raw) != text:
        raise UsageError("the last character is wrong")
    return raw


@dataclass(frozen=True, slots=True, order=True)
class ItemId:
    """What an item is called: BLAKE3-256 of its sealed bytes."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != ID_SIZE:
            raise UsageError(f"an item id has {ID_SIZE} bytes, not {len(self.raw)}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The 43 characters of base64url that `str()` writes."""
        if not _KEY_TEXT.fullmatch(text):
            raise UsageError("this is not an item id: 43 characters of base64url belong here")
        return cls(from_base64url(text, ID_SIZE))

    def __str__(self) -> str:
        return to_base64url(self.raw)


@dataclass(frozen=True, slots=True)
class HostPort:
    """A host (name in lower case, IPv4, or IPv6 in its shortest form, no brackets) and a UDP port."""

    host: str
    port: int = DEFAULT_PORT

    def __post_init__(self) -> None:
        if not 0 < self.port < 1 << 16:
            raise UsageError(f"port {self.port} is not between 1 and 65535")
        if self.host != _normal_host(self.host):
            raise UsageError("a host stands here in lower case and in its shortest form")

    @classmethod
    def parse(cls, text: str) -> Self:
        """`host`, `host:port`, `[ipv6]`, `[ipv6]:port`; a bare IPv6 address means the default port."""
        if text.startswith("["):
            host, closed, rest = text[1:].partition("]")
            if not closed or ":" not in host or (rest and not rest.startswith(":")):
                raise UsageError("an IPv6 host is written [address]:port")
            return cls(_normal_host(host), _port(rest[1:]) if rest else DEFAULT_PORT)
        if text.count(":") > 1:
            return cls(_normal_host(text))
        host, colon, port = text.partition(":")
        return cls(_normal_host(host), _port(port) if colon else DEFAULT_PORT)

    @property
    def is_ipv6(self) -> bool:
        """Whether the host is an IPv6 address, which alone has colons in it."""
        return ":" in self.host

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if self.is_ipv6 else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """Where a node is and whom to expect there: `repram+node://<key>@host:port`."""

    key: bytes
    at: HostPort

    def __post_init__(self) -> None:
        if len(self.key) != KEY_SIZE:
            raise UsageError(f"a node key has {KEY_SIZE} bytes, not {len(self.key)}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an address as a person pastes it; the port may be left out."""
        text = text.strip()
        if text.startswith((LINK_SCHEME, "https://", "http://")):
            raise UsageError(
                "this is a link, and a node's address belongs here",
                hint="`repram download` opens links; an address starts with repram+node://",
            )
        if text.startswith(INVITE_SCHEME):
            raise UsageError(
                "this is an invite, and a node's address belongs here",
                hint="`repram hosts add` takes invites; an address starts with repram+node://",
            )
        if text.startswith(SPACE_SCHEME):
            raise UsageError(
                "this is a space, and a node's address belongs here",
                hint="`repram space join` takes spaces; an address starts with repram+node://",
            )
        if text.startswith(PERSON_SCHEME):
            raise UsageError(
                "this is a person's key, and a node's address belongs here",
                hint="`repram upload --to` takes it; an address starts with repram+node://",
            )
        if not text.startswith(NODE_SCHEME):
            raise UsageError(
                "this is not a node's address",
                hint="An address reads repram+node://<key>@host:port; `repram storaged run` prints it.",
            )
        key, at, where = text.removeprefix(NODE_SCHEME).partition("@")
        if not at:
            raise UsageError("the node's address lacks `@host:port` after the key")
        return cls(_node_key(key), HostPort.parse(where))

    def __str__(self) -> str:
        return f"{NODE_SCHEME}{to_base64url(self.key)}@{self.at}"


@lru_cache(maxsize=256)
def parse_duration(text: str) -> int:
    """`90s`, `15m`, `12h`, `7d`, `2w` in milliseconds."""
    match = _AMOUNT.fullmatch(text.strip())
    if match is None or match[2] not in _MILLISECONDS:
        raise UsageError(
            f"{_shown(text)} is not a length of time", hint="Write 90s, 15m, 12h, 7d or 2w."
        )
    milliseconds = int(match[1]) * _MILLISECONDS[match[2]]
    if not 0 < milliseconds <= _MAX_DURATION:
        raise UsageError(f"{_shown(text)} is not a length of time between 1 second and 100 years")
    return milliseconds


def format_duration(milliseconds: int) -> str:
    """The shortest exact form that `parse_duration` reads; fractions of a second are rounded up."""
    seconds = -(-milliseconds // 1_000)
    for unit in "wdhm":
        size = _MILLISECONDS[unit] // 1_000
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def roughly(milliseconds: int) -> str:
    """A length of time as one says it: its two largest units."""
    left = -(-milliseconds // 1_000)
    parts: list[str] = []
    for unit in "dhms":
        count, left = divmod(left, _MILLISECONDS[unit] // 1_000)
        if count or parts:
            parts.append(f"{count}{unit}" if count else "")
    return " ".join(filter(None, parts[:2])) or "0s"


def parse_size(text: str) -> int:
    """`256MiB`, `10GB`, `4096` in bytes."""
    match = _AMOUNT.fullmatch(text.strip())
    if match is None or match[2] not in _BYTES:
        raise UsageError(f"{_shown(text)} is not a size", hint="Write 256MiB, 5GiB or 10GB.")
    size = int(match[1]) * _BYTES[match[2]]
    if not 0 < size <= _MAX_BYTES:
        raise UsageError(f"{_shown(text)} is not a size that a machine has")
    return size


def format_size(size: int) -> str:
    """A size as a person reads it: `8.0 MiB`."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{size} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def _node_key(text: str) -> bytes:
    if not _KEY_TEXT.fullmatch(text):
        raise UsageError(
            "the key in the node's address is not 43 characters of base64url",
            hint="Copy the address again, whole.",
        )
    return from_base64url(text, KEY_SIZE)


def _port(text: str) -> int:
    if not _PORT.fullmatch(text) or int(text) >= 1 << 16:
        raise UsageError(f"{_shown(text)} is not a port between 1 and 65535")
    return int(text)


def _normal_host(text: str) -> str:
    """One text for one host, so that links and addresses compare and check byte for byte."""
    if ":" in text:
        return _normal_ipv6(text)
    host = text.lower() if text.isascii() else ""
    if not _NAME.fullmatch(host) or len(host) > 253:
        raise UsageError(
            f"{_shown(text)} is not a host name",
            hint="Write a name, an IPv4 address, or [IPv6]; international names in their xn-- form.",
        )
    if host.rpartition(".")[2].isdigit():
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise UsageError(f"{_shown(text)} is not an IPv4 address") from None
    return host


def _normal_ipv6(text: str) -> str:
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        raise UsageError(f"{_shown(text)} is not an IPv6 address") from None
    if address.scope_id is not None:
        raise UsageError("an address with a zone (`%`) means nothing on another machine")
    # Python versions differ in how they write a mapped address, and it means the same host.
    return str(address.ipv4_mapped or address)


def _shown(text: str) -> str:
    """What was typed, short and printable enough to stand inside a sentence."""
    return repr(text if len(text) <= 60 else text[:57] + "…")
