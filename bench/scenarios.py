"""What is measured: each scenario names its links and its peers, and how long and how often."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import files as handing
from bench import kernel, links, measure, peers
from bench.carriers import Carrier
from bench.peers import Amount
from bench.processes import Process
from bench.results import Results

OURS: Final = ("repram-bbr", "repram-cubic")
TCP: Final = ("iperf3-cubic", "iperf3-bbr")
TLS: Final = tuple(
    f"{each}-{control}"
    for each in ("tls-sock", "tls-uvloop", "nginx")
    for control in ("cubic", "bbr")
)
ALL: Final = (*OURS, "repram-xchacha20", *TLS, "aioquic", "iroh-fixed", *TCP)
# Where the line is the limit, one of Python's two ways with TLS stands for both.
FAR: Final = tuple(
    name for name in ALL if not name.startswith("tls-sock") and name != "repram-xchacha20"
)

LOSSES: Final = (0, 0.1, 1, 2, 5, 10)  # per cent each way
LONG_WAY: Final = "rtt=50:rate=200"
SHARED: Final = "rtt=40:rate=50"
DEEP: Final = "rtt=40:rate=50:queue=4"
FAIRNESS: Final = (
    *(("repram-bbr", "iperf3-cubic"), ("repram-cubic", "iperf3-cubic")),
    *(("repram-bbr", "repram-bbr"), ("iperf3-bbr", "iperf3-cubic")),
)
CALLS: Final[dict[str, tuple[str, ...]]] = {
    "repram, 64 at a time": (),
    "repram, one at a time": ("--concurrency", "1"),
    "bare TCP, one at a time": ("--tcp", "--concurrency", "1"),
}


@dataclass(frozen=True, slots=True)
class Choice:
    """What the command line asks for; a scenario fills in what it leaves open."""

    links: tuple[str, ...] | None = None
    peers: tuple[str, ...] | None = None
    carriers: tuple[str, ...] | None = None
    rounds: int | None = None
    seconds: float | None = None
    size: int = 0
    count: int | None = None


class Bench:
    """One run: where it writes, what was chosen, and the folder that its peers share."""

    def __init__(self, results: Results, choice: Choice, folder: Path) -> None:
        self.results = results
        self.choice = choice
        self.folder = folder

    def run(
        self,
        link: str,
        groups: Sequence[Sequence[str]],
        *,
        seconds: float,
        rounds: int,
        narrow: bool = False,
    ) -> None:
        """Rounds of these groups of peers on this link, unless something else was chosen."""
        chosen = self.choice
        amount = Amount(chosen.seconds or seconds, chosen.size)
        names = [(name,) for name in chosen.peers] if chosen.peers else groups
        found = list(self._found(names))
        with self.joined(link) as joined, kernel.stock_buffers() if narrow else nullcontext():
            if joined:
                measure.rounds(
                    self.results,
                    joined,
                    found,
                    amount=amount,
                    count=chosen.rounds or rounds,
                    folder=self.folder,
                )

    @contextmanager
    def joined(self, link: str) -> Iterator[links.Link | None]:
        """A link, or none where this machine cannot have it, which is told."""
        profile = links.parse_profile(link)
        if why := links.unavailable(profile):
            self.results.leave_out(f"{link} ({profile})", why)
            yield None
            return
        with links.up(profile) as joined:
            yield joined

    def carriers(self) -> Iterator[Carrier]:
        """Those chosen that this machine has; the others are told."""
        for name in self.choice.carriers or handing.CARRIERS:
            carrier = handing.CARRIERS[name]
            if why := carrier.missing():
                self.results.leave_out(name, why)
            else:
                yield carrier

    def _found(self, groups: Sequence[Sequence[str]]) -> Iterator[measure.Group]:
        for names in groups:
            group = tuple(peers.find(name) for name in names)
            missing = {peer.name: peer.missing() for peer in group}
            for name, why in missing.items():
                if why:
                    self.results.leave_out(name, why)
            if not any(missing.values()):
                yield group

    def printed(self, module: str, *options: str) -> None:
        """The line of JSON that a program of its own prints."""
        with Process([sys.executable, "-m", module, *options]) as process:
            output, _ = process.finish(60)
        self.results.add(**json.loads(output.splitlines()[-1]))


def alone(names: Sequence[str]) -> list[tuple[str]]:
    """Groups of one."""
    return [(name,) for name in names]


def transfer(bench: Bench) -> None:
    """Goodput and CPU of every peer on every link."""
    for link in bench.choice.links or links.PROFILES:
        if links.parse_profile(link).kind == "emulated":
            bench.run(link, alone(FAR), seconds=6, rounds=5)
        else:
            bench.run(link, alone(ALL), seconds=2, rounds=5)


def loss(bench: Bench) -> None:
    """Goodput by loss, on a long way."""
    for percent in LOSSES:
        link = f"{LONG_WAY}:loss={percent:g}"
        bench.run(link, alone([*OURS, *TCP]), seconds=4, rounds=3)


def bursts(bench: Bench) -> None:
    """The same loss otherwise: in bursts of four, and there alone."""
    for link in ("L4", "L5"):
        for how in ("", ":burst=4", ":back=0"):
            bench.run(f"{link}{how}", alone(OURS[:1]), seconds=6, rounds=5)


def fairness(bench: Bench) -> None:
    """Two flows on one line with a buffer of one BDP: who gets how much."""
    bench.run(SHARED, FAIRNESS, seconds=15, rounds=3)


def queue(bench: Bench) -> None:
    """How long a lone flow makes its own packets wait, in a buffer of four BDP."""
    bench.run(DEEP, alone([*OURS, *TCP]), seconds=8, rounds=3)


def buffers(bench: Bench) -> None:
    """Socket buffers as a machine has them that nobody tuned, beside large ones."""
    names = alone(["repram-bbr", "tls-uvloop-cubic", "iroh-fixed"])
    for kind in ("stock", "large"):
        with bench.results.under(buffers=kind):
            bench.run("L1", names, seconds=2, rounds=3, narrow=kind == "stock")


def files(bench: Bench) -> None:
    """Files by the programs that people hand them over with: one large, and many small."""
    chosen = bench.choice
    carriers = list(bench.carriers())
    for link in chosen.links or ("L0", "L1", *handing.FAR):
        usual = handing.FAR.get(link.partition(":")[0], handing.NEAR)
        count = usual.count if chosen.count is None else chosen.count
        amount = handing.Amount(chosen.size or usual.size, count)
        with bench.joined(link) as joined:
            if joined:
                handing.measure(
                    bench.results,
                    joined,
                    carriers,
                    amount,
                    rounds=chosen.rounds or 3,
                    folder=bench.folder,
                )


def rpc(bench: Bench) -> None:
    """Calls a second over loopback."""
    for number in range(1, (bench.choice.rounds or 3) + 1):
        for what, options in CALLS.items():
            with bench.results.under(calls=what, round=number):
                bench.printed("bench.rpc_echo", *options)


def imports(bench: Bench) -> None:
    """How long `import repram` takes."""
    bench.printed("bench.import_time")


SCENARIOS: Final[dict[str, Callable[[Bench], None]]] = {
    each.__name__: each
    for each in (transfer, loss, bursts, fairness, queue, buffers, files, rpc, imports)
}
