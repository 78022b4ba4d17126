"""What a call looks like on its stream, and a service's set of messages.

    request   version (1 byte) · length of the message (3) · milliseconds left (4) · message · body
    reply     version (1 byte) · length of the message (3) · message · body

All big-endian; 0 milliseconds left: no deadline. A message is msgpack: an array that begins with the
name of its kind. A body runs to the end of the stream.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, Generic, TypeVar, get_args

import msgspec

from repram.errors import IncompatibleVersion, LocalError
from repram.proto.rpc.failures import Failure, Malformed, UnknownRequest, error_of, printable

Q = TypeVar("Q", bound=msgspec.Struct)  # the requests of a service
P = TypeVar("P", bound=msgspec.Struct)  # its replies
M = TypeVar("M", bound=msgspec.Struct)

VERSION: Final = 1
MAX_MESSAGE: Final = 1 << 16
_REASON_MAX: Final = 200
REQUEST_HEAD: Final = struct.Struct(">II")
REPLY_HEAD: Final = struct.Struct(">I")
_VERSION_BITS: Final = VERSION << 24
_LENGTH: Final = (1 << 24) - 1
_MOST_MS: Final = (1 << 32) - 1
_encode: Final = msgspec.msgpack.Encoder().encode
_BROKEN: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Codec(Generic[Q, P]):
    """The requests and replies of one service, each a union of tagged, array-like structs.

    Fields are only ever added to them, at the end and with a default.
    """

    def __init__(self, requests: object, replies: object) -> None:
        self._encode = msgspec.msgpack.Encoder().encode
        self._requests: msgspec.msgpack.Decoder[Q] = msgspec.msgpack.Decoder(requests)
        self._replies: msgspec.msgpack.Decoder[P | Failure] = msgspec.msgpack.Decoder(
            replies | Failure
        )
        self.verbs = {_tag(kind) for kind in get_args(requests) or (requests,)}

    def request(self, message: Q, seconds: float | None = None) -> bytes:
        """A request as it goes on the wire, with the time that is left for it."""
        data = self._encode(message)
        _check_size(data)
        left = 0 if seconds is None else max(1, min(_MOST_MS, int(seconds * 1000)))
        return REQUEST_HEAD.pack(_VERSION_BITS | len(data), left) + data

    def reply(self, message: P | Failure) -> bytes:
        """A reply as it goes on the wire."""
        data = self._encode(message)
        _check_size(data)
        return REPLY_HEAD.pack(_VERSION_BITS | len(data)) + data

    def read_call(self, data: bytes) -> tuple[Q, int, bytes]:
        """A call that came in one piece: the request, the milliseconds that are left for it, and what stands
        behind it; errors as of `message_size` and `read_request`."""
        if len(data) < REQUEST_HEAD.size:
            raise Malformed(f"the request ended after {len(data)} bytes")
        head, left = REQUEST_HEAD.unpack_from(data)
        end = REQUEST_HEAD.size + message_size(head)
        if len(data) < end:
            raise Malformed(f"the request ended {end - len(data)} bytes short")
        return self.read_request(data[REQUEST_HEAD.size : end]), left, data[end:]

    def read_answer(self, data: bytes) -> tuple[P, bytes]:
        """An answer that came in one piece: the reply, and what stands behind it."""
        if len(data) < REPLY_HEAD.size:
            raise Malformed(f"the reply ended after {len(data)} bytes")
        end = REPLY_HEAD.size + message_size(REPLY_HEAD.unpack_from(data)[0])
        if len(data) < end:
            raise Malformed(f"the reply ended {end - len(data)} bytes short")
        return self.read_reply(data[REPLY_HEAD.size : end]), data[end:]

    def read_request(self, data: bytes) -> Q:
        """The message of a request; Malformed, or UnknownRequest."""
        try:
            return self._requests.decode(data)
        except _BROKEN as error:
            verb = _verb_of(data)
            if verb is not None and verb not in self.verbs:
                raise UnknownRequest("this node does not know this kind of request") from None
            raise Malformed(f"not a request: {_reason(error)}") from None

    def read_reply(self, data: bytes) -> P:
        """The message of a reply; a failure is raised as the error that it stands for."""
        try:
            reply = self._replies.decode(data)
        except _BROKEN as error:
            raise Malformed(f"not a reply: {_reason(error)}") from None
        if isinstance(reply, Failure):
            raise error_of(reply)
        return reply


def framed(message: msgspec.Struct) -> bytes:
    """One of many messages that follow each other in a body: its length (4 bytes) comes first."""
    data = _encode(message)
    return len(data).to_bytes(4) + data


def reader(kind: type[M], complaint: str) -> Callable[[bytes | bytearray], M]:
    """Reads such messages, without their length; Malformed with this complaint for what is none."""
    decode = msgspec.msgpack.Decoder(kind).decode

    def read(data: bytes | bytearray) -> M:
        try:
            return decode(data)
        except _BROKEN as error:
            raise Malformed(f"{complaint}: {_reason(error)}") from None

    return read


def message_size(head: int) -> int:
    """What the first four bytes announce, checked before anything is kept for it."""
    if head >> 24 != VERSION:
        raise IncompatibleVersion(
            f"a call of version {head >> 24} came; this side speaks {VERSION}"
        )
    size = head & _LENGTH
    if size > MAX_MESSAGE:
        raise Malformed(f"a message of {size} bytes is longer than {MAX_MESSAGE}")
    return size


def _reason(error: Exception) -> str:
    """What was wrong with a message; the words may be the peer's own."""
    return printable(str(error)[:_REASON_MAX])


def _check_size(data: bytes) -> None:
    if len(data) > MAX_MESSAGE:
        raise LocalError(f"a message of {len(data)} bytes is longer than {MAX_MESSAGE}")


def _tag(kind: object) -> str:
    tag = kind.__struct_config__.tag if isinstance(kind, type(msgspec.Struct)) else None
    if not isinstance(tag, str):
        raise LocalError(f"{kind!r} has no tag to tell it by")
    return tag


def _verb_of(data: bytes) -> str | None:
    """The name that a message begins with, if it is at least that much of one."""
    try:
        first, *_ = msgspec.msgpack.decode(data, type=list[msgspec.Raw])
        return msgspec.msgpack.decode(first, type=str)
    except (*_BROKEN, ValueError):
        return None
