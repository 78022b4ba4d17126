"""What docs/protocol.md says of a datagram that holds for whoever has no key: its outside, field by field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.proto.by_hand import (
    ACCEPT,
    DATA,
    HEADER,
    INIT,
    INIT_SIZE,
    NOISE_AT,
    REFUSED,
    RESET,
    RETRY,
    VERSION,
)
from tests.sim.invariants import fault_of

MAC: Final = 16
MESSAGE_1: Final = {0: range(96, 1200), 1: range(96, 1200), 2: range(32, 33), 3: range(48, 49)}
HELLO: Final = 1 + 16 + 5  # at least
WELCOME: Final = 4 + 1 + 1 + 8 + 16 + 5
SIZES: Final = {
    RETRY: range(76, 77),
    ACCEPT: range(HEADER + 32 + 16 + WELCOME, 512),
    DATA: range(HEADER + 16 + 1, 65_508),
    RESET: range(36, 37),
    VERSION: range(29, 30),
    REFUSED: range(29, 30),
}


def split(carried: bytes) -> Iterator[bytes]:
    """The datagrams that a kernel took in one piece: each says how long it is."""
    while carried:
        size = HEADER + int.from_bytes(carried[2:4], "big")
        yield carried[:size]
        carried = carried[size:]


def check(datagram: bytes) -> int:
    """Its type; ValueError, which says what is wrong, unless it is as the document has it."""
    if fault := fault_of(datagram):
        raise ValueError(f"{fault}: {datagram[:HEADER].hex()}")
    kind = datagram[0]
    if kind != DATA and any(datagram[8:16]):
        raise ValueError(f"seq or ack in type {kind}")
    if (kind == INIT) != (datagram[4:8] == bytes(4)):
        raise ValueError(f"session {datagram[4:8].hex()} in type {kind}")
    if kind == INIT:
        _check_init(datagram)
    elif len(datagram) not in SIZES[kind]:
        raise ValueError(f"{len(datagram)} bytes in type {kind}")
    return kind


def _check_init(init: bytes) -> None:
    version, suites, pattern, reserved = init[24:28]
    end = NOISE_AT + int.from_bytes(init[36:38], "big")
    if len(init) < INIT_SIZE or init[20:24] == bytes(4):
        raise ValueError("an INIT that is too small, or of nobody")
    if version != 1 or not suites & 1 or suites > 3 or reserved or pattern not in MESSAGE_1:
        raise ValueError(f"an INIT that says {init[24:28].hex()}")
    if end - NOISE_AT not in MESSAGE_1[pattern]:
        raise ValueError(f"a first message of {end - NOISE_AT} bytes")
    if any(init[end : -2 * MAC]):
        raise ValueError("padding that is not zero")
