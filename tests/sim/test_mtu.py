"""Paths that carry less than was thought: how much is found out, and what happens when it falls."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from tests.sim.exchange import Request
from tests.sim.link import LinkSettings
from tests.sim.plan import MS, SECOND, ClientPlan, Plan
from tests.sim.scenario import Scenario

MIB = 1024 * 1024
STEP = 16  # what is found is less than this below the truth
PATIENCE = 3 * SECOND


def drawn_path(random: Random) -> LinkSettings:
    """A path of at most 300 ms there and back, its queue included."""
    delay, rate = int(10 ** random.uniform(2, 5)), int(10 ** random.uniform(5.3, 6.5))
    queue = max(20_000, rate * min(50 * MS, 2 * delay) // SECOND)
    loss = random.choice((0.0, 0.0, 0.005))
    return LinkSettings(delay=delay, rate=rate, queue=queue, loss=loss)


def plan_of(seed: str, there: LinkSettings, back: LinkSettings, request: Request) -> Plan:
    client = ClientPlan(there, back, (request,), code=0x1000)
    plan = Plan(seed, [client])
    plan.settings["controller"] = Random(f"{seed}/controller").choice(("cubic", "bbr"))
    return plan


class Largest(Scenario):
    """Remembers how large the packets of both sides were at last."""

    def _judge(self) -> None:
        super()._judge()
        arrived = self.world.checker.largest_arrived
        self.found = [arrived(host.index) for host in (self.server.host, self.clients[0].host)]


@pytest.mark.parametrize("seed", range(8))
def test_each_direction_finds_what_it_carries(seed: int) -> None:
    random = Random(f"found {seed}")
    path = replace(drawn_path(random), loss=0.0)
    there, back = (replace(path, mtu=random.randint(1200, 1500)) for _ in range(2))
    scenario = Largest(plan_of(f"found {seed}", there, back, Request(1, 3 * MIB, 3 * MIB)))
    result = scenario.run()
    assert result.ok, f"{result.why}\n{result.plan}"
    for size, link in zip(scenario.found, (there, back), strict=True):
        assert min(link.mtu, 1472) - STEP < size <= min(link.mtu, 1472)
    assert not result.counters["black_holes"]


class Pauses(Scenario):
    """Measures how long the reader of a transfer waited at most for something new."""

    longest = 0

    def watch(self) -> None:
        """Look again every few milliseconds from now on."""
        self._since, self._read = 0, -1
        self._look()

    def _look(self) -> None:
        now, read = self.world.now, self._bytes_read()
        if read > self._read:
            self._since, self._read = now, read
        self.longest = max(self.longest, now - self._since)
        if not self._all_done():
            self.world.at(now + 5 * MS, self._look, self.server.host)

    def _bytes_read(self) -> int:
        sides = (self.server, self.clients[0])
        exchanges = (each for app in sides for each in app.exchanges.values() if each.request)
        return sum(each.hears.taken for each in exchanges)


@pytest.mark.parametrize("seed", range(12))
def test_a_transfer_goes_on_within_three_seconds_of_a_fall(seed: int) -> None:
    random = Random(f"fall {seed}")
    path = drawn_path(random)
    times = sorted(random.randint(300 * MS, 4 * SECOND) for _ in range(random.randint(1, 2)))
    sizes = sorted((random.randint(1200, 1400) for _ in times), reverse=True)
    falls = replace(path, mtu=1500, mtu_changes=tuple(zip(times, sizes, strict=True)))
    amount = path.rate * 6
    up, down = random.choice(((amount, 0), (0, amount)))
    scenario = Pauses(plan_of(f"fall {seed}", falls, falls, Request(1, up, down)))
    scenario.world.at(0, scenario.watch, scenario.server.host)
    result = scenario.run()
    assert result.ok, f"{result.why}\n{result.plan}"
    assert result.counters["black_holes"] >= 1
    assert scenario.longest < PATIENCE


def test_a_jumbo_path_is_filled() -> None:
    path = LinkSettings(delay=MS, rate=100_000_000, queue=4 * MIB)
    plan = plan_of("jumbo", path, path, Request(1, 16 * MIB, 16 * MIB))
    plan.settings["mtu"] = 65_507
    scenario = Largest(plan)
    result = scenario.run()
    assert result.ok, f"{result.why}\n{result.plan}"
    assert scenario.found == [65_507, 65_507]
    assert result.counters["mtu_probes"] == 2
