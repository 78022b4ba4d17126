"""The links that were made here: what became of them, and what can still be done about them.

Each stands in a file of its own, the journal of its upload, with the keys that end and renew what it
names. The file goes when its time is over, and its keys when the link is revoked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from msgspec.structs import replace

from repram.crypto.links import Link, parse_link
from repram.errors import Conflict, NotAllowed, NotFound, RepramError, UsageError
from repram.ids import LINK_SCHEME, ItemId, NodeAddress, format_duration
from repram.sdk.copies import Copy
from repram.sdk.hosts import Hosts
from repram.sdk.journal import Batch, Done, Extended, Journal, Plan, Record, Revoked
from repram.sdk.leasing import Leasing, lifetime_of
from repram.sdk.parallel import in_order, to_the_end
from repram.sdk.sessions import Sessions
from repram.sdk.storage import Storage

FOLDER: Final = "links"
RENEWED_AT_ONCE: Final = 16
_PREFIX_MIN: Final = 4
_FORGOTTEN: Final = bytes(32)
_CUT_OFF: Final = 60.0  # seconds

State: TypeAlias = Literal["live", "revoked"]


@dataclass(frozen=True, slots=True)
class Made:
    """One link that was made here; times in milliseconds of this machine's clock."""

    id: ItemId
    link: Link | None  # None once it was revoked: its key is forgotten, too
    kind: Literal["file", "tree"]
    name: str
    size: int
    made: int
    expires: int
    hosts: tuple[NodeAddress, ...]
    downloads: int  # 0: as often as anyone likes
    password: bool
    people: int  # to how many it was sealed; 0: to whoever has the link
    state: State


@dataclass(frozen=True, slots=True)
class Standing:
    """How a link stands on one host, as the host says."""

    host: NodeAddress
    remaining: int  # milliseconds; 0: it is not there
    left: int | None  # downloads; None: without a limit, or it is not there
    under_way: int
    trouble: str  # why the host could not be asked, or ""


@dataclass(frozen=True, slots=True)
class Happened:
    """One thing that was done with a link, and when it would expire from then on."""

    what: Literal["made", "extended", "revoked"]
    time: int
    expires: int


class Links:
    """All of them. A link is named by its text, its `Link`, or the first characters of its id."""

    def __init__(self, state: Path, sessions: Sessions, patience: float) -> None:
        self._folder = state / FOLDER
        self._sessions = sessions
        self._patience = patience

    async def ls(self) -> tuple[Made, ...]:
        """Those that live, and those that were revoked before their time; the newest first."""
        return await to_the_end(self._read_all)

    async def info(self, which: str | Link) -> tuple[Made, tuple[Standing, ...]]:
        """What it is, and how it stands on each host that has it."""
        made = await self._named(which)
        with self._journal(made) as journal:
            plan = journal.plan()
        copies = self._copies(plan, made.hosts)
        return made, tuple(
            await asyncio.gather(
                *(_standing(copy, made, first=not n) for n, copy in enumerate(copies))
            )
        )

    async def revoke(self, which: str | Link) -> Made:
        """Have every host forget it, now and for good; Unreachable names those that could not be told."""
        made = await self._named(which)
        _check_lives(made)
        with self._journal(made) as journal:
            plan = journal.plan()
            hosts = tuple(map(NodeAddress.parse, plan.hosts))  # some may have a part of it
            copies = self._copies(plan, hosts)
            await _on_all(copies, lambda copy: copy.end(), "could not be told to forget it")
            return await to_the_end(lambda: _forget_keys(journal))

    async def extend(self, which: str | Link, ttl: str) -> Made:
        """Let it live for so long from now on; never shorter than before."""
        made = await self._named(which)
        _check_lives(made)
        lifetime = lifetime_of(ttl)
        with self._journal(made) as journal:
            plan, now = journal.plan(), _now()
            if now + lifetime <= made.expires:
                left = format_duration(max(0, made.expires - now))
                raise UsageError(
                    f"it lives for another {left} already",
                    hint="Give a longer time; to end it before, use `repram links revoke`.",
                )
            copies = self._copies(plan, made.hosts)
            deadline = min(await asyncio.gather(*(copy.now() for copy in copies))) + lifetime
            last = journal.last(Extended)
            serial = max(now, last.serial + 1 if last else 1)
            leasing = Leasing(plan.end_seed, plan.renew_seed, lifetime, deadline)
            await _on_all(
                copies,
                lambda copy: _renew(copy, journal, leasing, serial, made, first=copy is copies[0]),
                "could not extend it",
            )
            journal.append(Extended(now, serial, deadline, lifetime))
            return _made(journal)

    async def history(self, which: str | Link) -> tuple[Happened, ...]:
        """What was done with it, the oldest first."""
        made = await self._named(which)
        happened: list[Happened] = []
        with self._journal(made) as journal:
            for record in journal.records():
                match record:
                    case Plan():
                        happened.append(Happened("made", record.made, record.made + record.ttl))
                    case Extended():
                        happened.append(Happened("extended", record.time, record.time + record.ttl))
                    case Revoked():
                        happened.append(Happened("revoked", record.time, record.time))
                    case _:
                        pass
        return tuple(happened)

    # ----

    def _read_all(self) -> tuple[Made, ...]:
        """Those that are over are forgotten on the way."""
        found = []
        for path in self._folder.glob("*"):
            if path.suffix:  # about to take its place, unless whoever wrote it was killed
                _remove_old(path)
                continue
            journal = Journal.open(path, wait=True)
            if journal is None:
                continue
            with journal:
                try:
                    made = _made(journal)
                except (UsageError, NotFound):
                    continue  # damaged: it is over when its time is, wherever it is
                if made.expires <= _now():
                    journal.remove()
                else:
                    found.append(made)
        return tuple(sorted(found, key=lambda made: -made.made))

    async def _named(self, which: str | Link) -> Made:
        text = str(which.item) if isinstance(which, Link) else which.strip()
        if text.startswith((LINK_SCHEME, "https://")):
            text = str(parse_link(text).item)
        if len(text) < _PREFIX_MIN:
            raise UsageError(
                f"at least the first {_PREFIX_MIN} characters of a link's id belong here"
            )
        found = [made for made in await self.ls() if str(made.id).startswith(text)]
        if len(found) > 1:
            raise UsageError(f"{len(found)} links begin like this: give more of the id")
        if not found:
            raise NotFound(
                "no link that lives and was made here is called so",
                hint="`repram links ls` lists those that were made on this computer and are not over.",
            )
        return found[0]

    def _journal(self, made: Made) -> Journal:
        journal = Journal.open(self._folder / str(made.id))
        if journal is None:
            raise Conflict("another program is at work on this link", hint="Try again in a moment.")
        return journal

    def _copies(self, plan: Plan, hosts: tuple[NodeAddress, ...]) -> list[Copy]:
        known, leasing = Hosts(), Leasing.of(plan)
        storages = [Storage(self._sessions, known.chosen(str(host), {})) for host in hosts]
        return [Copy(each, leasing, self._patience, lambda _event: None) for each in storages]


def _made(journal: Journal) -> Made:
    plan, done, extended = journal.plan(), journal.last(Done), journal.last(Extended)
    if done is None:
        raise NotFound("this upload was not finished")
    hosts = tuple(map(NodeAddress.parse, done.hosts))
    revoked = journal.last(Revoked) is not None
    item = ItemId(done.item)
    return Made(
        item,
        None if revoked else Link(hosts[0], item, plan.secret),
        "tree" if done.kind == "tree" else "file",
        done.name,
        done.size,
        plan.made,
        extended.time + extended.ttl if extended else plan.made + plan.ttl,
        hosts,
        plan.downloads,
        done.password,
        done.people,
        "revoked" if revoked else "live",
    )


async def _standing(copy: Copy, made: Made, *, first: bool) -> Standing:
    """A limited head is on the first host alone; on the others only what it leads to."""
    host = copy.host.address
    try:
        if made.downloads and not first:
            return Standing(host, 0, None, 0, "")
        (remaining,) = await copy.look([made.id])
        if not remaining or not made.downloads:
            return Standing(host, remaining, None, 0, "")
        claimed = await copy.downloads(made.id)
    except RepramError as error:
        return Standing(host, 0, None, 0, str(error))
    return Standing(host, remaining, claimed.left, claimed.under_way, "")


async def _renew(
    copy: Copy, journal: Journal, leasing: Leasing, serial: int, made: Made, *, first: bool
) -> None:
    async def renewals() -> AsyncGenerator[Coroutine[Any, Any, int]]:
        if first or not made.downloads:
            yield copy.renew(leasing.renewal([made.id], serial, downloads=made.downloads))
        for batch in journal.batches():
            items = [ItemId(ref.id) for ref in batch]
            yield copy.renew(leasing.renewal(items, serial))

    async def ignore(_counts: list[int]) -> None:
        """How many items a batch has is known."""

    await in_order(renewals(), ignore, at_a_time=RENEWED_AT_ONCE)


async def _on_all(
    copies: list[Copy], act: Callable[[Copy], Coroutine[Any, Any, object]], failure: str
) -> None:
    """Every host is asked, whatever the others answer; then the first failure is told."""

    async def asked(copy: Copy) -> RepramError | None:
        try:
            await act(copy)
        except RepramError as error:
            return error
        return None

    errors = await asyncio.gather(*(asked(copy) for copy in copies))
    for copy, error in zip(copies, errors, strict=True):
        if error is not None:
            error.args = (f"{copy.host.address} {failure}: {error}",)
            raise error


def _forget_keys(journal: Journal) -> Made:
    """What is left until its time is over says only what it was."""
    rest: list[Record] = []
    for record in journal.records():
        if isinstance(record, Plan):
            gone = dict.fromkeys(("end_seed", "renew_seed", "secret"), _FORGOTTEN)
            rest.append(replace(record, **gone))
        elif not isinstance(record, Batch):
            rest.append(record)
    journal.rewrite([*rest, Revoked(_now())])
    return _made(journal)


def _remove_old(path: Path) -> None:
    with suppress(FileNotFoundError):
        if time.time() - path.stat().st_mtime > _CUT_OFF:
            path.unlink()


def _check_lives(made: Made) -> None:
    if made.state == "revoked":
        raise NotAllowed("this link was revoked, and that is for good", hint="Upload it again.")


def _now() -> int:
    return time.time_ns() // 1_000_000
