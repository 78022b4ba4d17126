"""One tree of errors; each class carries its exit code and a hint for the person who meets it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar


class RepramError(Exception):
    """Anything repram reports: `str(e)` says what happened, `hint` what to do next."""

    exit_code: ClassVar[int] = 1
    hint: str = ""

    def __init__(self, message: str = "", *, hint: str | None = None) -> None:
        super().__init__(message or type(self).__doc__ or type(self).__name__)
        if hint is not None:
            self.hint = hint


class LocalError(RepramError):
    """The caller misused the API."""

    hint = "This is a mistake in the calling program, not in the network."


class RemoteError(RepramError):
    """An authenticated peer misbehaved."""

    hint = "The other side may run a broken or a different version; compare `repram --version` on both."


class StreamReset(RemoteError):
    """The other side broke off this request."""

    def __init__(self, code: int, message: str = "", *, hint: str | None = None) -> None:
        super().__init__(
            message or f"the other side broke off the request (code {code})", hint=hint
        )
        self.code = code


class UsageError(RepramError):
    """What was given is malformed."""

    exit_code = 2
    hint = "See `repram --help`."


class NotFound(RepramError):
    """It is not there, or it has expired."""

    exit_code = 10
    hint = "What expires is gone for good; ask the sender for a new link."


class Unreachable(RepramError):
    """A node could not be reached."""

    exit_code = 11
    hint = "Check that the node is running and that UDP reaches it."


class DeadAddress(Unreachable):
    """Nothing answers at this address."""

    hint = "Check that the node is running, that host and port are right, and that no firewall drops UDP."


class WrongKey(Unreachable):
    """Someone else answers at this address: the key is not the one expected."""

    hint = "The node may have been set up anew; ask its owner for the current address."


class Busy(Unreachable):
    """The node is too busy to take a new session."""

    hint = "Try again in a moment."


class SessionClosed(Unreachable):
    """The session with the node has ended."""

    hint = "Try again; if it keeps happening, look at the node's log."

    def __init__(self, code: int = 0, reason: str = "", *, hint: str | None = None) -> None:
        because = f": {reason}" if reason else ""
        super().__init__(f"the session was closed (code {code}){because}", hint=hint)
        self.code = code
        self.reason = reason


class Refused(RepramError):
    """The node refused the request."""

    exit_code = 12
    hint = "Ask the owner of the node for access."


class WrongSecret(Refused):
    """The network secret is wrong."""

    hint = "Ask the owner of the node for a new invite."


class IncompatibleVersion(Refused):
    """The two sides speak no common version of the protocol."""

    hint = "Update repram on the older side; `repram --version` shows the version."


class RateLimited(Refused):
    """Too many requests in a short time."""

    hint = "Wait a moment, then try again."


class ClockRefused(Refused):
    """The clocks of the two sides are too far apart."""

    hint = "Set the clock of this machine, or of the node, and try again."


class WrongPassword(Refused):
    """The password is wrong."""

    hint = "Try again; capitals and the keyboard's layout count."


class NotAllowed(Refused):
    """This is not allowed here."""


class IntegrityFailure(RepramError):
    """The bytes are not the ones that were sealed."""

    exit_code = 13
    hint = "No wrong byte was written. Try again; if it stays so, ask the sender for a new link."


class Full(RepramError):
    """The node is full, or this would pass the quota."""

    exit_code = 14
    hint = "Wait until something expires, or store on another node with --host."


class Conflict(RepramError):
    """Someone else changed it first."""

    exit_code = 15
    hint = "Read the current version, then try again."


class Changed(Conflict):
    """It was changed while it was being read."""

    hint = "Start the upload again, once nothing writes to it any more."


class QuorumNotReached(RepramError):
    """Too few nodes confirmed."""

    exit_code = 16
    hint = "Nothing was acknowledged; try again when more nodes are reachable."


class Cancelled(RepramError):
    """Interrupted."""

    exit_code = 130
    hint = ""


def cause_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error to report of a task group's: ours before others, the first before the rest."""
    leaves = list(_leaves(group))
    return next((error for error in leaves if isinstance(error, RepramError)), leaves[0])


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
