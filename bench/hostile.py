"""An honest client beside a hostile one: `python -m bench.hostile`. How long it waits, with and without.

The node has its ordinary limits on requests, and a core to itself. The hostile client comes from an address
of its own, and has what processor time the honest one leaves: what is measured is how the node shares
itself out. `python -m bench.hostile KIND ADDRESS` is the attack.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from statistics import median
from typing import Final

import msgspec
import uvloop

from bench.processes import Process
from bench.values import CHUNK, CORES, Once, many, node, one_batch, tell
from repram import Client
from repram.crypto.sealing import id_of
from repram.crypto.spaces import Space
from repram.errors import RepramError, SessionClosed, StreamReset
from repram.ids import ItemId, NodeAddress
from repram.proto.endpoint import Endpoint, Session
from repram.proto.messages import STORAGE, Has, Put
from repram.proto.rpc import Caller

AT_ONCE: Final = 256  # of the hostile client's calls: as many as a session may have
HONEST: Final = 1  # of the honest one's
FROM: Final = "127.0.0.2"

Attack = Callable[[Session], Awaitable[object]]


def _framed(message: bytes, *, version: int = 1, length: int | None = None) -> bytes:
    size = len(message) if length is None else length
    return bytes([version]) + size.to_bytes(3, "big") + bytes(4) + message


def _leased(item: ItemId, size: int, session: Session) -> Put:
    return one_batch([item], session, size)[0]


async def malformed(session: Session) -> None:
    """Oversized, truncated, of an unknown version, of an unknown verb, and no message at all."""
    for data in (
        _framed(b"", length=0xFFFFFF),
        _framed(b"\x91\x01", length=100),
        _framed(b"\x91\x01", version=9),
        _framed(msgspec.msgpack.encode((200, b"what"))),
        _framed(secrets.token_bytes(200)),
    ):
        stream = await session.open_stream()
        with suppress(StreamReset):
            stream.write(data)
            stream.send_eof()
            await stream.read()
        stream.reset()


async def forged(session: Session) -> None:
    """Leases that nobody has signed."""
    put = _leased(id_of(b"forged"), 6, session)
    lease = msgspec.structs.replace(put.lease, signature=secrets.token_bytes(64))
    with suppress(RepramError):
        await Caller(session, STORAGE).call(
            msgspec.structs.replace(put, lease=lease), body=b"forged"
        )


async def flood(session: Session) -> None:
    """As many calls as there may be."""
    with suppress(RepramError):
        await Caller(session, STORAGE).ask(Has((bytes(32),)))


async def lie(session: Session) -> None:
    """Bodies that are not what was announced, as large as they may be."""
    put = _leased(ItemId(secrets.token_bytes(32)), CHUNK, session)
    with suppress(RepramError):
        await Caller(session, STORAGE).call(put, body=b"\x01" * CHUNK)


async def stall(session: Session) -> None:
    """Half a body, and then nothing."""
    stream = await session.open_stream()
    put = _leased(ItemId(secrets.token_bytes(32)), CHUNK, session)
    with suppress(StreamReset):
        stream.write(STORAGE.request(put) + bytes(CHUNK // 2))
        await stream.read()
    stream.reset()


ATTACKS: Final[dict[str, tuple[Attack, int]]] = {
    "malformed": (malformed, 64),
    "forged": (forged, 64),
    "flood": (flood, AT_ONCE),
    "stall": (stall, AT_ONCE),
    "lie": (lie, 4),
}


async def attack(kind: str, address: str) -> None:
    """Until it is ended; a session that the node ends is followed by another."""
    at, (once, at_once) = NodeAddress.parse(address), ATTACKS[kind]
    while True:
        async with await Endpoint.open((FROM, 0)) as endpoint:
            session = await endpoint.connect((at.at.host, at.at.port), at.key)
            with suppress(SessionClosed):
                await asyncio.gather(*(_again(once, session) for _ in range(at_once)))


async def _again(once: Attack, session: Session) -> None:
    while not session.closed:
        await once(session)


@contextmanager
def attacked(kind: str, address: str) -> Iterator[Process]:
    """The hostile client is at work."""
    command = ["chrt", "--idle", "0", sys.executable, "-m", "bench.hostile", kind, address]
    with Process(command) as attacking:
        yield attacking
        if attacking.ended():
            raise attacking.failure("the attack is over")


async def honestly(address: str, seconds: float) -> dict[str, float]:
    """How long a client waits for its values."""
    async with Client(address) as client:
        values, data = client.kv(Space.new()), secrets.token_bytes(1024)
        verbs: dict[str, Once] = {
            "put": lambda n: values.put(f"key {n % 64}", data, ttl="10m"),
            "get": lambda n: values.get(f"key {n % 64}"),
        }
        for n in range(64):
            await verbs["put"](n)
        waited: dict[str, float] = {}
        for verb, once in verbs.items():
            told = await many(once, seconds, HONEST)
            waited |= {f"{verb}_{name}": told[name] for name in ("p50_us", "p99_us")}
        return waited


async def beside(seconds: float, rounds: int) -> None:
    """The honest client beside each attack, and right before it alone: how many times as long it waits."""
    times: dict[str, list[dict[str, float]]] = {kind: [] for kind in ATTACKS}
    for number in range(rounds):
        for kind in ATTACKS:
            with node(limits=True) as (_, address):
                alone = await honestly(address, seconds)
                with attacked(kind, address) as attacking:
                    await asyncio.sleep(1.5)
                    waited = await honestly(address, seconds)
                    spent = attacking.cpu_s()
            times[kind].append({name: round(waited[name] / alone[name], 2) for name in waited})
            for beside, measured in ((None, alone), (kind, waited)):
                tell("hostile", round=number, beside=beside or f"nobody, before {kind}", **measured)
            tell(
                "hostile",
                round=number,
                beside=kind,
                times=times[kind][-1],
                cpu_s_attack=round(spent, 1),
            )
    for kind, all_times in times.items():
        medians = {name: median(each[name] for each in all_times) for name in all_times[0]}
        tell("hostile", beside=kind, rounds=rounds, median_times=medians)


def main() -> None:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench.hostile", description=__doc__)
    parser.add_argument("kind", nargs="?", choices=ATTACKS)
    parser.add_argument("address", nargs="?")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    os.sched_setaffinity(0, {CORES[0]})
    uvloop.run(attack(args.kind, args.address) if args.kind else beside(args.seconds, args.rounds))


if __name__ == "__main__":
    main()
