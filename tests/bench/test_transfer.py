"""The links themselves, and one transfer over one of them, where this machine allows namespaces."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from bench import links, measure, peers
from bench.links import NAMESPACES, Link, parse_profile
from bench.peers import Amount
from bench.processes import run

COUNT = 500
SEND = f"""
import socket, sys
with socket.socket(type=socket.SOCK_DGRAM) as sender:
    for _ in range({COUNT}):
        sender.sendto(bytes(1000), (sys.argv[1], 9))
"""


@contextmanager
def up(text: str) -> Iterator[Link]:
    profile = parse_profile(text)
    if why := links.unavailable(profile):
        pytest.skip(f"no {text} here: {why}")
    with links.up(profile) as link:
        yield link


def seen_of_datagrams(text: str) -> dict[str, Any]:
    """What an emulator saw of so many datagrams of 1,042 bytes from A to B."""
    with up(text) as link:
        run(*link.command("a", [sys.executable, "-c", SEND, link.address("b")]))
        seen: Any = link.counters()
    assert seen["there"]["in"] == COUNT
    assert seen["there"]["failed"] == 0
    return dict(seen["there"])


def test_a_transfer_arrives_whole_and_is_paid_for_on_both_sides() -> None:
    with up("L3") as link, measure.workshop() as folder:
        (flow,) = measure.transfer(link, [peers.find("repram")], Amount(size=1 << 20), folder)
        seen: Any = link.counters()
    assert flow.bytes == 1 << 20
    assert flow.cpu_s_sender > 0
    assert flow.cpu_s_receiver > 0
    assert seen["there"]["bytes"] > 1 << 20
    assert seen["there"]["lost"] == 0


def test_tcp_goes_back_to_what_the_machine_uses() -> None:
    asked = ("cat", f"/proc/sys/{links.CONTROL}")
    with up("L1") as link:
        before = run(*link.command("a", asked))
        for control in ("reno", "cubic"):
            link.use_congestion_control(control)
            assert run(*link.command("b", asked)).strip() == control
        link.use_congestion_control(None)
        assert run(*link.command("a", asked)) == before == run(*link.command("b", asked))


def test_nothing_of_a_link_is_left() -> None:
    with up("L3") as link:
        assert all((NAMESPACES / name).exists() for name in link.namespaces.values())
    assert not any((NAMESPACES / name).exists() for name in link.namespaces.values())


def test_what_fails_on_a_link_leaves_nothing_of_it() -> None:
    with pytest.raises(KeyboardInterrupt), up("L1") as link:
        raise KeyboardInterrupt
    assert not any((NAMESPACES / name).exists() for name in link.namespaces.values())


def test_loss_is_one_way_where_it_is_said_so() -> None:
    assert seen_of_datagrams("rtt=1:rate=1000:loss=100:back=0")["lost"] == COUNT
    assert seen_of_datagrams("rtt=1:rate=1000:loss=0:back=100")["lost"] == 0


@pytest.mark.parametrize("burst", [1, 5])
def test_loss_is_about_as_much_as_was_asked_for(burst: int) -> None:
    lost = seen_of_datagrams(f"rtt=1:rate=1000:loss=20:burst={burst}")["lost"]
    assert COUNT // 10 < lost < COUNT * 3 // 10


def test_a_full_queue_drops_what_comes_last() -> None:
    bytes_a_round_trip = (
        1_000_000 * 0.04 / 8
    )  # 1 Mbit/s for 40 ms; what waits is dropped after that
    dropped = seen_of_datagrams("rtt=40:rate=1:queue=1")["dropped"]
    assert COUNT - 4 * bytes_a_round_trip / 1042 < dropped < COUNT


def test_a_long_queue_holds_all_and_tells_how_long_they_waited() -> None:
    seen = seen_of_datagrams("rtt=10:rate=100:queue=10")
    assert seen["dropped"] == 0
    assert seen["queue_p50_us"] <= seen["queue_p99_us"] <= 100_000
