"""What clients and nodes say to each other: frozen, bounded types, msgpack on the wire, parsed once.

Fields are only ever added, at the end and with a default. Codes are stable: a reader that does not know
one treats it as failure. Leases are unsigned for now: `Put` gains the signed lease in their place.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from repram.errors import (
    Busy,
    ClockRefused,
    Conflict,
    Full,
    IncompatibleVersion,
    IntegrityFailure,
    NotAllowed,
    NotFound,
    QuorumNotReached,
    RateLimited,
    RemoteError,
    RepramError,
    UsageError,
)

CHUNK_MAX: Final = 4 << 20
CHUNK_TTL_MIN: Final = 30_000
CHUNK_TTL_MAX: Final = 30 * 86_400_000

Id = Annotated[bytes, Meta(min_length=32, max_length=32)]
Count = Annotated[int, Meta(ge=0, le=1 << 53)]
Text = Annotated[str, Meta(max_length=500)]


class Put(msgspec.Struct, frozen=True, array_like=True, tag="put"):
    """Hold the `size` bytes of the body that follows, for `remaining` of a lease of `ttl` milliseconds."""

    id: Id
    size: Count
    ttl: Count
    remaining: Count


class Get(msgspec.Struct, frozen=True, array_like=True, tag="get"):
    """Send the bytes of an item."""

    id: Id


class Held(msgspec.Struct, frozen=True, array_like=True, tag="held"):
    """It is held: since when (Unix milliseconds), for how long in all, and how long still."""

    created: Count
    ttl: Count
    remaining: Count


class Found(msgspec.Struct, frozen=True, array_like=True, tag="found"):
    """It is here: `size` bytes follow as the body."""

    size: Count
    created: Count
    ttl: Count
    remaining: Count


class Failure(msgspec.Struct, frozen=True, array_like=True, tag="failure"):
    """It was not done, and why."""

    code: Count
    message: Text


Request: TypeAlias = Put | Get
Reply: TypeAlias = Held | Found | Failure


class Code(IntEnum):
    """Why a request failed. Below 20 a code is the exit code of its error class."""

    FAILED = 1
    OUT_OF_BOUNDS = 2
    NOT_FOUND = 10
    BUSY = 11
    NOT_ALLOWED = 12
    INTEGRITY = 13
    FULL = 14
    CONFLICT = 15
    QUORUM = 16
    MALFORMED = 20
    VERSION = 21
    RATE_LIMITED = 22
    CLOCK = 23
    STALLED = 24
    CANCELLED = 25


class Malformed(RemoteError):
    """The other side sent what is no message."""


class Stalled(RemoteError):
    """The other side stopped in the middle."""


_CLASSES: Final[dict[int, type[RepramError]]] = {
    Code.OUT_OF_BOUNDS: UsageError,
    Code.NOT_FOUND: NotFound,
    Code.BUSY: Busy,
    Code.NOT_ALLOWED: NotAllowed,
    Code.INTEGRITY: IntegrityFailure,
    Code.FULL: Full,
    Code.CONFLICT: Conflict,
    Code.QUORUM: QuorumNotReached,
    Code.MALFORMED: Malformed,
    Code.VERSION: IncompatibleVersion,
    Code.RATE_LIMITED: RateLimited,
    Code.CLOCK: ClockRefused,
    Code.STALLED: Stalled,
}


def failure_of(error: RepramError) -> Failure:
    """The reply that tells the other side of this error."""
    codes = (code for code, kind in _CLASSES.items() if isinstance(error, kind))
    return Failure(next(codes, Code.FAILED), str(error)[:500])


def error_of(failure: Failure) -> RepramError:
    """The error that a failure reply stands for; its text is the peer's, so nothing unprintable passes."""
    text = "".join(character for character in failure.message if character.isprintable())
    return _CLASSES.get(failure.code, RepramError)(f"the node says: {text}")


_encoder = msgspec.msgpack.Encoder()
_requests: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_replies: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


def encode(message: Request | Reply) -> bytes:
    """A message as it goes on the wire."""
    return _encoder.encode(message)


def decode_request(data: bytes) -> Request:
    """A request, or Malformed."""
    try:
        return _requests.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"not a request: {error}") from None


def decode_reply(data: bytes) -> Reply:
    """A reply, or Malformed."""
    try:
        return _replies.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"not a reply: {error}") from None
