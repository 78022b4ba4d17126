"""What a node in memory has again after a restart, and what it has not."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from repram.errors import Conflict, Full, NotAllowed, RepramError
from repram.proto.messages import STORAGE, Done, Get, Has, Held, Here, Reply, Request
from repram.proto.rpc import Caller
from repram.storaged.disk.snapshot import Snapshot
from repram.storaged.memory import MemoryTier
from repram.storaged.tier import Fact
from tests.leases import ALICE, BOB, MINUTE
from tests.nodes import calling, serving
from tests.storaged.answering import Answering, Clock
from tests.storaged.disk.disks import FULL, PowerCut, SimulatedDisk
from tests.storaged.disk.drawn import Drawn
from tests.storaged.disk.remembering import NOW, SLOTS, Kept, remembering

FILE = Path("/data/snapshot")


def test_what_lives_is_there_again_and_nothing_that_is_over(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "snapshot"
        async with remembering(path) as before:
            before.keep(b"short", b"s" * 500, NOW + 20_000)
            before.keep(b"long", b"l" * 500, NOW + 600_000)
            before.keep(b"empty", b"", NOW + 600_000)
            before.book.drop(before.keep(b"ended", b"e", NOW + 700_000))
            before.keep(b"replaced", b"old", NOW + 600_000)
            before.keep(b"replaced", b"new", NOW + 800_000)
            await before.write()
        async with remembering(path, NOW + 20_000) as after:
            assert after.all() == {b"long": b"l" * 500, b"empty": b"", b"replaced": b"new"}
            assert after.book.used == 3 * after.book.tier.cost(0) + 503
            found = after.book.get(b"klong", NOW)
            assert isinstance(found, Kept)
            assert (found.said, found.until) == (b"said of long", NOW + 600_000)

    asyncio.run(main())


@pytest.mark.parametrize("body", [b"body", b""])
@pytest.mark.parametrize("how", ["ended", "replaced", "amended"])
def test_what_changed_after_a_snapshot_does_not_come_back_as_it_was(
    tmp_path: Path, how: str, body: bytes
) -> None:
    async def main() -> None:
        path = tmp_path / "snapshot"
        async with remembering(path) as before:
            entry = before.keep(b"a", body, NOW + 600_000)
            before.keep(b"elsewhere", b"stays", NOW + 700_000)
            await before.write()
            if how == "ended":
                before.book.drop(entry)
            elif how == "replaced":
                before.keep(b"a", b"new", NOW + 600_000)
            else:
                before.book.amend(entry, NOW + 600_000)
            await before.book.tier.settled()
        async with remembering(path) as after:  # as after a crash: nothing was written meanwhile
            assert after.all() == {b"elsewhere": b"stays"}

    asyncio.run(main())


def test_what_changes_while_a_snapshot_is_written_is_not_in_it(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "snapshot"
        async with remembering(path) as before:
            entries = [before.keep(b"%d" % i, b"x", NOW + 600_000) for i in range(1200)]
            parts = before.book.copied(NOW)

            def changing() -> Iterator[list[Fact]]:
                for number, part in enumerate(parts):
                    yield part
                    if not number:
                        before.book.drop(entries[0])
                        before.book.drop(entries[-1])
                        ending.append(asyncio.ensure_future(before.book.tier.settled()))

            ending: list[asyncio.Future[None]] = []
            await before.snapshot.write(changing(), NOW)
            await ending[0]
        async with remembering(path) as after:
            assert len(after.all()) >= 199
            assert not {b"0", b"1199"} & set(after.all())

    asyncio.run(main())


def test_keys_of_what_is_over_are_nowhere_in_the_files() -> None:
    async def main() -> None:
        disk, drawn = SimulatedDisk(), Drawn()

        def on_disk() -> set[int]:
            return {n for n in range(1, drawn.count + 1) if disk.holds(drawn_as(n))}

        async with remembering(FILE, files=disk, drawn=drawn) as node:
            node.keep(b"expires", b"e" * 100, NOW + 20_000)
            ends = node.keep(b"ends", b"e" * 100, NOW + 600_000)
            node.keep(b"stays", b"s" * 100, NOW + 700_000)
            await node.write()
            first = on_disk()
            assert len(first) == 3  # of 6 that were drawn, those of buckets
            assert drawn.count == 6
            node.book.drop(ends)
            await node.book.tier.settled()
            assert len(on_disk()) == 2
            await node.book.tier.tend(NOW + 36_000)
            assert len(on_disk()) == 1
            await node.write(NOW + 36_000)
            assert len(on_disk()) == 1
            assert not on_disk() & first
        async with remembering(FILE, NOW + 720_000, files=disk) as node:
            assert not node.all()
            assert not on_disk()

    asyncio.run(main())


def drawn_as(number: int) -> bytes:
    key = bytearray(32)
    again = Drawn()
    again.count = number - 1
    again(memoryview(key))
    return bytes(key)


def test_a_damaged_snapshot_loses_only_what_it_held(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "snapshot"
        everything = {b"%d" % i: b"%d" % i * 300 for i in range(5)}
        async with remembering(path) as before:
            for number, (name, body) in enumerate(everything.items()):
                before.keep(name, body, NOW + 600_000 + 15_000 * number)
            await before.write()
        whole, keys = path.read_bytes(), (tmp_path / "snapshot.keys").read_bytes()
        chance = random.Random(5)
        for _ in range(40):
            damaged = bytearray(whole)
            at = chance.randrange(len(whole))
            damaged[at] ^= 1 << chance.randrange(8)
            await holds(path, bytes(damaged), keys, everything, 4)
        for size in (0, 1, len(whole) // 2, len(whole) - 1):
            await holds(path, whole[:size], keys, everything, 0)
        await holds(path, whole, bytes(len(keys)), everything, 0)
        await holds(path, whole, keys, everything, 5)

    asyncio.run(main())


async def holds(
    path: Path, content: bytes, keys: bytes, everything: dict[bytes, bytes], least: int
) -> None:
    put_back(path, content, keys)
    async with remembering(path) as after:
        assert after.all().items() <= everything.items()
        assert len(after.all()) >= least


def put_back(path: Path, content: bytes, keys: bytes) -> None:
    path.write_bytes(content)
    path.with_name("snapshot.keys").write_bytes(keys)


def test_power_cut_at_any_call_leaves_the_one_snapshot_or_the_other() -> None:
    async def attempt(cut_at: int | None, seed: int | None) -> int:
        disk = SimulatedDisk()
        async with remembering(FILE, files=disk) as node:
            node.keep(b"a", b"first", NOW + 600_000)
            await node.write()
            begun = disk.calls
            node.keep(b"b", b"second", NOW + 600_000)
            disk.cut_at = None if cut_at is None else begun + cut_at
            with suppress(PowerCut):
                await node.write()
            calls = disk.calls - begun
        chance = None if seed is None else random.Random(seed)
        for left in (disk.after_power_cut(chance), disk.after_kill()):
            async with remembering(FILE, files=left) as after:
                assert after.all() in (
                    {b"a": b"first"},
                    {b"a": b"first", b"b": b"second"},
                )
        return calls

    async def main() -> None:
        calls = await attempt(None, None)
        assert calls > 6
        for cut_at in range(calls):
            for seed in (None, 1, 2, 3):
                await attempt(cut_at, seed)

    asyncio.run(main())


def test_a_disk_that_is_full_costs_no_more_than_the_new_snapshot() -> None:
    async def main() -> None:
        disk = SimulatedDisk()
        async with remembering(FILE, files=disk) as node:
            entry = node.keep(b"a", b"first", NOW + 600_000)
            node.keep(b"b", b"second", NOW + 700_000)
            await node.write()
            disk.failing = FULL
            with pytest.raises(Full):
                await node.write()
            node.book.drop(entry)
            with pytest.raises(RepramError):
                await node.book.tier.settled()
            disk.failing = None
            await node.book.tier.settled()
        async with remembering(FILE, files=disk) as after:
            assert after.all() == {b"b": b"second"}

    asyncio.run(main())


def test_a_file_serves_one_node_at_a_time(tmp_path: Path) -> None:
    async def main() -> None:
        async with remembering(tmp_path / "snapshot"):
            with pytest.raises(Conflict, match="another node"):
                Snapshot.open(tmp_path / "snapshot", slots=SLOTS)

    asyncio.run(main())


@asynccontextmanager
async def node(clock: Clock, path: Path) -> AsyncIterator[Caller[Request, Reply]]:
    """A service whose snapshot is written at its end."""
    snapshot = Snapshot.open(path)
    answering = Answering(clock, tier=MemoryTier(snapshot))
    answering.book.on_outdated(snapshot.outdate)
    async with serving(answering.server) as address, calling(address) as session:
        yield Caller(session, STORAGE)
    await snapshot.write(answering.book.copied(clock()), clock())
    await snapshot.close()


def test_leases_from_before_the_start_are_refused_but_for_those_that_came_back(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        clock, path = Clock(), tmp_path / "snapshot"
        stays, ends = ALICE.put(b"stays", clock.time), BOB.put(b"ends", clock.time)
        never = ALICE.put(b"never came", clock.time)
        async with node(clock, path) as asked:
            await asked.call(stays, body=b"stays")
            await asked.call(ends, body=b"ends")
            assert await asked.ask(BOB.end()) == Done(1)
        clock.time += 1_000
        async with node(clock, path) as asked:
            assert await asked.ask(Has((stays.id, ends.id))) == Here((MINUTE - 1_000, 0))
            assert (await asked.call(Get(stays.id), max_body=100)).body == b"stays"
            with pytest.raises(NotAllowed, match="was ended"):
                await asked.call(ends, body=b"ends")
            with pytest.raises(NotAllowed, match="before the node started"):
                await asked.call(never, body=b"never came")
            again = (await asked.call(stays, body=b"stays")).reply
            assert again == Held(clock.time - 1_000, MINUTE, MINUTE - 1_000)
            assert await asked.ask(ALICE.renewal(stays, clock.time, 2 * MINUTE)) == Done(1)
            assert await asked.ask(ALICE.end()) == Done(1)

    asyncio.run(main())
