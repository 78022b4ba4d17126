"""The local control socket: one JSON object a line asks, one JSON object a line answers.

Whoever may open the socket owns the node: it is its user's alone. An answer is {"ok": …}, or
{"error": what happened, "hint": what to do next, "code": an exit code}.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from repram.errors import DeadAddress, RepramError, UsageError

LINE_MAX: Final = 64 << 10
ANSWER_MAX: Final = 16 << 20
PATIENCE: Final = 30.0  # seconds for an answer
_PATH_MAX: Final = 107  # what a unix address holds

_log = logging.getLogger(__name__)


class Asked(
    msgspec.Struct, frozen=True, tag_field="verb", tag=str.lower, forbid_unknown_fields=True
):
    """A request; its class is the verb."""


class Status(Asked, frozen=True):
    """How is the node?"""


class Drain(Asked, frozen=True):
    """Take nothing new from now on, and go on serving what is held."""


class Stop(Asked, frozen=True):
    """Finish what is under way and end."""


class Invite(Asked, frozen=True):
    """Make an invite and say its line."""

    name: Annotated[str, Meta(max_length=64)] = ""
    write_only: bool = False
    quota: Annotated[int, Meta(ge=0)] = 0


class Invites(Asked, frozen=True):
    """All invites, without their secrets."""


class Revoke(Asked, frozen=True):
    """Take an invite back, by id or name."""

    invite: Annotated[str, Meta(max_length=64)]


class Deny(Asked, frozen=True):
    """Change or show the list of what is not wanted here."""

    do: Literal["add", "rm", "ls"]
    kind: Literal["item", "owner"] = "item"
    id: Annotated[str, Meta(max_length=64)] = ""
    reason: Annotated[str, Meta(max_length=200)] = ""


class Audit(Asked, frozen=True):
    """What is held past its deadline, and how the times that remain are spread."""


class Clock(Asked, frozen=True):
    """What time is it, and how sure is that? With `accept`: the machine's clock is right."""

    accept: bool = False


Request: TypeAlias = (
    Status | Drain | Stop | Invite | Invites | Revoke | Deny | Audit | Clock
)  # fmt: skip
Answering: TypeAlias = Callable[[Request], Awaitable[dict[str, Any]]]


class Refusal(msgspec.Struct, frozen=True):
    """An answer that says no."""

    error: str
    hint: str = ""
    code: int = 1


class Answered(RepramError):
    """The node's own error, told over the control socket."""

    exit_code: ClassVar[int] = 1

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.error, hint=refusal.hint)
        self.exit_code = refusal.code  # type: ignore[misc]  # that of the error inside the node


def socket_path(folder: Path) -> Path:
    """Where the node of this folder listens: by the folder's name, among the user's sockets."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if not runtime:
        return folder / "control.sock"
    name = hashlib.blake2b(os.fsencode(folder.resolve()), digest_size=6).hexdigest()
    return Path(runtime) / "repram" / f"storaged-{name}.sock"


def found(folder: Path) -> Path:
    """Where the node of this folder is listening: a system's service knows no user's folder of sockets."""
    within = folder / "control.sock"
    return within if within.is_socket() else socket_path(folder)


@asynccontextmanager
async def serving(path: Path, answering: Answering) -> AsyncIterator[None]:
    """Answer on this socket. One that is left over from before is replaced: the caller holds the lock."""
    listening = _bound(path)
    sessions: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # a coroutine runs in one
        sessions[task] = writer
        try:
            await _attend(reader, writer, answering)
        finally:
            del sessions[task]
            writer.close()

    server = await asyncio.start_unix_server(attend, sock=listening, limit=LINE_MAX)
    try:
        yield
    finally:
        server.close()
        for writer in sessions.values():
            writer.close()  # which whoever reads is told; a cancelled task would be reported as a crash
        await asyncio.gather(*sessions, return_exceptions=True)
        os.unlink(path)  # noqa: PTH108  # pathlib warns in coroutines


def ask(path: Path, request: Request, *, patience: float = PATIENCE) -> dict[str, Any]:
    """Ask the node that listens there; its refusal is raised as an error with its exit code."""
    _check_length(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(patience)
        try:
            asking.connect(str(path))
            asking.sendall(msgspec.json.encode(request) + b"\n")
            line = _line(asking)
        except (FileNotFoundError, ConnectionRefusedError):
            raise NotRunning(f"no node runs here: nothing listens on {path}") from None
        except TimeoutError:
            raise DeadAddress(
                f"the node does not answer on {path}", hint="Look at its log; kill it if it hangs."
            ) from None
        except OSError as error:
            raise DeadAddress(
                f"cannot ask the node on {path}: {error.strerror}",
                hint="Run this as the node's user.",
            ) from error
    try:
        answer = msgspec.json.decode(line, type=dict[str, Any])
        if "error" in answer:
            raise Answered(msgspec.convert(answer, Refusal))
    except msgspec.DecodeError as error:
        raise RepramError(f"the node's answer is none: {error}", hint="Look at its log.") from error
    return answer


class NotRunning(DeadAddress):
    """No node runs on this folder."""

    hint = "Start it with `repram storaged start`, or name its folder with --folder."


async def _attend(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answering: Answering
) -> None:
    with suppress(ConnectionError):
        while True:
            try:
                line = await reader.readuntil(b"\n")
            except asyncio.IncompleteReadError:
                return
            except asyncio.LimitOverrunError:
                await _tell(writer, Refusal(f"a request has at most {LINE_MAX} bytes", code=2))
                return
            await _tell(writer, await _answer(line, answering))


async def _answer(line: bytes, answering: Answering) -> dict[str, Any] | Refusal:
    try:
        request: Request = msgspec.json.decode(line, type=Request)
        return {"ok": True, **await answering(request)}
    except msgspec.DecodeError as error:
        return Refusal(f"this is no request: {error}", "Compare `repram --version` on both.", 2)
    except RepramError as error:
        return Refusal(str(error), error.hint, error.exit_code)
    except Exception:  # noqa: BLE001  # a bug of ours is logged, and the node goes on
        _log.exception("a control request failed")
        return Refusal("something went wrong inside the node", "Look at its log.")


async def _tell(writer: asyncio.StreamWriter, answer: dict[str, Any] | Refusal) -> None:
    writer.write(msgspec.json.encode(answer) + b"\n")
    await writer.drain()


def _bound(path: Path) -> socket.socket:
    """Nobody else may open it, not even between its making and a change of its mode."""
    _check_length(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o077)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        os.umask(0o177)
        listening.bind(str(path))
    except OSError as error:
        listening.close()
        raise RepramError(
            f"cannot listen on {path}: {error.strerror}",
            hint="Set XDG_RUNTIME_DIR to a folder of yours.",
        ) from error
    finally:
        os.umask(before)
    return listening


def _line(asking: socket.socket) -> bytes:
    answer = bytearray()
    while not answer.endswith(b"\n"):
        piece = asking.recv(65_536)
        if not piece or len(answer) > ANSWER_MAX:
            raise RepramError("the node broke off its answer", hint="Look at its log.")
        answer += piece
    return bytes(answer)


def _check_length(path: Path) -> None:
    if len(os.fsencode(path)) > _PATH_MAX:
        raise UsageError(
            f"the control socket's name is longer than a socket's may be: {path}",
            hint="Set XDG_RUNTIME_DIR, or give the node a folder with a shorter name.",
        )
