"""What clients and nodes say to each other: frozen, bounded types, msgpack on the wire, parsed once.

Fields are only ever added, at the end and with a default. Leases are unsigned for now: `Put` gains the
signed lease in their place.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from repram.proto.rpc import Codec

CHUNK_MAX: Final = 4 << 20
CHUNK_TTL_MIN: Final = 30_000
CHUNK_TTL_MAX: Final = 30 * 86_400_000

Id = Annotated[bytes, Meta(min_length=32, max_length=32)]
Count = Annotated[int, Meta(ge=0, le=1 << 53)]


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


Request: TypeAlias = Put | Get
Reply: TypeAlias = Held | Found

STORAGE: Final = Codec[Request, Reply](Request, Reply)
