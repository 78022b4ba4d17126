"""The client: sessions with nodes, and what a program does over them."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from repram.crypto.links import Link, WebLink
from repram.crypto.locks import Locks
from repram.crypto.passwords import password_bytes
from repram.crypto.people import Person
from repram.crypto.spaces import Space
from repram.errors import UsageError
from repram.ids import NodeAddress
from repram.proto.messages import DOWNLOADS_MAX
from repram.sdk.claims import Claims
from repram.sdk.holders import Holders
from repram.sdk.hosts import Host, Hosts
from repram.sdk.kv import Values
from repram.sdk.leasing import lifetime_of
from repram.sdk.links import Links
from repram.sdk.opening import Keys, Password, Unbox
from repram.sdk.patience import PATIENCE
from repram.sdk.reader import Reader
from repram.sdk.receiving import Received, Receiving, Sink, self_contained
from repram.sdk.sessions import Sessions
from repram.sdk.source import Uploadable
from repram.sdk.state import state_folder
from repram.sdk.storage import About, Storage
from repram.sdk.transfer import Report, Transfer
from repram.sdk.upload import Order, Upload

DEFAULT_TTL: Final = "24h"
HANDSHAKE_TIMEOUT: Final = 10.0

T = TypeVar("T")


class Client:
    """Stores on `host` (an address, an invite or a known host's name; else $REPRAM_HOST or the default
    host), or a copy on each of `hosts`, and reads from wherever a link points. A host that is lost is tried
    again for so many seconds of `patience`. `state`: the folder for what is to be known later (uploads
    under way, links that were made); the person's own, if not given."""

    def __init__(
        self,
        host: str | NodeAddress | Host | None = None,
        *,
        hosts: Sequence[str | NodeAddress | Host] = (),
        timeout: float = HANDSHAKE_TIMEOUT,
        patience: float = PATIENCE,
        state: Path | None = None,
    ) -> None:
        self._wanted = tuple(hosts) or (host,)
        self._patience = patience
        self._state = state or state_folder(os.environ)
        self._sessions = Sessions(timeout)
        self._claims = Claims(self._state / "claims")
        self._storages: tuple[Storage, ...] = ()
        self._values: dict[Space, Values] = {}
        self._transfers: set[Transfer[Any]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for transfer in tuple(self._transfers):
            await transfer.aclose()
        for values in self._values.values():
            await values.close()
        await self._sessions.close()

    @property
    def storages(self) -> tuple[Storage, ...]:
        """The hosts that this client stores on, settled when they are first needed."""
        if not self._storages:
            hosts = tuple(map(_chosen, self._wanted))
            if len({host.address for host in hosts}) < len(hosts):
                raise UsageError("the same host is named twice: a copy on each needs several")
            self._storages = tuple(Storage(self._sessions, host) for host in hosts)
        return self._storages

    @property
    def storage(self) -> Storage:
        """The first of them: what has no copies is there."""
        return self.storages[0]

    @property
    def links(self) -> Links:
        """The links that were made here."""

        return Links(self._state, self._sessions, self._patience)

    async def about(self) -> About:
        """What the host is like."""
        return await (await self.storage.open()).about()

    def kv(self, space: Space) -> Values:
        """The values of a space on the host."""
        if space not in self._values:
            self._values[space] = Values(self.storage, space)
        return self._values[space]

    def upload(
        self,
        what: Uploadable,
        *,
        ttl: str = DEFAULT_TTL,
        name: str | None = None,
        downloads: int | None = None,
        password: str | None = None,
        to: Sequence[Person] = (),
        resume: bool = True,
    ) -> Transfer[Link]:
        """Seal a file, a folder, several of them or a stream, and store it on every host of this client;
        its link, once each of them that did not fail holds all of it.

        `name` is what a stream is called, and otherwise takes the place of the file's own; `downloads`:
        how often it may be fetched; `password` and `to`: what it takes to open it beside the link. With
        `resume` the same upload, when it was interrupted, goes on where it was.
        """

        async def main(tell: Report) -> Link:

            locks = Locks(None if password is None else password_bytes(password), tuple(to))
            order = Order(
                what, name, lifetime_of(ttl), _checked_downloads(downloads), locks, resume
            )
            return await Upload(order, self.storages, self._state, self._patience, tell).run()

        return self._transfer(main)

    def download(
        self,
        link: str | Link | WebLink,
        output: Path | None = None,
        *,
        overwrite: bool = False,
        password: Password = None,
        unbox: Unbox | None = None,
        resume: bool = True,
    ) -> Transfer[Received]:
        """Fetch a link into a file, or into a folder under the sender's name; where it is then.

        `password` is the text, or is asked for it when one is needed, and again as long as it is wrong;
        `unbox` opens the box that was sealed to a person. With `resume` an interrupted download leaves
        what it has, out of sight, and the same download goes on from there.
        """

        async def main(tell: Report) -> Received:
            receiving = self._receiving(link, password, unbox, tell)
            return await receiving.into_files(output, overwrite=overwrite, resume=resume)

        return self._transfer(main)

    def download_into(
        self,
        link: str | Link | WebLink,
        sink: Sink,
        *,
        password: Password = None,
        unbox: Unbox | None = None,
    ) -> Transfer[Received]:
        """Fetch a link's file into a stream; every chunk is verified before it is written."""

        async def main(tell: Report) -> Received:
            return await self._receiving(link, password, unbox, tell).into_stream(sink)

        return self._transfer(main)

    async def open(
        self,
        link: str | Link | WebLink,
        *,
        password: Password = None,
        unbox: Unbox | None = None,
    ) -> Reader:
        """A link's file to read from anywhere in it; nothing is fetched but what is read."""
        return await self._receiving(link, password, unbox, lambda _event: None).reader()

    def _transfer(self, main: Callable[[Report], Coroutine[Any, Any, T]]) -> Transfer[T]:
        """One that ends with this client, at the latest."""

        async def tracked(tell: Report) -> T:
            self._transfers.add(transfer)
            try:
                return await main(tell)
            finally:
                self._transfers.discard(transfer)

        transfer = Transfer(tracked)
        return transfer

    def _receiving(
        self, link: str | Link | WebLink, password: Password, unbox: Unbox | None, tell: Report
    ) -> Receiving:
        parsed = self_contained(link)
        others = (_chosen(each).address for each in self._wanted if each is not None)
        holders = Holders(self._sessions, (parsed.node, *others), self._patience, tell)
        return Receiving(parsed, Keys(password, unbox), holders, self._claims, tell)


def _chosen(host: str | NodeAddress | Host | None) -> Host:
    if isinstance(host, NodeAddress):
        return Host(host)
    return host if isinstance(host, Host) else Hosts().chosen(host, os.environ)


def _checked_downloads(downloads: int | None) -> int:
    if downloads is None:
        return 0
    if not 0 < downloads <= DOWNLOADS_MAX:
        raise UsageError(f"a link may be downloaded 1 to {DOWNLOADS_MAX:,} times, not {downloads}")
    return downloads
