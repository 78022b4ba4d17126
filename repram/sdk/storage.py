"""The host as a client uses it: a session when it is needed, the node's time, and who has been proved."""

from __future__ import annotations

import time
from dataclasses import dataclass

from repram.crypto.statements import Signer, owner_statement
from repram.errors import RemoteError
from repram.proto.endpoint import Session
from repram.proto.messages import STORAGE, Done, Node, Own, Reply, Request
from repram.proto.messages import About as AskAbout
from repram.proto.rpc import Caller
from repram.sdk.hosts import Host
from repram.sdk.sessions import Sessions


@dataclass(frozen=True, slots=True)
class About:
    """What a node says of itself, and how it is reached; in seconds."""

    node: Node
    clock_offset: float  # the node's clock minus this machine's
    rtt: float

    @property
    def free(self) -> int:
        """Bytes that this caller may still store."""
        left = self.node.capacity - self.node.used
        if self.node.quota:
            left = min(left, self.node.quota - self.node.quota_used)
        return max(0, left)


class Conversation:
    """One session with the host."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.caller: Caller[Request, Reply] = Caller(session, STORAGE)
        self._ahead = session.peer_time - _monotonic_ms()  # of this machine's clock
        self._proved: set[bytes] = set()

    def now(self) -> int:
        """The node's time in milliseconds, in which deadlines and versions are written."""
        return _monotonic_ms() + self._ahead

    async def about(self) -> About:
        """Ask the node what it is like."""
        reply = await self.caller.ask(AskAbout())
        if not isinstance(reply, Node):
            raise RemoteError("the node did not say what it is like")
        offset = self.now() / 1_000 - time.time()
        return About(reply, offset, self.session.stats().rtt / 1_000_000)

    async def prove(self, signer: Signer) -> None:
        """Have the node know that this side has an owner's key; in this session alone."""
        if signer.key in self._proved:
            return
        statement = owner_statement(signer.key, self.session.connection.handshake_hash())
        reply = await self.caller.ask(Own(signer.key, signer.sign(statement)))
        if not isinstance(reply, Done):
            raise RemoteError("the node did not say that it knows the owner now")
        self._proved.add(signer.key)


class Storage:
    """A host, and the conversation that is under way with it."""

    def __init__(self, sessions: Sessions, host: Host) -> None:
        self.host = host
        self._sessions = sessions
        self._conversation: Conversation | None = None

    async def open(self) -> Conversation:
        """The conversation; a new one when the session has ended."""
        session = await self._sessions.to(self.host.address, self.host.secret)
        if self._conversation is None or self._conversation.session is not session:
            self._conversation = Conversation(session)
        return self._conversation


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000
