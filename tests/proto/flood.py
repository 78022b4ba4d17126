"""A node under a flood of callers from forged sources, and what an honest one gets meanwhile.

    python -m tests.proto.flood --seconds 30

as root: it sends only inside namespaces of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from repram.ids import NodeAddress
from repram.proto.endpoint import Endpoint
from tests.namespaces import Host, Network, network, why_not
from tests.processes import ENVIRONMENT, REPRAM, resident
from tests.proto.by_hand import ByHand

SOURCE = Path(__file__).with_suffix(".c")
RATE = 100_000
PORT, CLOSED_PORT = 7433, 7999
WHOLE, BROKEN = 200, 2_000  # INITs that hold a session half open, and that only cost work


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was seen; transfers in bytes a second."""

    sent: int
    grown: int  # bytes of resident memory
    handshake: float  # the slowest honest one, seconds
    beside_closed: float  # a transfer's rate while the flood goes to a closed port
    beside_open: float  # and to its own
    amplified: float  # bytes out for one that came in, of callers without a session


def compile_flood(folder: Path) -> Path:
    """The program that sends."""
    program = folder / "flood"
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", SOURCE, "-o", program], check=True)
    return program


def inits(node: bytes) -> bytes:
    """Callers that the node must do something about: their mac1 is right."""
    all_of_them = [
        ByHand(node, session=1 + number, ephemeral=secrets.token_bytes(32)).init()
        for number in range(WHOLE)
    ]
    caller = ByHand(node)
    start = caller.init()
    for _ in range(BROKEN):
        noise = secrets.token_bytes(120)
        all_of_them.append(caller.with_mac1(start[:40] + noise + start[160:]))
    return b"".join(all_of_them)


class Flooded:
    """A node in one namespace, a flood and an honest client in another."""

    def __init__(self, net: Network, folder: Path) -> None:
        self._net = net
        self._program = compile_flood(folder)
        self._payloads = folder / "inits"
        net.router.ip("route", "add", "blackhole", "198.18.0.0/15")

    @contextmanager
    def node(self) -> Iterator[tuple[NodeAddress, int]]:
        """`repram bench serve`: its address and its process."""
        where = self._net.address("server", 4)
        command = [
            *_inside(self._net.server),
            *REPRAM,
            "bench",
            "serve",
            "--listen",
            f"{where}:{PORT}",
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT) as process:
            try:
                assert process.stdout
                address = NodeAddress.parse(process.stdout.readline().decode())
                self._payloads.write_bytes(inits(address.key))
                yield address, process.pid
            finally:
                process.terminate()

    @contextmanager
    def flood(
        self, port: int, seconds: float, rate: int = RATE
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Under way; it ends by itself."""
        where, size = self._net.address("server", 4), self._payloads.stat().st_size
        words = map(str, (where, port, rate, seconds, self._payloads, size // (WHOLE + BROKEN)))
        command = [*_inside(self._net.client), str(self._program), *words]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            yield process

    def transfer(self, address: NodeAddress, seconds: float) -> float:
        """How fast an honest client downloads, bytes a second."""
        options = ["--seconds", str(max(1, round(seconds))), "--direction", "down", "--json"]
        done = subprocess.run(
            [*_inside(self._net.client), *REPRAM, "bench", "run", str(address), *options],
            capture_output=True,
            env=ENVIRONMENT,
            check=True,
            timeout=seconds + 60,
        )
        return float(json.loads(done.stdout.splitlines()[-1])["goodput_mb_s"]) * 1e6

    def handshake(self, address: NodeAddress) -> float:
        """How long an honest one takes, seconds."""

        async def call() -> float:
            with self._net.client.entered():
                opened = await Endpoint.open((self._net.address("client", 4), 0))
            async with opened as endpoint:
                start = time.perf_counter()
                await endpoint.connect((address.at.host, address.at.port), address.key)
                return time.perf_counter() - start

        return asyncio.run(call())

    def traffic(self) -> tuple[int, int]:
        """Bytes that the node's host has received and sent."""
        script = "cat /sys/class/net/router/statistics/rx_bytes /sys/class/net/router/statistics/tx_bytes"
        words = ["ip", "netns", "exec", self._net.server.name, "sh", "-c", script]
        said = subprocess.run(words, capture_output=True, check=True).stdout.split()
        return int(said[0]), int(said[1])


def _inside(host: Host) -> list[str]:
    return ["nsenter", f"--net=/run/netns/{host.name}"]


def attack(seconds: float) -> Outcome:
    """All of it: callers alone, and beside a transfer."""
    with network() as net, tempfile.TemporaryDirectory() as folder:
        flooded = Flooded(net, Path(folder))
        with flooded.node() as (address, process):
            flooded.transfer(address, 1)  # everything has been touched once
            before, (came, went) = resident(process), flooded.traffic()
            took = []
            with flooded.flood(PORT, seconds) as flood:
                while flood.poll() is None:
                    took.append(flooded.handshake(address))
                assert flood.stdout
                sent = int(flood.stdout.read())
            grown = resident(process) - before
            came, went = (
                now - then for now, then in zip(flooded.traffic(), (came, went), strict=True)
            )
            with flooded.flood(CLOSED_PORT, seconds):
                beside_closed = flooded.transfer(address, seconds / 2)
            with flooded.flood(PORT, seconds):
                beside_open = flooded.transfer(address, seconds / 2)
    return Outcome(sent, grown, max(took), beside_closed, beside_open, went / came)


def main() -> int:
    """Measures, prints, and says by its exit code whether the promise holds."""
    parser = argparse.ArgumentParser(prog="python -m tests.proto.flood", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    if why := why_not():
        print(f"NOT RUN: {why}")
        return 0
    seconds = parser.parse_args().seconds
    seen = attack(seconds)
    print(f"callers from forged sources: {seen.sent / seconds:,.0f} a second for {seconds:g} s")
    print(f"resident memory grew by {seen.grown / 2**20:.1f} MiB")
    print(f"the slowest honest handshake took {seen.handshake * 1000:.0f} ms")
    print(f"sent {seen.amplified:.3f} bytes for one that came")
    print(
        f"a transfer beside the flood {seen.beside_open / 1e6:.0f} MB/s, "
        f"{seen.beside_open / seen.beside_closed:.2f} of that beside one to a closed port"
    )
    return 0 if holds(seen) else 1


def holds(seen: Outcome) -> bool:
    """What was promised."""
    return (
        seen.grown < 16 << 20
        and seen.handshake < 2
        and seen.amplified < 3
        and seen.beside_open >= seen.beside_closed / 2
    )


if __name__ == "__main__":
    sys.exit(main())
