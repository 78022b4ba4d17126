"""The paths of the handshake matrix: over each, every connection must stand and carry what it is given."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Final

from repram.proto.primitives import Pattern
from tests.sim.exchange import Request
from tests.sim.hardships import PLAIN
from tests.sim.link import LinkSettings, Rows
from tests.sim.plan import MS, SECOND, ClientPlan, Plan

DARK, LIGHT = 5 * SECOND, 2 * SECOND
SLOW: Final = replace(PLAIN, rate=600_000)  # so that a transfer sees many addresses

ROWS: Final[dict[str, LinkSettings]] = {
    "30 % loss, three in a row": replace(PLAIN, rows=Rows(0.3, 3)),
    "30 % corruption": replace(PLAIN, corrupt=0.3),
    "every datagram twice": replace(PLAIN, duplicate=1.0),
    "750 ms one way": replace(PLAIN, delay=750 * MS),
    "5 s dark, 2 s light": PLAIN,
    "another port at 1 s, then every 5 s": SLOW,
    "another address at 1 s, then every 5 s": SLOW,
}


def connection(row: str, number: int, size: int) -> Plan:
    """One connection over that path; its number says how it calls, and in which direction it carries."""
    path = _phased(number) if row == "5 s dark, 2 s light" else ROWS[row]
    pattern = list(Pattern)[number % len(Pattern)]
    up = number // len(Pattern) % 2
    request = Request(1, up * size, (1 - up) * size)
    client = ClientPlan(path, path, (request,), code=0x1000, pattern=pattern)
    plan = Plan(f"{row}, connection {number}", [client])
    if "another" in row:
        plan.rebind_first, plan.rebind_every = 1 * SECOND, 5 * SECOND
        plan.rebinds_address = "address" in row
    if number % 3 == 0:
        plan.settings["cookie_after"] = 0
    return plan


def _phased(number: int) -> LinkSettings:
    """Dark and light by turns; when it turns dark first is another time for each."""
    since = -Random(f"dark {number}").randrange(DARK + LIGHT)
    starts = range(since, 3600 * SECOND, DARK + LIGHT)
    return replace(PLAIN, blackouts=tuple((start, start + DARK) for start in starts))
