"""Whole transfers between two cores, over paths that do their worst."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.sim.exchange import Request
from tests.sim.link import Burst, LinkSettings
from tests.sim.plan import MS, SECOND, ClientPlan, Plan
from tests.sim.scenario import Result, run, run_seed

MIB = 1024 * 1024
PLAIN = LinkSettings(delay=10 * MS, rate=20_000_000, queue=1_000_000)
REORDERING = replace(PLAIN, reorder=0.3, reorder_delay=15 * MS)
DUPLICATING = replace(PLAIN, duplicate=0.1)
CORRUPTING = replace(PLAIN, corrupt=0.01)
EVERYTHING = replace(REORDERING, loss=0.05, duplicate=0.1, corrupt=0.01, jitter=5 * MS)


def transfer(
    link: LinkSettings, request: Request, name: str = "transfer", **plan: object
) -> Result:
    """Move one request's bytes over a path that is `link` both ways; all must be right."""
    client = ClientPlan(there=link, back=link, requests=(request,), code=0x1000)
    everything = Plan(seed=name, clients=[client], limit=7200 * SECOND)
    result = run(replace(everything, **plan))  # type: ignore[arg-type]
    assert result.ok, f"{result.why}\n{result.plan}"
    return result


@pytest.mark.parametrize("loss", [0, 0.01, 0.05, 0.2])
@pytest.mark.parametrize(("up", "down"), [(10 * MIB, 0), (0, 10 * MIB), (10 * MIB, 10 * MIB)])
def test_ten_mebibytes_arrive_despite_loss(loss: float, up: int, down: int) -> None:
    result = transfer(replace(PLAIN, loss=loss), Request(1, up, down))
    assert bool(result.counters["link_lost"]) == bool(loss)
    assert bool(result.counters["retransmitted_frames"]) >= bool(loss)


def test_ten_mebibytes_arrive_despite_reordering() -> None:
    assert transfer(REORDERING, Request(1, 10 * MIB, 0)).counters["reordered"] > 100


def test_ten_mebibytes_arrive_despite_duplication() -> None:
    counters = transfer(DUPLICATING, Request(1, 10 * MIB, 0)).counters
    assert counters["dropped_replay"] > 100


def test_ten_mebibytes_arrive_despite_corruption() -> None:
    counters = transfer(CORRUPTING, Request(1, 10 * MIB, 0)).counters
    assert counters["link_corrupted"] > 50
    assert counters["dropped_crc"] == counters["link_corrupted"]
    assert not counters["dropped_auth"]


def test_ten_mebibytes_arrive_despite_bursts_of_loss() -> None:
    transfer(replace(PLAIN, burst=Burst(0.002, 1 * MS)), Request(1, 10 * MIB, 0))


def test_ten_mebibytes_arrive_despite_everything_at_once() -> None:
    transfer(EVERYTHING, Request(1, 10 * MIB, 10 * MIB))


def test_ten_mebibytes_pass_a_narrow_queue() -> None:
    narrow = replace(PLAIN, rate=2_000_000, queue=30_000)
    assert transfer(narrow, Request(1, 10 * MIB, 0)).counters["link_overflowed"]


def test_a_blackout_is_survived() -> None:
    dark = replace(PLAIN, blackouts=((200 * MS, 2200 * MS),))
    assert transfer(dark, Request(1, 8 * MIB, 0)).counters["link_blacked_out"]


def test_a_meddler_without_keys_changes_nothing() -> None:
    counters = transfer(EVERYTHING, Request(1, 2 * MIB, 2 * MIB), meddle_every=2 * MS).counters
    assert counters["dropped_replay"] > 100
    assert counters["dropped_auth"] > 50
    assert not counters["protocol_errors"]


def test_packet_numbers_wrap() -> None:
    lossy = replace(PLAIN, loss=0.05)
    transfer(lossy, Request(1, 4 * MIB, MIB), settings={"first_packet_number": 2**32 - 1000})


def test_every_handshake_succeeds_at_heavy_loss() -> None:
    link = replace(PLAIN, loss=0.3)
    for number in range(50):
        plan = Plan(f"handshake {number}", [ClientPlan(link, link, code=0x1000)])
        result = run(plan)
        assert result.ok, f"handshake {number}: {result.why}"


@pytest.mark.parametrize("request_", [Request(1, MIB, MIB), Request(2, 100, 100, True, 200)])
def test_the_same_seed_gives_the_same_trace(request_: Request) -> None:
    traces = {transfer(EVERYTHING, request_, name).trace for name in ("one", "one", "other")}
    assert len(traces) == 2


@pytest.mark.parametrize("seed", range(1, 21))
def test_random_scenarios_pass_and_repeat(seed: int) -> None:
    first, second = run_seed(seed), run_seed(seed)
    assert first.ok, f"seed {seed}: {first.why}\n{first.plan}"
    assert first.trace == second.trace
