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

DARK_AND_LIGHT: Final = "5 s dark, 2 s light"
DARK, LIGHT = 5 * SECOND, 2 * SECOND
FIRST_MOVE, MOVES_EVERY = 1 * SECOND, 5 * SECOND
SLOW: Final = replace(PLAIN, rate=600_000)  # so that a transfer sees many addresses

ROWS: Final[dict[str, LinkSettings]] = {
    "30 % loss, three in a row": replace(PLAIN, rows=Rows(0.3, 3)),
    "30 % corruption": replace(PLAIN, corrupt=0.3),
    "every datagram twice": replace(PLAIN, duplicate=1.0),
    "750 ms one way": replace(PLAIN, delay=750 * MS),
    DARK_AND_LIGHT: PLAIN,
    "another port at 1 s, then every 5 s": SLOW,
    "another address at 1 s, then every 5 s": SLOW,
}


def connection(row: str, number: int, size: int) -> Plan:
    """One connection over that path; its number says how it calls, and in which direction it carries."""
    path = path_of(row, number)
    request = Request(1, size, 0) if goes_up(number) else Request(1, 0, size)
    client = ClientPlan(path, path, (request,), code=0x1000, pattern=pattern_of(number))
    plan = Plan(f"{row}, connection {number}", [client])
    if moves(row):
        plan.rebind_first, plan.rebind_every = FIRST_MOVE, MOVES_EVERY
        plan.rebinds_address = moves(row) == "address"
        plan.settings["keep_alive"] = 1.0  # who only listens is found when it says something
    if number % 3 == 0:
        plan.settings["cookie_after"] = 0
    return plan


def moves(row: str) -> str:
    """What of the caller's address changes under way: nothing, its `port`, or its `address`."""
    return row.split()[1] if row.startswith("another") else ""


def pattern_of(number: int) -> Pattern:
    """The handshake of the connection with that number."""
    return list(Pattern)[number % len(Pattern)]


def goes_up(number: int) -> bool:
    """Whether it carries its bytes to the node rather than from it."""
    return number // len(Pattern) % 2 == 1


def path_of(row: str, number: int) -> LinkSettings:
    """Its path; dark and light begin at another time for each."""
    if row != DARK_AND_LIGHT:
        return ROWS[row]
    since = -Random(f"dark {number}").randrange(DARK + LIGHT)
    starts = range(since, 3600 * SECOND, DARK + LIGHT)
    return replace(PLAIN, blackouts=tuple((start, start + DARK) for start in starts))
