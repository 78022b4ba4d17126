"""A command of the owner's that may refuse what is to be stored, before the node accepts it.

It runs as long as the node. A question is one line of JSON on its stdin, {"op": "put", "id": …, "size": …,
"owner": …}; the answers, {"allow": true} or {"allow": false, "reason": …}, come on its stdout in the same
order. No answer in time, an answer that is none, and a command that has ended all mean no.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
from asyncio import StreamWriter
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from repram.errors import Busy, NotAllowed
from repram.ids import ItemId

PATIENCE: Final = 2.0  # seconds for one answer
WAITING_MAX: Final = 1024
_LINE_MAX: Final = 4096
_REST: Final = 1.0  # before a command that has ended is started again

_log = logging.getLogger(__name__)


class Verdict(msgspec.Struct, frozen=True):
    """What the command answers."""

    allow: bool
    reason: Annotated[str, Meta(max_length=200)] = ""


class Policy:
    """Use it inside `async with`: it ends its command."""

    def __init__(self, command: Sequence[str], *, patience: float = PATIENCE) -> None:
        self._command, self._patience = command, patience
        self._running: _Running | None = None
        self._starting = asyncio.Lock()
        self._may_start_at = 0.0

    async def __aenter__(self) -> Policy:
        await self._started()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._running is not None:
            await self._running.end()

    async def ask(self, op: str, item: bytes, size: int, owner: bytes) -> None:
        """Return when it is allowed, raise NotAllowed when it is not."""
        running = await self._started()
        if running is None:
            raise NotAllowed("this node's policy does not answer", hint=_ASK_OWNER)
        named = str(ItemId(owner)) if owner else ""
        question = {"op": op, "id": str(ItemId(item)), "size": size, "owner": named}
        answer = running.put(msgspec.json.encode(question) + b"\n")
        try:
            async with asyncio.timeout(self._patience):
                verdict = await answer
        except TimeoutError:
            _log.warning("the policy command did not answer within %g s", self._patience)
            await running.end()  # answers are told apart by their order, which is lost now
            raise NotAllowed("this node's policy did not answer in time", hint=_ASK_OWNER) from None
        if not verdict.allow:
            reason = verdict.reason or "no reason given"
            raise NotAllowed(f"this node's policy refuses this: {reason}", hint=_ASK_OWNER)

    async def _started(self) -> _Running | None:
        async with self._starting:
            now = asyncio.get_running_loop().time()
            if self._running is not None and self._running.over:
                self._running = None
            if self._running is None and now >= self._may_start_at:
                self._may_start_at = now + _REST
                try:
                    self._running = await _Running.start(self._command)
                except OSError as error:
                    _log.error("cannot run the policy command: %s", error.strerror)
            return self._running


class _Running:
    """One life of the command."""

    def __init__(
        self, process: subprocess.Popen[bytes], reader: asyncio.StreamReader, writer: StreamWriter
    ) -> None:
        self.over = False
        self._process, self._reader, self._writer = process, reader, writer
        self._waiting: deque[asyncio.Future[Verdict]] = deque()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, command: Sequence[str]) -> _Running:
        """A socket is its stdin and its stdout, for that closes for certain."""
        ours, theirs = socket.socketpair()
        with theirs:
            end = theirs.fileno()
            try:
                # It is the owner's command, and has started within milliseconds.
                process = subprocess.Popen(command, stdin=end, stdout=end)  # noqa: ASYNC220, S603
            except OSError:
                ours.close()
                raise
        return cls(process, *await asyncio.open_connection(sock=ours, limit=_LINE_MAX))

    def put(self, question: bytes) -> asyncio.Future[Verdict]:
        """Ask; the answer comes when those before it have."""
        if len(self._waiting) >= WAITING_MAX:
            raise Busy("too many questions wait for this node's policy")
        answer: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        self._writer.write(question)
        return answer

    async def end(self) -> None:
        """Whoever still waits is refused."""
        self._reading.cancel()
        with suppress(asyncio.CancelledError):
            await self._reading

    async def _read(self) -> None:
        """Hand each line to the question that waits the longest, until it has ended or babbles."""
        try:
            with suppress(ValueError, OSError, IndexError, msgspec.DecodeError):
                while line := await self._reader.readline():
                    verdict = msgspec.json.decode(line, type=Verdict)
                    answer = self._waiting.popleft()
                    if not answer.done():
                        answer.set_result(verdict)
            _log.warning("the policy command has ended, or answered what is no answer")
        finally:
            self.over = True
            for answer in self._waiting:
                if not answer.done():
                    answer.set_result(Verdict(allow=False, reason="it does not answer"))
            self._writer.close()
            self._process.kill()
            await asyncio.to_thread(self._process.wait)


_ASK_OWNER: Final = "Ask the owner of the node; or store on another one."
