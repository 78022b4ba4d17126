"""The agent's own process: `python -m repram.sdk.holding SOCKET MILLISECONDS`, and the seed on stdin.

It goes on in the background, and ends when it is told to, when its time is over, or when another agent
has taken its place; whichever it is, the identity is wiped first.
"""

from __future__ import annotations

import ctypes
import os
import resource
import secrets
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

from repram.crypto.held import HeldIdentity
from repram.errors import IntegrityFailure, LocalError
from repram.sdk.agent import MESSAGE_MAX, PATIENCE, PUBLIC, READY, Outcome, Verb, peer_uid

_PR_SET_DUMPABLE: Final = 4
_LOOKS_EVERY: Final = (
    5.0  # seconds: timeouts stand still while the machine sleeps, and time does not
)
_STDIN: Final = 0
_STDOUT: Final = 1


class Holding:
    """One identity, one socket, and a time after which both are gone."""

    def __init__(self, identity: HeldIdentity, path: Path, milliseconds: int) -> None:
        self._identity = identity
        self._path = path
        self._ends = time.clock_gettime(time.CLOCK_BOOTTIME) + milliseconds / 1_000
        self._listening = _bound(path)
        self._place = path.stat().st_ino

    def serve(self) -> None:
        """Answer until it is over."""
        try:
            while self._left() > 0 and self._in_place():
                self._listening.settimeout(min(self._left() + 0.001, _LOOKS_EVERY))
                with suppress(OSError):  # nobody came, or whoever did has gone
                    connection, _ = self._listening.accept()
                    with connection:
                        connection.settimeout(max(min(self._left(), PATIENCE), 0.001))
                        if not self._answer(connection):
                            return
        finally:
            self.forget()

    def forget(self) -> None:
        """Wipe the identity and leave."""
        self._identity.wipe()
        if self._in_place():
            self._path.unlink(missing_ok=True)
        self._place = -1  # the next one's socket may get the number that ours had
        self._listening.close()

    def _answer(self, connection: socket.socket) -> bool:
        """Answer one request; False when it was the last."""
        request = connection.recv(1 + MESSAGE_MAX + 1)
        if peer_uid(connection) != os.getuid() or self._left() <= 0:
            outcome, body = Outcome.REFUSED, b""
        elif request == bytes([Verb.LOCK]):
            self.forget()
            connection.send(bytes([Outcome.DONE]))
            return False
        else:
            outcome, body = self._outcome(request[:1], request[1:])
        connection.send(bytes([outcome]) + body)
        return True

    def _outcome(self, verb: bytes, body: bytes) -> tuple[Outcome, bytes]:
        if verb == bytes([Verb.PUBLIC]) and not body:
            left = int(self._left() * 1_000)
            return Outcome.DONE, PUBLIC.pack(self._identity.public, max(left, 0))
        if verb == bytes([Verb.SIGN]) and len(body) <= MESSAGE_MAX:
            return Outcome.DONE, self._identity.sign(body)
        if verb == bytes([Verb.UNBOX]):
            try:
                return Outcome.DONE, self._identity.unbox(body)
            except IntegrityFailure:
                return Outcome.NOT_OURS, b""
        return Outcome.REFUSED, b""

    def _left(self) -> float:
        return self._ends - time.clock_gettime(time.CLOCK_BOOTTIME)

    def _in_place(self) -> bool:
        """Whether the socket that bears the name is ours: an agent that nobody can reach is to end."""
        try:
            return self._path.stat().st_ino == self._place
        except OSError:
            return False


def main() -> None:
    """Go into the background, take the seed, say that it listens, and serve."""
    if os.fork():
        os._exit(0)
    os.setsid()
    _keep_out_of_sight()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _leave)
    path, milliseconds = Path(sys.argv[1]), int(sys.argv[2])
    try:
        holding = Holding(HeldIdentity(_STDIN), path, milliseconds)
    except (OSError, LocalError) as error:
        os.write(_STDOUT, str(error).encode())
        return
    os.write(_STDOUT, READY)
    nothing = os.open(os.devnull, os.O_RDWR)
    for each in (_STDIN, _STDOUT):
        os.dup2(nothing, each)
    holding.serve()


def _keep_out_of_sight() -> None:
    """No core dump, and no other process of this user may look into this one's memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _bound(path: Path) -> socket.socket:
    """A socket that nobody else can open, put in place whole: of two that start at once one stays."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    before = os.umask(0o177)
    temporary = path.with_suffix(f".{secrets.token_hex(4)}")
    try:
        listening.bind(str(temporary))
        listening.listen()
        temporary.replace(path)
    finally:
        os.umask(before)
    return listening


def _leave(_number: int, _frame: object) -> NoReturn:
    raise SystemExit


if __name__ == "__main__":
    main()
