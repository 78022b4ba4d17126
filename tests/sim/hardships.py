"""The named paths that every transfer has to survive, whatever its size."""

from __future__ import annotations

from dataclasses import replace

from repram.proto.primitives import Suite
from tests.sim.exchange import Request
from tests.sim.link import Burst, LinkSettings
from tests.sim.plan import MS, SECOND, ClientPlan, Plan

PLAIN = LinkSettings(delay=10 * MS, rate=6_000_000, queue=300_000)
EVERYTHING = replace(
    PLAIN,
    loss=0.05,
    reorder=0.3,
    reorder_delay=15 * MS,
    duplicate=0.1,
    corrupt=0.01,
    jitter=5 * MS,
)

PATHS: dict[str, LinkSettings] = {
    "no loss": PLAIN,
    "1 % loss": replace(PLAIN, loss=0.01),
    "5 % loss": replace(PLAIN, loss=0.05),
    "20 % loss": replace(PLAIN, loss=0.2),
    "bursts of loss": replace(PLAIN, burst=Burst(enter=0.002, length=1 * MS)),
    "30 % reordering": replace(PLAIN, reorder=0.3, reorder_delay=15 * MS),
    "10 % duplication": replace(PLAIN, duplicate=0.1),
    "1 % corruption": replace(PLAIN, corrupt=0.01),
    "300 ms RTT": replace(PLAIN, delay=150 * MS),
    "everything": EVERYTHING,
    "everything at 300 ms RTT": replace(EVERYTHING, delay=150 * MS),
    "a narrow queue": replace(PLAIN, rate=600_000, queue=30_000),
    "a blackout of 5 s": replace(PLAIN, blackouts=((300 * MS, 5300 * MS),)),
    "a small MTU": replace(PLAIN, mtu=1300),
    "an MTU that falls": replace(PLAIN, mtu_changes=((300 * MS, 1280), (600 * MS, 1230))),
    "a new address every 2 s": replace(PLAIN, rate=600_000),
    "wrap and new keys at 10 % loss": replace(PLAIN, loss=0.1),
    "the other suite": replace(PLAIN, loss=0.01),
}


def both_ways(name: str, size: int, seed: str = "both ways") -> Plan:
    """A transfer of so many bytes in each direction at once, over the path of that name."""
    path = PATHS[name]
    client = ClientPlan(path, path, (Request(1, size, size),), code=0x1000)
    plan = Plan(seed, [client], limit=24 * 3600 * SECOND)
    if name == "a new address every 2 s":
        plan.rebind_every = 2 * SECOND
    if name == "wrap and new keys at 10 % loss":
        plan.settings |= {"first_packet_number": 2**32 - 1000, "rekey_packets": 500}
    if name == "the other suite":
        plan.settings["suites"] = (Suite.XCHACHA20, Suite.AEGIS256)
    return plan
