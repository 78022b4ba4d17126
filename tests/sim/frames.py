"""The frames of docs/protocol.md, section 6, as values: read from opened packets, and written."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tests.proto.by_hand import read_varint


class Padding(NamedTuple):
    size: int


class Ping(NamedTuple):
    pass


class Ack(NamedTuple):
    """`ranges` run downwards, both ends included; `marks` are packets seen as ECT(0), ECT(1), CE."""

    delay: int
    ranges: tuple[tuple[int, int], ...]
    marks: tuple[int, int, int] | None

    @property
    def largest(self) -> int:
        return self.ranges[0][1]


class ResetStream(NamedTuple):
    stream: int
    code: int
    final: int


class Stop(NamedTuple):
    stream: int
    code: int


class MaxData(NamedTuple):
    limit: int


class MaxStreamData(NamedTuple):
    stream: int
    limit: int


class MaxStreams(NamedTuple):
    streams: int


class PathChallenge(NamedTuple):
    data: bytes


class PathResponse(NamedTuple):
    data: bytes


class ObservedAddress(NamedTuple):
    ip: bytes
    port: int


class Datagram(NamedTuple):
    data: bytes


class Close(NamedTuple):
    code: int
    text: bytes


class Ratchet(NamedTuple):
    answers: bool
    number: int
    key: bytes


class Stream(NamedTuple):
    stream: int
    offset: int
    data: bytes
    last: bool

    @property
    def end(self) -> int:
        return self.offset + len(self.data)


Frame = (
    Padding
    | Ping
    | Ack
    | ResetStream
    | Stop
    | MaxData
    | MaxStreamData
    | MaxStreams
    | PathChallenge
    | PathResponse
    | ObservedAddress
    | Datagram
    | Close
    | Ratchet
    | Stream
)
ASKS_NOTHING = (Padding, Ack, Close)  # all the others ask for an acknowledgement


class Cursor:
    """Where the reading of a packet stands; an IndexError or ValueError when it ends too early."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.at = 0

    def left(self) -> int:
        return len(self.text) - self.at

    def varint(self) -> int:
        value, self.at = read_varint(self.text, self.at)
        return value

    def take(self, size: int) -> bytes:
        if size > self.left():
            raise ValueError(f"{size} bytes announced, {self.left()} left")
        self.at += size
        return self.text[self.at - size : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")


def read(text: bytes) -> list[Frame]:
    """The frames of an opened packet, from its first byte to its last."""
    cursor, frames = Cursor(text), []
    while cursor.left():
        kind = cursor.number(1)
        if kind not in _READERS:
            raise ValueError(f"frame {kind:#04x} is not in the protocol")
        frames.append(_READERS[kind](cursor))
    return frames


def _padding(cursor: Cursor) -> Padding:
    start = cursor.at
    while cursor.left() and not cursor.text[cursor.at]:
        cursor.at += 1
    return Padding(1 + cursor.at - start)


def _ack(cursor: Cursor, *, marked: bool = False) -> Ack:
    high, delay, count = cursor.varint(), cursor.varint(), cursor.varint()
    low = high - cursor.varint()
    ranges = [(low, high)]
    for _ in range(count):
        high = low - cursor.varint() - 2
        low = high - cursor.varint()
        ranges.append((low, high))
    if low < 0:
        raise ValueError("an ACK names numbers below zero")
    marks = (cursor.varint(), cursor.varint(), cursor.varint()) if marked else None
    return Ack(delay, tuple(ranges), marks)


def _close(cursor: Cursor) -> Close:
    code, size = cursor.varint(), cursor.varint()
    return Close(code, cursor.take(size))


def _stream(cursor: Cursor, *, last: bool) -> Stream:
    stream, offset = cursor.varint(), cursor.varint()
    return Stream(stream, offset, cursor.take(cursor.number(2)), last)


_READERS: dict[int, Callable[[Cursor], Frame]] = {
    0x00: _padding,
    0x01: lambda _: Ping(),
    0x02: _ack,
    0x03: lambda cursor: _ack(cursor, marked=True),
    0x04: lambda cursor: ResetStream(cursor.varint(), cursor.varint(), cursor.varint()),
    0x05: lambda cursor: Stop(cursor.varint(), cursor.varint()),
    0x06: lambda cursor: MaxData(cursor.varint()),
    0x07: lambda cursor: MaxStreamData(cursor.varint(), cursor.varint()),
    0x08: lambda cursor: MaxStreams(cursor.varint()),
    0x0A: lambda cursor: PathChallenge(cursor.take(8)),
    0x0B: lambda cursor: PathResponse(cursor.take(8)),
    0x0C: lambda cursor: ObservedAddress(cursor.take(16), cursor.number(2)),
    0x0D: lambda cursor: Datagram(cursor.take(cursor.number(2))),
    0x0E: _close,
    0x0F: lambda cursor: Ratchet(bool(cursor.number(1)), cursor.number(4), cursor.take(32)),
    0x20: lambda cursor: _stream(cursor, last=False),
    0x21: lambda cursor: _stream(cursor, last=True),
}
