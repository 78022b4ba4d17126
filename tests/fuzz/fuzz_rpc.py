"""What clients and nodes say to each other, read: a call, an answer, or a message that is pushed.

The first byte says which; the rest is as it stands on a stream. Whatever it is, it is either a message
within the bounds that its type names, or one of the errors that are promised, in words that may be shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from random import Random
from typing import Annotated, Any, Final, TypeAlias, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from repram.errors import IncompatibleVersion, RepramError
from repram.proto.messages import STORAGE, Changed, Entry
from repram.proto.rpc import Malformed, reader
from repram.proto.rpc.codec import REPLY_HEAD, REQUEST_HEAD
from repram.proto.rpc.failures import TEXT_MAX, failure_of

Value: TypeAlias = Any  # whatever msgpack can hold
Hint: TypeAlias = Any  # a type as it is written beside a field
Check = Callable[[Value], None]

CALL, ANSWER, CHANGED, ENTRY = range(4)
HEADS: Final = (REQUEST_HEAD.size, REPLY_HEAD.size, 4, 4)
MOST_TEXT: Final = TEXT_MAX + 50
ODD: Final[tuple[Value, ...]] = (
    *(None, True, False, 0, -1, 1, 15, 16, 63, 64, 256, 1024, 1025, 1 << 20, (1 << 20) + 1),
    *((1 << 31) - 1, 1 << 32, 1 << 53, (1 << 53) + 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1),
    *(-(1 << 63), 0.5, float("nan"), "", "x", "put", "failure", "\x1b[2J", "x" * 600, "\u202e"),
    *(b"", bytes(31), bytes(32), bytes(33), bytes(63), bytes(64), bytes(512), bytes(513)),
    *(bytes(1 << 15), bytes((1 << 15) + 1), [], {}, {"put": 1}, [bytes(32)] * 6, [[]] * 300),
    *([bytes(32)] * 1025, msgspec.msgpack.Ext(1, b"x"), msgspec.msgpack.Ext(-1, bytes(8))),
)
_VARYING: Final = re.compile(r"'[^']*'|[^ ]*\d[^ ]*")
_read_changed: Final = reader(Changed, "no change")
_read_entry: Final = reader(Entry, "no entry")


def try_(data: bytes) -> str:
    """Read it; what came of it."""
    what, rest = data[0] % 4 if data else CALL, data[1:]
    try:
        message = _read(what, rest)
    except RepramError as error:
        _judge(error, what)
        return f"{what} {type(error).__name__} {_VARYING.sub('', str(error))}"
    check_of(type(message))(message)
    again = msgspec.msgpack.encode(message)
    assert _read_message(what, again) == message
    return f"{what} {type(message).__name__} {len(rest).bit_length()}"


def _read(what: int, rest: bytes) -> msgspec.Struct:
    if what == CALL:
        message, left, behind = STORAGE.read_call(rest)
        assert 0 <= left < 1 << 32
        assert rest.endswith(behind)
        return message
    if what == ANSWER:
        return STORAGE.read_answer(rest)[0]
    return _read_message(what, rest[4:])


def _read_message(what: int, message: bytes) -> msgspec.Struct:
    if what == CALL:
        return STORAGE.read_request(message)
    if what == ANSWER:
        return STORAGE.read_reply(message)
    return _read_changed(message) if what == CHANGED else _read_entry(message)


def _judge(error: RepramError, what: int) -> None:
    """An error is one of those that are promised, may be shown, and can be told to the other side."""
    if what != ANSWER:  # which may be any failure that a node tells of
        assert isinstance(error, Malformed | IncompatibleVersion), error
    text = str(error)
    assert len(text) <= MOST_TEXT, f"{len(text)} characters"
    assert text.isprintable(), repr(text)
    told = STORAGE.reply(failure_of(error))
    try:
        STORAGE.read_answer(told)
    except RepramError as heard:
        assert type(heard) is type(error), (heard, error)  # noqa: PT017  # it is raised in any case
    else:
        raise AssertionError("a failure is read as if it had been done")


# ---- what the types allow, looked at once more


@cache
def check_of(kind: Hint) -> Check:
    """What raises unless a value is of this type and within its bounds."""
    origin: object = get_origin(kind)
    if origin is Annotated:
        inner, meta = get_args(kind)
        assert isinstance(meta, Meta)
        return _bounded(check_of(inner), meta)
    if origin is tuple:
        return _each(check_of(get_args(kind)[0]))
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = get_type_hints(kind, include_extras=True)
        return _fields([(name, check_of(hints[name])) for name in kind.__struct_fields__])
    return _exactly(kind)


def _exactly(kind: type) -> Check:
    def check(value: Value) -> None:
        assert type(value) is kind, value

    return check


def _bounded(inner: Check, meta: Meta) -> Check:
    def check(value: Value) -> None:
        inner(value)
        assert meta.ge is None or value >= meta.ge, value
        assert meta.le is None or value <= meta.le, value
        assert meta.min_length is None or len(value) >= meta.min_length, value
        assert meta.max_length is None or len(value) <= meta.max_length, value

    return check


def _each(inner: Check) -> Check:
    def check(value: Value) -> None:
        assert type(value) is tuple, value
        for one in value:
            inner(one)

    return check


def _fields(checks: list[tuple[str, Check]]) -> Check:
    def check(value: Value) -> None:
        for name, inner in checks:
            inner(getattr(value, name))

    return check


# ---- one input made of others


def change(data: bytes, other: bytes, random: Random) -> bytes:
    """Another value, more or fewer of them, deeper, or lengths that are not true."""
    what = data[0] % 4 if data else CALL
    head, message = data[1 : 1 + HEADS[what]], data[1 + HEADS[what] :]
    chance = random.random()
    if chance < 0.1:
        return bytes([random.randrange(4)]) + data[1:]
    if chance < 0.2:
        return framed(what, message, random.choice((0, 1, 2, 255)), random.choice((-1, 1, 1 << 23)))
    if chance < 0.25:
        return framed(what, b"\x91" * int(2 ** random.uniform(0, 16)))
    try:
        tree = msgspec.msgpack.decode(message)
        part = msgspec.msgpack.decode(other[1 + HEADS[other[0] % 4 if other else CALL] :])
        return framed(what, msgspec.msgpack.encode(_changed(tree, part, random)))
    except (ValueError, TypeError, OverflowError, RecursionError):  # no tree, or none any more
        return data[:1] + head + message + other[-16:]


def framed(what: int, message: bytes, version: int = 1, wrong: int = 0) -> bytes:
    """An input that is right but for its message, and for what is asked to be wrong."""
    size = max(0, len(message) + wrong) & 0xFFFFFF
    first = size if what >= CHANGED else version << 24 | size
    left = bytes(4) if what == CALL else b""
    return bytes([what]) + first.to_bytes(4, "big") + left + message


def _changed(tree: Value, part: Value, random: Random) -> Value:
    if isinstance(tree, list) and tree and random.random() < 0.8:
        at = random.randrange(len(tree))
        match random.randrange(6):
            case 0:
                return tree[:at] + tree[at + 1 :]
            case 1:
                return [*tree[:at], random.choice(ODD), *tree[at:]]
            case 2 if isinstance(part, list) and part:
                return [*tree[:at], random.choice(part), *tree[at + 1 :]]
            case 3:
                return tree + tree[at:] * random.choice((1, 2, 70))
            case _:
                return [*tree[:at], _changed(tree[at], part, random), *tree[at + 1 :]]
    if isinstance(tree, bytes) and random.random() < 0.5:
        return tree[:-1] if random.random() < 0.5 else tree + b"\0"
    if isinstance(tree, int) and random.random() < 0.5:
        return tree + random.choice((-1, 1))
    return random.choice((*ODD, part, [tree]))
