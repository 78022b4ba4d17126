"""What the kernel refuses, at once or in the middle, costs speed and nothing else."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from repram.proto.connection import ETHERNET
from tests.conftest import Run
from tests.processes import ENVIRONMENT, REPRAM, Node
from tests.proto.live import node, until

SOURCE = Path(__file__).with_name("failing_kernel.c")
GOODBYES = 2  # what two cores still send when they are closed, after they were counted
TRANSFER = 256 << 20


@dataclass(frozen=True, slots=True)
class Kernel:
    """One that fails those who run on it, and what they have reported of it."""

    library: Path
    reports: Path

    def failing(self, *faults: str) -> dict[str, str]:
        """The environment of a process on it."""
        return {
            "LD_PRELOAD": str(self.library),
            "KERNEL_FAULTS": " ".join(faults),
            "KERNEL_REPORTS": str(self.reports),
        }

    def counts(self) -> Counter[str]:
        """Of all processes that have ended."""
        found: Counter[str] = Counter()
        for report in self.reports.iterdir():
            for line in report.read_text().splitlines():
                name, count = line.split()
                found[name] += int(count)
        return found


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("kernel") / "failing.so"
    flags = ("-std=c11", "-D_GNU_SOURCE", "-O1", "-Wall", "-Wextra", "-Wconversion", "-Werror")
    subprocess.run(["cc", *flags, "-shared", "-fPIC", SOURCE, "-ldl", "-o", made], check=True)
    return made


@pytest.fixture
def kernel(library: Path, tmp_path: Path) -> Kernel:
    return Kernel(library, tmp_path)


def carry(kernel: Kernel, loop: str, *faults: str) -> dict[str, int]:
    """What `carry.py` says of a transfer in packets of Ethernet's size, all of which has arrived."""
    command = [sys.executable, "-m", "tests.proto.carry", loop]
    environment = ENVIRONMENT | kernel.failing(*faults)
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, timeout=60, check=True)
    told: dict[str, int] = json.loads(done.stdout)
    assert told["whole"]
    assert all(kernel.counts()[fault] for fault in faults)
    return told


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize(
    "faults",
    [
        ("gso-eio",),
        ("gro-lost",),
        ("no-gro",),
        ("full",),
        ("cut-short",),
        ("no-sendmmsg", "no-recvmmsg"),
        ("gso-eio", "full", "cut-short"),
        ("no-sendmmsg", "full"),
        ("no-filter",),
    ],
    ids=" ".join,
)
def test_every_packet_reaches_the_kernel_whatever_it_refuses(
    kernel: Kernel, loop: str, faults: tuple[str, ...]
) -> None:
    told, counts = carry(kernel, loop, *faults), kernel.counts()
    assert 0 <= counts["datagrams"] - told["given_out"] <= GOODBYES
    assert told["mtu"] == ETHERNET
    assert bool(counts["segmented"]) == ("no-sendmmsg" not in faults)
    assert bool(counts["joined"]) == (not {"no-gro", "no-sendmmsg"} & set(faults))


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_segments_called_invalid_make_packets_smaller_and_then_single(
    kernel: Kernel, loop: str
) -> None:
    told = carry(kernel, loop, "gso-einval")
    assert 1452 <= told["mtu"] <= ETHERNET  # the size was not to blame, and is found again


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_network_that_is_away_for_a_while_does_not_end_segmentation(
    kernel: Kernel, loop: str
) -> None:
    carry(kernel, loop, "unreachable")
    assert kernel.counts()["single"] == 0


@pytest.mark.parametrize(
    "faults",
    [("gro-lost",), ("no-gro",), ("full",), ("cut-short",), ("no-sendmmsg", "no-recvmmsg")],
    ids=" ".join,
)
def test_two_processes_move_every_byte(kernel: Kernel, faults: tuple[str, ...]) -> None:
    environment = ENVIRONMENT | kernel.failing(*faults)
    command = [*REPRAM, "bench", "serve", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        try:
            serving = Node(process)
            run = [*REPRAM, "bench", "run", serving.address, "--bytes", f"{TRANSFER}B", "--json"]
            done = subprocess.run(
                run, env=environment, stdout=subprocess.PIPE, timeout=60, check=True
            )
            assert serving.stop()[0] == 0
        finally:
            process.kill()
    assert json.loads(done.stdout)["bytes"] == TRANSFER
    assert len(list(kernel.reports.iterdir())) == 2
    assert all(kernel.counts()[fault] for fault in faults)


def test_what_the_kernel_had_no_room_for_is_known(run: Run[None]) -> None:
    async def main() -> None:
        async with node() as endpoint:
            with socket.socket(fileno=os.dup(endpoint._socket)) as same:
                room = same.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
            noise = bytes(60_000)
            sent = 2 * room // len(noise)

            def came() -> int:
                return endpoint.core.counters()["datagrams_in"]

            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                for _ in range(sent):
                    stranger.sendto(noise, endpoint.address)
                while not endpoint.kernel_drops:  # told with the first that finds room again
                    stranger.sendto(noise, endpoint.address)
                    sent += 1
                    await asyncio.sleep(0)
                await until(lambda: came() + endpoint.kernel_drops == sent)

    run(main())
