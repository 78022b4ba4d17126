"""The agent: a process that holds an unlocked identity for a while, and what programs ask of it.

It listens on a socket that its owner alone can open, and knows four requests, each one packet and one
packet in answer: the first byte is the verb, or the outcome.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final, Self

from blake3 import blake3

from repram.crypto.people import Person
from repram.errors import LocalError, NotAllowed, RepramError

MESSAGE_MAX: Final = 4096
PATIENCE: Final = 2.0  # seconds that either side waits for the other
PUBLIC: Final = struct.Struct(">32sQ")  # the identity's key, milliseconds that remain

READY: Final = b"ready\n"

_PASSED_ON: Final = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")


class Verb(IntEnum):
    """What may be asked."""

    PUBLIC = 1
    SIGN = 2
    UNBOX = 3
    LOCK = 4


class Outcome(IntEnum):
    """What came of it."""

    DONE = 0
    REFUSED = 1  # not a request, or one from another user
    NOT_OURS = 2  # the box is to somebody else


class NoAgentError(NotAllowed):
    """The account is locked."""

    hint = "Run `repram account unlock`."


@dataclass(frozen=True, slots=True)
class Agent:
    """The agent of one identity, whether it runs or not."""

    person: Person
    path: Path

    @classmethod
    def of(cls, person: Person, state: Path, environment: Mapping[str, str]) -> Self:
        """Its socket is named after the identity, in the folder that lasts as long as the session."""
        runtime = Path(environment.get("XDG_RUNTIME_DIR", ""))
        folder = runtime / "repram" if runtime.is_absolute() and runtime.is_dir() else state
        return cls(person, folder / f"account-{blake3(person.key).hexdigest(8)}.sock")

    def remaining(self) -> int | None:
        """Milliseconds for which it stays unlocked; None when it is locked."""
        try:
            key, left = PUBLIC.unpack(self._ask(Verb.PUBLIC, b""))
        except (NoAgentError, struct.error):
            return None
        return int(left) if key == self.person.key else None

    def sign(self, message: bytes) -> bytes:
        """A signature by the identity."""
        if len(message) > MESSAGE_MAX:
            raise LocalError(f"an agent signs at most {MESSAGE_MAX} bytes")
        return self._ask(Verb.SIGN, message)

    def unbox(self, box: bytes) -> bytes | None:
        """What is in a box; None when it is to somebody else."""
        return self._ask(Verb.UNBOX, box) or None

    def lock(self) -> bool:
        """Have it forget the identity; whether there was one that did."""
        try:
            self._ask(Verb.LOCK, b"")
        except NoAgentError:
            return False
        return True

    def start(self, seed: bytes, milliseconds: int) -> None:
        """Start one in place of the one that runs. The seed goes through a pipe, and nowhere else."""
        self.lock()
        arguments = ("-P", "-m", "repram.sdk.holding", str(self.path), str(milliseconds))
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            done = subprocess.run(  # noqa: S603  # our own interpreter and arguments
                (sys.executable, *arguments),
                input=seed,
                stdout=subprocess.PIPE,  # closed when it listens; it goes on as a child of nobody
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
                check=False,
            )
        except OSError as error:
            raise RepramError(f"cannot start the agent: {error.strerror}") from error
        if done.stdout != READY:
            raise RepramError(
                "the agent did not start: "
                + (done.stdout.decode(errors="replace") or "no word of it"),
                hint=f"It listens in {self.path.parent}; $XDG_RUNTIME_DIR names a better folder.",
            )

    def _ask(self, verb: Verb, body: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.settimeout(PATIENCE)
            try:
                connection.connect(str(self.path))
                if peer_uid(connection) != os.getuid():
                    raise NoAgentError("another user's program listens where the agent would")
                connection.send(bytes([verb]) + body)
                answer = connection.recv(MESSAGE_MAX)
            except OSError:
                raise NoAgentError from None
        if not answer or answer[0] == Outcome.REFUSED:
            raise NoAgentError("the agent refused the request")
        return answer[1:]


def peer_uid(connection: socket.socket) -> int:
    """The user at the other end, as the kernel knows it."""
    _, uid, _ = struct.unpack(
        "iII", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    )
    return int(uid)
