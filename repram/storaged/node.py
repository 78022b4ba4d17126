"""A running node: what it holds, who may ask, what time it is, and the loops that keep it so."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final, Self

from repram.errors import RepramError
from repram.ids import HostPort, NodeAddress, format_size, parse_duration, parse_size
from repram.proto import rpc
from repram.proto.connection import Secret
from repram.proto.messages import STORAGE
from repram.storaged import budget, control
from repram.storaged import clock as clocks
from repram.storaged.access.keeper import Keeper, Terms
from repram.storaged.access.owners import Owners
from repram.storaged.access.policy import Policy
from repram.storaged.attacks import Attacks
from repram.storaged.clock import Clock
from repram.storaged.disk.files import TimedFiles
from repram.storaged.disk.snapshot import Snapshot
from repram.storaged.disk.tier import DiskTier
from repram.storaged.entries import Entries
from repram.storaged.folder import Folder, Setup
from repram.storaged.front import Front
from repram.storaged.health import Health
from repram.storaged.holdings.book import Book
from repram.storaged.marks import MarkFile
from repram.storaged.memory import MemoryTier
from repram.storaged.metrics import Metrics
from repram.storaged.owner import Owner
from repram.storaged.service import Service
from repram.storaged.tier import Tier
from repram.storaged.values import Values
from repram.storaged.vitals import watched

_SWEEP_INTERVAL: Final = 0.5
_TEND_INTERVAL: Final = 1.0
_MARK_INTERVAL: Final = 5.0
_ATTACKS_INTERVAL: Final = 60.0
_CAPACITY: Final = "1GiB"
_DRAIN_TIME: Final = 8.0  # of the ten seconds that stopping may take; the rest is for the tier

_log = logging.getLogger(__name__)


class Node:
    """`open`, then `serve` until told to stop."""

    def __init__(
        self,
        folder: Folder,
        clock: Clock,
        keeper: Keeper,
        book: Book,
        *,
        marks: MarkFile | None,
        snapshot: Snapshot | None,
        snapshot_every: float,
        metrics: Metrics,
    ) -> None:
        """Use `open`."""
        self.folder, self.clock, self.keeper, self.book = folder, clock, keeper, book
        self.started = clock.now()
        self.metrics = metrics
        self.server = rpc.Server(STORAGE, witness=self.metrics.answered)
        Service(book, keeper, clock.now).answer_on(self.server)
        Values(book, keeper, Owners(), clock.now).answer_on(self.server)
        Entries(book, keeper, clock.now).answer_on(self.server)
        self._marks = marks
        self._snapshot, self._snapshot_every = snapshot, snapshot_every
        self._saved = 0  # changes of the book that the snapshot has
        self._advertised: HostPort | None = None
        self.front: Front

    @classmethod
    async def open(
        cls, folder: Folder, setup: Setup, listen: tuple[str, int], *, identity: bytes
    ) -> Self:
        """Take up what is held, then bind the socket; the node answers from `serve` on.

        The folder is this process's alone: whoever calls has its lock.
        """
        metrics = Metrics(started=time.time())
        snapshot = _snapshot(folder, setup, metrics)
        tier = MemoryTier(snapshot) if not setup.disk else _disk_tier(folder, setup, metrics)
        marks = _marks(folder, setup)
        clock = Clock(clocks.boottime, clocks.read(), marks.last if marks else None)
        keeper = Keeper(
            _terms(setup),
            clock,
            folder=folder.path,
            entropy=secrets.token_bytes,
            time=time.monotonic,
            policy=Policy(setup.policy) if setup.policy else None,
        )
        book = _book(tier, setup)
        node = cls(
            folder,
            clock,
            keeper,
            book,
            marks=marks,
            snapshot=snapshot,
            snapshot_every=parse_duration(setup.snapshot_every) / 1000,
            metrics=metrics,
        )
        if snapshot is not None:
            book.on_outdated(snapshot.outdate)
        node.book.restore(clock.now())
        await node._remember()
        node._advertised = HostPort.parse(setup.advertise) if setup.advertise else None
        known = [Secret(each.id, each.secret) for each in keeper.invites.by_id.values()]
        node.front = await Front.open(listen, identity=identity, now=clock.now, secrets=known)
        return node

    @property
    def address(self) -> NodeAddress:
        """How others reach this node: as its owner says, or as far as it can know."""
        found = self.front.address
        return NodeAddress(found.key, self._advertised) if self._advertised else found

    @asynccontextmanager
    async def shown(self, stop: asyncio.Event, at: tuple[str, int]) -> AsyncIterator[HostPort]:
        """Let whoever watches the node see its metrics and its health there."""
        health = Health(watched(self, stop))
        where = await health.start(at)
        _log.info("metrics at=http://%s", HostPort(*where))
        try:
            yield HostPort(*where)
        finally:
            await health.close()

    @asynccontextmanager
    async def controlled(self, stop: asyncio.Event) -> AsyncIterator[None]:
        """Let the node's owner ask over the control socket."""
        path = control.socket_path(self.folder.path)
        async with control.serving(path, Owner(self, stop).answer):
            yield

    async def serve(self, stop: asyncio.Event) -> None:
        """Answer until `stop` is set, then finish what is under way, say goodbye and leave."""
        _log.info("serving address=%s tier=%s", self.address, self.book.tier.name)
        async with AsyncExitStack() as ended_at_last:
            if self.keeper.policy is not None:
                await ended_at_last.enter_async_context(self.keeper.policy)
            async with asyncio.TaskGroup() as tasks:
                accepting = tasks.create_task(self.front.accept(self.server, tasks))
                loops = [
                    tasks.create_task(loop())
                    for loop in (
                        self._sweep,
                        self._tend,
                        self._mark,
                        self._tell_attacks,
                        self._save_at_intervals,
                    )
                ]
                await stop.wait()
                accepting.cancel()
                await self._drain()
                for loop in loops:
                    loop.cancel()
            await self._save()
            await self._remember()
            await self.book.tier.close()

    # ---- loops

    async def _sweep(self) -> None:
        """Free in slices, so that a million items that expire at once hold up nobody."""
        while True:
            freed = self.book.expire(self.clock.now()) if self.clock.settled else 0
            await asyncio.sleep(0 if freed else _SWEEP_INTERVAL)

    async def _tend(self) -> None:
        """Nothing is shredded before it is known what time it is."""
        while True:
            await asyncio.sleep(_TEND_INTERVAL)
            self.clock.check(clocks.read())
            try:
                await self.front.keep_time()
                if self.clock.settled:
                    await self.book.tier.tend(self.clock.now())
            except (RepramError, OSError) as error:
                _log.error("tending failed and is tried again: %s", error)

    async def _mark(self) -> None:
        while True:
            await asyncio.sleep(_MARK_INTERVAL)
            with suppress(
                RepramError
            ):  # the mark from before does, if less well; tending tells of the disk
                await self._remember()

    async def _tell_attacks(self) -> None:
        attacks = Attacks()
        while True:
            for kind, count in attacks.noticed(self.front.counters()):
                _log.warning("attack kind=%s count=%d: %s", kind.name, count, kind.what)
            await asyncio.sleep(_ATTACKS_INTERVAL)

    async def _remember(self) -> None:
        mark = self.clock.mark()
        if mark is not None and self._marks is not None:
            await asyncio.to_thread(self._marks.write, mark)

    async def _save_at_intervals(self) -> None:
        while self._snapshot is not None:
            await asyncio.sleep(self._snapshot_every)
            await self._save()

    async def _save(self) -> None:
        """Write the snapshot, if there is to be one and it would differ from the last."""
        changes = self.book.changes
        if self._snapshot is None or changes == self._saved:
            return
        now = self.clock.now()
        try:
            await self._snapshot.write(self.book.copied(now), now)
        except RepramError as error:
            _log.error("the snapshot was not written and is tried again: %s", error)
        else:
            self._saved = changes

    async def _drain(self) -> None:
        _log.info("draining sessions=%d items=%d", self.front.sessions, len(self.book))
        try:
            async with asyncio.timeout(_DRAIN_TIME):
                await self.front.drain(self.server)
        except TimeoutError:
            _log.warning("calls cut off after %.0f s", _DRAIN_TIME)
        await self.front.close()


def _book(tier: Tier, setup: Setup) -> Book:
    """What is in memory has to fit there, and so has the index of what is on disk."""
    memory = budget.for_facts(budget.allowed())
    if setup.disk:
        return Book(tier, parse_size(setup.capacity or _CAPACITY), memory)
    capacity = parse_size(setup.capacity) if setup.capacity else min(parse_size(_CAPACITY), memory)
    if capacity > memory:
        _log.warning(
            "capacity=%s is more than the %s that fit into memory: the kernel may end this node",
            format_size(capacity), format_size(memory),
        )  # fmt: skip
    return Book(tier, capacity)


def _snapshot(folder: Folder, setup: Setup, metrics: Metrics) -> Snapshot | None:
    if not setup.snapshot:
        return None
    return Snapshot.open(folder.within(setup.snapshot), files=TimedFiles(metrics.synced))


def _marks(folder: Folder, setup: Setup) -> MarkFile | None:
    """Where the clock is remembered: by a node with something to lose, beside what it could lose."""
    if setup.snapshot:
        snapshot = folder.within(setup.snapshot)
        return MarkFile.open(snapshot.with_name(snapshot.name + ".clock"))
    return MarkFile.open(folder.clock) if setup.disk else None


def _disk_tier(folder: Folder, setup: Setup, metrics: Metrics) -> Tier:
    keys = folder.within(setup.keys) if setup.keys else None
    files = TimedFiles(metrics.synced)
    return DiskTier.open(folder.within(setup.disk), keys=keys, files=files)


def _terms(setup: Setup) -> Terms:
    return Terms(
        public=setup.public,
        rate=setup.rate,
        burst=setup.burst,
        public_quota=parse_size(setup.public_quota) if setup.public_quota else 0,
        owner_quota=parse_size(setup.owner_quota) if setup.owner_quota else 0,
    )
