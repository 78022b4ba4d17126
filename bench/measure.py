"""Transfers: one or several at once, and rounds of them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from bench import certificate
from bench.links import ADDRESSES, LOOPBACK, Link
from bench.peers import PORT, Amount, Flow, Peer
from bench.processes import Failed, Process
from bench.results import Results

MEMORY: Final = Path("/dev/shm")
WARM_UP: Final = Amount(seconds=1.0)

Group: TypeAlias = tuple[Peer, ...]  # that move bytes at the same time


@dataclass(frozen=True, slots=True)
class _Serving:
    """A peer whose server can be reached."""

    peer: Peer
    host: str
    port: int
    greeting: str
    process: Process


@contextmanager
def workshop() -> Iterator[Path]:
    """A folder in memory with a certificate in it, for as long as a run lasts."""
    where = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="repram-bench-", dir=where) as name:
        certificate.make(Path(name), [LOOPBACK, *ADDRESSES.values()])
        yield Path(name)


def transfer(link: Link, peers: Sequence[Peer], amount: Amount, folder: Path) -> list[Flow]:
    """What each of these peers moves when all of them start at the same time."""
    controls = {peer.tcp_congestion for peer in peers} - {None}
    link.use_congestion_control(controls.pop() if controls else None)
    with ExitStack() as stack:
        servers = [
            stack.enter_context(_server(link, peer, PORT + number, folder))
            for number, peer in enumerate(peers)
        ]
        before = [server.process.cpu_s() for server in servers]
        clients = [stack.enter_context(_client(link, each, amount, folder)) for each in servers]
        return [
            _flow(server, cpu, client, amount)
            for server, cpu, client in zip(servers, before, clients, strict=True)
        ]


@contextmanager
def _server(link: Link, peer: Peer, port: int, folder: Path) -> Iterator[_Serving]:
    host = link.address(peer.serves)
    with Process(link.command(peer.serves, peer.server(host, port, folder))) as process:
        greeting = peer.wait_until_ready(process, folder)
        yield _Serving(peer, host, port, greeting, process)


def _client(link: Link, server: _Serving, amount: Amount, folder: Path) -> Process:
    peer = server.peer
    command = peer.client(server.host, server.port, server.greeting, amount, folder)
    return Process(link.command("b" if peer.serves == "a" else "a", command))


def _flow(server: _Serving, cpu_before: float, client: Process, amount: Amount) -> Flow:
    output, whole_life = client.finish(amount.patience)
    server_cpu = server.process.cpu_s() - cpu_before
    try:
        told = server.peer.told(output)
    except (LookupError, ValueError):
        raise client.failure("the client did not tell") from None
    if not told.bytes:
        raise client.failure("nothing arrived")
    client_cpu = whole_life if told.cpu_s is None else told.cpu_s
    costs = (client_cpu, server_cpu) if server.peer.serves == "b" else (server_cpu, client_cpu)
    return Flow(told.bytes, told.seconds, *costs)


def rounds(
    results: Results,
    link: Link,
    groups: Sequence[Group],
    *,
    amount: Amount,
    count: int,
    folder: Path,
) -> None:
    """Every group once, then every group again, and so on.

    Where memory is the limit rather than the line, a first round warms up and is not told.
    """
    first = 1 if link.profile.kind == "emulated" else 0
    for number in range(first, count + 1):
        for group in groups:
            link.counters()
            names = [peer.name for peer in group]
            try:
                flows = transfer(link, group, amount if number else WARM_UP, folder)
            except Failed as failed:
                flows = []
                results.add(link=link.profile.name, round=number, peers=names, error=str(failed))
            if number:
                _tell(results, link, number, names, flows)


def _tell(
    results: Results, link: Link, number: int, names: Sequence[str], flows: Sequence[Flow]
) -> None:
    seen = link.counters()
    together = sum(flow.goodput_mb_s for flow in flows)
    for at, flow in enumerate(flows):
        results.add(
            link=link.profile.name,
            round=number,
            peer=names[at],
            beside=[*names[:at], *names[at + 1 :]],
            goodput_mb_s=round(flow.goodput_mb_s, 3),
            share=round(flow.goodput_mb_s / together, 4),
            bytes=flow.bytes,
            seconds=round(flow.seconds, 3),
            cpu_s_sender=round(flow.cpu_s_sender, 4),
            cpu_s_receiver=round(flow.cpu_s_receiver, 4),
            cpu_s_gib=round(flow.cpu_s_gib, 3),
            seen_by_link=seen,
        )
