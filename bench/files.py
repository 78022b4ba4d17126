"""Handing files over: every carrier in turn, one large file and many small ones."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.carriers import Carrier, Rclone, Repram, Restic, Rsync, Scp, Wormhole
from bench.links import Link
from bench.processes import Failed
from bench.results import Results
from bench.site import Carried, Load, Site, difference
from bench.syncthing import Syncthing

CARRIERS: Final[dict[str, Carrier]] = {
    each.name: each
    for each in (Repram(), Wormhole(), Scp(), Rsync(), Syncthing(), Rclone(), Restic())
}
ROOM: Final = 5  # times the load: it, sealed and stored, its copy, and what they are warmed with


@dataclass(frozen=True, slots=True)
class Amount:
    """How large the one file is, and how many small ones there are."""

    size: int
    count: int


NEAR: Final = Amount(1 << 30, 10_000)
# What takes some ten seconds where the line is the limit.
FAR: Final = {"L4": Amount(128 << 20, 2_000), "L5": Amount(48 << 20, 2_000)}
FIRST: Final = Amount(1 << 20, 20)


def find(name: str) -> Carrier:
    """`scp`, or as much of a name as tells it from the others."""
    found = [each for each in CARRIERS.values() if each.name.lower().startswith(name.lower())]
    if len(found) != 1:
        raise ValueError(f"no carrier {name!r}; there are {', '.join(CARRIERS)}")
    return found[0]


def measure(
    results: Results,
    link: Link,
    carriers: Sequence[Carrier],
    amount: Amount,
    *,
    rounds: int,
    folder: Path,
) -> None:
    """Rounds of these carriers on this link, of both kinds of load."""
    _use_the_better_control(link)
    able = [each for each in carriers if _first_turn(results, link, each, folder)]
    for kind, size in (("one", amount.size), ("many", amount.count)):
        if not size:
            continue
        with tempfile.TemporaryDirectory(dir=folder) as name, results.under(load=kind):
            place = Path(name) / "sent"
            load = Load.one(place, size) if kind == "one" else Load.many(place, size)
            if why := _no_room(load, folder):
                results.leave_out(f"{kind} on {link.profile.name}", why)
                continue
            _rounds(results, link, able, load, rounds=rounds, folder=folder)


def _first_turn(results: Results, link: Link, carrier: Carrier, folder: Path) -> bool:
    """Whether it works here at all; what it needs is read from disk, and it is not told."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        load = Load.one(Path(name) / "sent", FIRST.size)
        try:
            turn(link, carrier, load, folder)
        except Failed as failed:
            results.leave_out(f"{carrier.name} on {link.profile.name}", str(failed))
            return False
    return True


def _rounds(
    results: Results,
    link: Link,
    carriers: Sequence[Carrier],
    load: Load,
    *,
    rounds: int,
    folder: Path,
) -> None:
    """Who failed once is not asked again: it took all the time that there is."""
    failed: set[str] = set()
    for number in range(1, rounds + 1):
        for carrier in carriers:
            if carrier.name in failed:
                continue
            with results.under(link=link.profile.name, round=number):
                try:
                    moves = turn(link, carrier, load, folder)
                except Failed as failure:
                    failed.add(carrier.name)
                    results.add(peers=[carrier.name], error=str(failure))
                else:
                    _tell(results, carrier, load, moves)


def turn(link: Link, carrier: Carrier, load: Load, folder: Path) -> list[Carried]:
    """One turn of one carrier; `Failed` also if what arrived is not what was sent."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        site = Site(link, load, Path(name))
        moves = list(carrier.carry(site))
        if where := difference(load.path, site.received):
            raise Failed(f"what arrived is not what was sent: {where}")
    return moves


def _tell(results: Results, carrier: Carrier, load: Load, moves: Sequence[Carried]) -> None:
    for moved in moves:
        cpu_s = moved.cpu_s_a + moved.cpu_s_b
        results.add(
            peer=carrier.name,
            move=moved.move,
            beside=[],
            goodput_mb_s=round(load.bytes / moved.seconds / 1e6, 3),
            bytes=load.bytes,
            files=load.files,
            seconds=round(moved.seconds, 3),
            cpu_s_a=round(moved.cpu_s_a, 3),
            cpu_s_b=round(moved.cpu_s_b, 3),
            cpu_s_gib=round(cpu_s / load.bytes * 2**30, 3),
        )


def _use_the_better_control(link: Link) -> None:
    """For those that use TCP: CUBIC where nothing is lost, else BBR, where the kernel has it."""
    link.use_congestion_control(None)
    with suppress(Failed):
        link.use_congestion_control("bbr" if link.profile.loss else "cubic")


def _no_room(load: Load, folder: Path) -> str | None:
    free = min(shutil.disk_usage(folder).free, _available_memory())
    needed = ROOM * load.bytes
    if free >= needed:
        return None
    return f"it needs {needed / 2**30:.1f} GiB of memory, and {free / 2**30:.1f} are free"


def _available_memory() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return 0
