"""How a call fails: a code that never changes its meaning, and the error that it stands for."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

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
    StreamReset,
    Unreachable,
    UsageError,
)

TEXT_MAX: Final = 500


class Failure(msgspec.Struct, frozen=True, array_like=True, tag="failure"):
    """The reply that says that it was not done, and why."""

    code: Annotated[int, Meta(ge=0, le=1 << 53)]
    message: Annotated[str, Meta(max_length=TEXT_MAX)]


class Code(IntEnum):
    """Why a call failed; also the codes of streams that are broken off. Below 20 a code is the exit
    code of its error class. A reader that does not know a code treats it as FAILED."""

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
    DEADLINE = 26
    UNKNOWN = 27
    UNREAD = 28  # of a stream only: the answer is given, the rest of the body is not needed


class Malformed(RemoteError):
    """The other side sent what is no message."""


class UnknownRequest(IncompatibleVersion):
    """The other side does not know this kind of request."""


class DeadlinePassed(Unreachable):
    """It was not done in time."""

    hint = "The line or the node is slow or overloaded; try again, or allow more time."


class Stalled(Unreachable):
    """The other side stopped in the middle."""

    hint = "The line or the node is overloaded; try again."


_CLASSES: Final[dict[int, type[RepramError]]] = {
    Code.FAILED: RepramError,
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
    Code.DEADLINE: DeadlinePassed,
    Code.UNKNOWN: UnknownRequest,
}
_CODES: Final = {kind: code for code, kind in _CLASSES.items()}
_BREAKS: Final = (Code.DEADLINE, Code.STALLED)


def failure_of(error: RepramError) -> Failure:
    """The reply that tells the other side of this error."""
    code = next(_CODES[kind] for kind in type(error).__mro__ if kind in _CODES)
    text = str(error)[:TEXT_MAX].encode(errors="replace").decode()  # a file's name may be no UTF-8
    return Failure(code, text)


def error_of(failure: Failure) -> RepramError:
    """The error that a failure reply stands for; its text is the peer's, so nothing unprintable passes."""
    return _CLASSES.get(failure.code, RepramError)(f"the node says: {printable(failure.message)}")


def printable(text: str) -> str:
    """A peer's words without what a terminal would obey."""
    return "".join(character for character in text if character.isprintable())


def broken_off(reset: StreamReset) -> RepramError:
    """The error for a stream that the other side gave up: it may have said why."""
    return _CLASSES[reset.code]() if reset.code in _BREAKS else reset
