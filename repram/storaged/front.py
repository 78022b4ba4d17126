"""The node's side towards the network: one socket, its sessions, and whose secrets it knows."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final, Self

from repram.errors import SessionClosed
from repram.ids import HostPort, NodeAddress
from repram.proto import rpc
from repram.proto.connection import Secret, Settings
from repram.proto.endpoint import Endpoint, Session

CALLS_AT_ONCE: Final = 256  # of one session; further ones wait at the caller
SESSIONS: Final = 16_384
_FLUSH_INTERVAL: Final = 0.01
_TIME_OFF: Final = 500  # milliseconds by which the time that callers are told may be wrong

_log = logging.getLogger(__name__)


class Front:
    """`open`, then `accept` as long as it stands; `drain` and `close` when it is over."""

    def __init__(self, endpoint: Endpoint, identity: bytes, now: Callable[[], int]) -> None:
        self._endpoint = endpoint
        self._identity = identity
        self._now = now
        self._told = now() - _monotonic()
        self._secrets: dict[bytes, Secret] = {}
        self._sessions: set[Session] = set()
        self._closed = False

    @classmethod
    async def open(
        cls,
        listen: tuple[str, int],
        *,
        identity: bytes,
        now: Callable[[], int],
        secrets: Iterable[Secret],
    ) -> Self:
        """Bind the socket. Callers are told the node's time, in which they sign deadlines."""
        front = cls(await _endpoint(listen, identity, now), identity, now)
        for secret in secrets:
            front.add_secret(secret)
        return front

    @property
    def address(self) -> NodeAddress:
        """How others reach this node, as far as it can know."""
        host, port = self._endpoint.address[:2]
        return NodeAddress(self._endpoint.key, HostPort(_reachable(host), port))

    @property
    def sessions(self) -> int:
        """How many there are."""
        return len(self._sessions)

    @property
    def kernel_drops(self) -> int:
        """Datagrams lost for want of room in the socket."""
        return self._endpoint.kernel_drops

    def counters(self) -> dict[str, int]:
        """What the transport has counted."""
        return self._endpoint.core.counters()

    def add_secret(self, secret: Secret) -> None:
        """Callers may prove from now on that they have it."""
        self._endpoint.add_secret(secret)
        self._secrets[secret.id] = secret

    def remove_secret(self, secret_id: bytes) -> None:
        """It opens nothing more."""
        self._endpoint.remove_secret(secret_id)
        del self._secrets[secret_id]

    async def accept(self, server: rpc.Server[Any, Any], tasks: asyncio.TaskGroup) -> None:
        """Have the server attend to every session that comes."""
        while not self._closed:
            try:
                session = await self._endpoint.accept()
            except SessionClosed:
                await asyncio.sleep(0)  # another endpoint takes its place
                continue
            tasks.create_task(self._attend(server, session))

    async def keep_time(self) -> None:
        """The transport cannot be told that time has jumped for it: after a suspend, or when an unsettled
        clock settles, another endpoint takes its place, and everyone calls anew."""
        if abs(self._now() - _monotonic() - self._told) < _TIME_OFF:
            return
        _log.warning("the time that callers are told was wrong; all sessions begin anew")
        at = self._endpoint.address
        await self._endpoint.close()
        self._endpoint = await _endpoint((at[0], at[1]), self._identity, self._now)
        self._told = self._now() - _monotonic()
        for secret in self._secrets.values():
            self._endpoint.add_secret(secret)

    async def drain(self, server: rpc.Server[Any, Any]) -> None:
        """Finish what is under way, and wait until the other sides have all of it."""
        await server.drain()
        for session in list(self._sessions):
            await _flushed(session)

    async def close(self) -> None:
        """Say goodbye and let go of the socket."""
        self._closed = True
        for session in list(self._sessions):
            await session.close(0, "the node is shutting down")
        await self._endpoint.close()

    async def _attend(self, server: rpc.Server[Any, Any], session: Session) -> None:
        self._sessions.add(session)
        try:
            await server.attend(session)
        finally:
            self._sessions.discard(session)


async def _endpoint(listen: tuple[str, int], identity: bytes, now: Callable[[], int]) -> Endpoint:
    settings = Settings(max_streams=CALLS_AT_ONCE, max_sessions=SESSIONS)
    return await Endpoint.open(
        listen, identity=identity, listen=True, settings=settings, wall=now() * 1_000
    )


def _monotonic() -> int:
    """The transport's own clock, which stands still while the machine sleeps."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000_000


async def _flushed(session: Session) -> None:
    """Wait until the other side has acknowledged all: closing a session drops what is still on its way."""
    with suppress(SessionClosed):
        while session.stats().in_flight:  # noqa: ASYNC110  # the transport has no event for this
            await asyncio.sleep(_FLUSH_INTERVAL)


def _reachable(host: str) -> str:
    """For a socket on every interface: the address from which this machine would go out."""
    if host not in {"0.0.0.0", "::"}:  # noqa: S104  # compared, not bound
        return host
    family, probe = (
        (socket.AF_INET6, "2001:db8::1") if host == "::" else (socket.AF_INET, "192.0.2.1")
    )
    with socket.socket(family, socket.SOCK_DGRAM) as out:
        try:
            out.connect((probe, 9))  # sends nothing: it only picks a route
        except OSError:
            return "::1" if host == "::" else "127.0.0.1"
        return str(out.getsockname()[0])
