"""Whole transfers between two cores, over paths that do their worst."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.sim.exchange import Request
from tests.sim.hardships import EVERYTHING, PATHS, PLAIN, both_ways
from tests.sim.link import LinkSettings
from tests.sim.plan import MS, ClientPlan, Plan
from tests.sim.scenario import Result, run, run_seed

MIB = 1024 * 1024


def succeeds(plan: Plan) -> Result:
    result = run(plan)
    assert result.ok, f"{result.why}\n{result.plan}"
    return result


def transfer(link: LinkSettings, request: Request, seed: str = "transfer") -> Result:
    """Move one request's bytes over a path that is `link` both ways; all must be right."""
    return succeeds(Plan(seed, [ClientPlan(link, link, (request,), code=0x1000)]))


@pytest.mark.parametrize("name", PATHS)
def test_three_mebibytes_arrive_each_way_despite(name: str) -> None:
    succeeds(both_ways(name, 3 * MIB))


@pytest.mark.parametrize("loss", [0, 0.01, 0.05, 0.2])
@pytest.mark.parametrize(("up", "down"), [(3 * MIB, 0), (0, 3 * MIB)])
def test_three_mebibytes_arrive_one_way_despite_loss(loss: float, up: int, down: int) -> None:
    counters = transfer(replace(PLAIN, loss=loss), Request(1, up, down)).counters
    assert bool(counters["link_lost"]) == bool(loss)
    assert bool(counters["retransmitted_frames"]) >= bool(loss)


def test_reordering_is_seen_and_reductions_for_it_are_undone() -> None:
    counters = transfer(replace(EVERYTHING, loss=0, corrupt=0), Request(1, 4 * MIB, 0)).counters
    assert counters["reordered"] > 100
    assert counters["spurious"]


def test_duplicates_are_dropped_and_counted() -> None:
    counters = transfer(replace(PLAIN, duplicate=0.1), Request(1, 4 * MIB, 0)).counters
    assert counters["dropped_replay"] > 100


def test_every_corrupted_datagram_is_dropped_and_counted() -> None:
    counters = transfer(replace(PLAIN, corrupt=0.02), Request(1, 4 * MIB, 0)).counters
    assert counters["link_corrupted"] > 50
    assert counters["dropped_crc"] == counters["link_corrupted"]
    assert not counters["dropped_auth"]


def test_a_window_that_is_used_up_at_once_grows() -> None:
    far_and_fast = replace(PLAIN, delay=150 * MS, rate=20_000_000, queue=3_000_000)
    transfer(far_and_fast, Request(1, 12 * MIB, 0))  # the witness knows when it has to


def test_packet_numbers_wrap_and_keys_change() -> None:
    counters = succeeds(both_ways("wrap and new keys at 10 % loss", 4 * MIB)).counters
    assert counters["world_wrapped"] == 2
    assert counters["key_updates"] > 4


def test_a_session_follows_an_address_that_keeps_changing() -> None:
    counters = succeeds(both_ways("a new address every 2 s", 4 * MIB)).counters
    assert counters["migrations"] == counters["world_rebound"] > 1


def test_a_meddler_without_keys_changes_nothing() -> None:
    plan = both_ways("everything", 2 * MIB)
    plan.meddle_every = 2 * MS
    counters = succeeds(plan).counters
    assert counters["dropped_replay"] > 100
    assert counters["dropped_auth"] > 50
    assert not counters["protocol_errors"]


def test_every_handshake_succeeds_at_heavy_loss() -> None:
    link = replace(PLAIN, loss=0.3)
    for number in range(50):
        result = run(Plan(f"handshake {number}", [ClientPlan(link, link, code=0x1000)]))
        assert result.ok, f"handshake {number}: {result.why}"


@pytest.mark.parametrize("wanted", [Request(1, MIB, MIB), Request(2, 100, 100, True, 200)])
def test_the_same_seed_gives_the_same_trace(wanted: Request) -> None:
    traces = {transfer(EVERYTHING, wanted, seed).trace for seed in ("one", "one", "other")}
    assert len(traces) == 2


@pytest.mark.parametrize("seed", range(1, 6))
def test_random_scenarios_pass_and_repeat(seed: int) -> None:
    first, second = run_seed(seed), run_seed(seed)
    assert first.ok, f"seed {seed}: {first.why}\n{first.plan}"
    assert first.trace == second.trace
