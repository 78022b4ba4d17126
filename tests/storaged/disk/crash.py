"""Kill -9 under load: `python -m tests.storaged.disk.crash --rounds 1000`.

A child writes, and tells of every acknowledgement through a pipe; this process keeps the ledger, kills the
child at some moment, and has the next one say what is there before it goes on. What was acknowledged has to
be.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from repram.storaged.disk.tier import DiskTier

START = 1_800_000_000_000
SEGMENT = 1 << 20
SLOTS = 256
HOUR = 1_800_000
Ledger = dict[int, tuple[int, ...]]  # by fact: the versions that may be found; 0: none


def body_of(name: int, version: int) -> bytes:
    """What a fact of this version has to hold."""
    chance = random.Random(name << 32 | version)
    return chance.randbytes(chance.choice((10, 200, 1_000, 40_000)))


def open_tier(folder: Path) -> DiskTier:
    return DiskTier.open(folder, segment_size=SEGMENT, slots=SLOTS)


async def write(folder: Path, seed: int) -> None:
    """Tell what is there. Then change facts until killed, and tell of it before and after it is settled."""
    chance = random.Random(seed)
    tier = open_tier(folder)
    places = {int(fact.key): fact.place for fact in tier.restore(START)}
    versions = {name: int(place.meta) for name, place in places.items()}
    for name, version in versions.items():
        assert bytes(tier.body(places[name])) == body_of(name, version)
    print("found", *(f"{name}={version}" for name, version in versions.items()), flush=True)
    version = max(versions.values(), default=0)
    now = START
    while True:
        said = {}
        for name in chance.sample(range(200), chance.randint(1, 20)):
            version += 1
            meta, key = b"%d" % version, b"%d" % name
            if name not in places:
                places[name] = tier.put(key, meta, body_of(name, version), START + HOUR)
            elif chance.random() < 0.5:
                place = places[name]
                places[name] = tier.replace(place, key, meta, body_of(name, version), START + HOUR)
            else:
                tier.drop(places.pop(name), ended=True)
                said[name] = 0
                continue
            said[name] = version
        told = " ".join(f"{name}={found}" for name, found in said.items())
        print("asked", told, flush=True)
        await tier.settled()
        print("sure", told, flush=True)
        if chance.random() < 0.2:
            now += 7_000
            await tier.tend(now)


def child(*arguments: str | Path | int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.storaged.disk.crash", *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
    )


def killed_under_load(folder: Path, seed: int, seconds: float, ledger: Ledger) -> int:
    """One round; how many acknowledgements there were."""
    count = 0
    with child("--write", folder, "--seed", seed) as process:
        assert process.stdout
        verify(process.stdout.readline(), ledger)
        started = time.monotonic()
        for line in process.stdout:
            if time.monotonic() - started > seconds:
                process.kill()
            count += learn(line, ledger)
    return count


def learn(line: str, ledger: Ledger) -> int:
    verb, *pairs = line.split()
    for pair in pairs:
        name, version = map(int, pair.split("="))
        before = ledger.get(name, (0,))
        ledger[name] = (version,) if verb == "sure" else (*before, version)
    return len(pairs) if verb == "sure" else 0


def verify(line: str, ledger: Ledger) -> None:
    verb, *pairs = line.split() or ["nothing"]
    assert verb == "found", "what is there could not be read"
    found = {int(name): int(version) for name, version in (pair.split("=") for pair in pairs)}
    for name, allowed in ledger.items():
        assert found.get(name, 0) in allowed, (name, found.get(name, 0), allowed)
        ledger[name] = (found.get(name, 0),)
    assert found.keys() <= ledger.keys()


def run(rounds: int, seed: int) -> int:
    """So many rounds in one folder; how many acknowledgements were all found again."""
    chance = random.Random(seed)
    ledger: Ledger = {}
    count = 0
    with tempfile.TemporaryDirectory(prefix="repram-crash-") as folder:
        for round_ in range(rounds):
            count += killed_under_load(Path(folder), seed + round_, chance.random() * 0.3, ledger)
        killed_under_load(Path(folder), seed + rounds, 0, ledger)  # only to look
    return count


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.storaged.disk.crash", description=__doc__
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    if arguments.write:
        asyncio.run(write(arguments.write, arguments.seed))
    else:
        count = run(arguments.rounds, arguments.seed)
        print(f"{arguments.rounds} rounds, {count} acknowledgements, all there")


if __name__ == "__main__":
    main()
