"""Calls over a session: one stream a call, typed messages, a body in either direction."""

from repram.proto.rpc.body import Body, Bytes, Incoming
from repram.proto.rpc.caller import TIMEOUT, Answered, Answering, Caller
from repram.proto.rpc.codec import MAX_MESSAGE, VERSION, Codec, framed, reader
from repram.proto.rpc.failures import (
    Code,
    DeadlinePassed,
    Failure,
    Malformed,
    Stalled,
    UnknownRequest,
)
from repram.proto.rpc.patience import PATIENCE
from repram.proto.rpc.server import AT_ONCE, Answer, Server

__all__ = [
    "AT_ONCE",
    "MAX_MESSAGE",
    "PATIENCE",
    "TIMEOUT",
    "VERSION",
    "Answer",
    "Answered",
    "Answering",
    "Body",
    "Bytes",
    "Caller",
    "Code",
    "Codec",
    "DeadlinePassed",
    "Failure",
    "Incoming",
    "Malformed",
    "Server",
    "Stalled",
    "UnknownRequest",
    "framed",
    "reader",
]
