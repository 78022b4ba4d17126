"""The sessions that a client has, each made when it is first needed and kept until the client closes."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Final

from repram.crypto.identity import x25519_image
from repram.errors import RepramError
from repram.ids import NodeAddress
from repram.proto.connection import Secret, Settings
from repram.proto.endpoint import Endpoint, Session

LOST_AFTER: Final = 3  # timeouts without a sign of life; one is asked for after each


@dataclass(slots=True, eq=False)
class _Attempt:
    """To reach one node: one at a time, however many wait for it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    failure: RepramError | None = None


class Sessions:
    """One with each node and secret, over one socket for each kind of address. A node has so many seconds
    to answer a first call, and is lost when it has said nothing for some times that long."""

    def __init__(self, timeout: float) -> None:
        self._settings = Settings(
            handshake_timeout=timeout, idle_timeout=LOST_AFTER * timeout, keep_alive=timeout
        )
        self._open = contextlib.AsyncExitStack()
        self._endpoints: dict[bool, Endpoint] = {}
        self._sessions: dict[tuple[NodeAddress, Secret | None], Session] = {}
        self._attempts: dict[tuple[NodeAddress, Secret | None], _Attempt] = {}
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        """Say goodbye to all."""
        await self._open.aclose()

    async def to(self, node: NodeAddress, secret: Secret | None = None) -> Session:
        """The session with a node, in which both sides have proved the secret, if there is one."""
        known = self._sessions.get((node, secret))
        if known is not None and not known.closed:
            return known
        x25519_image(
            node.key
        )  # a key that no node can have is a malformed address, not a dead node
        attempt = self._attempts.setdefault((node, secret), _Attempt())
        failure = attempt.failure
        async with attempt.lock:
            known = self._sessions.get((node, secret))
            if known is not None and not known.closed:
                return known
            if attempt.failure is not failure and attempt.failure is not None:
                raise attempt.failure  # of the one that was waited for: all who waited share it
            try:
                return await self._connect(node, secret)
            except RepramError as error:
                attempt.failure = error
                raise

    async def _connect(self, node: NodeAddress, secret: Secret | None) -> Session:
        endpoint = await self._endpoint(ipv6=node.at.is_ipv6)
        session = await endpoint.connect((node.at.host, node.at.port), node.key, secret=secret)
        self._sessions[node, secret] = session
        return session

    async def _endpoint(self, *, ipv6: bool) -> Endpoint:
        async with self._opening:
            if ipv6 not in self._endpoints:
                wildcard = "::" if ipv6 else "0.0.0.0"  # noqa: S104  # a client's socket, on whichever way out
                endpoint = await Endpoint.open((wildcard, 0), settings=self._settings)
                self._endpoints[ipv6] = await self._open.enter_async_context(endpoint)
            return self._endpoints[ipv6]
