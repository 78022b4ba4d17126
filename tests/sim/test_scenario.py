"""Scenarios are drawn and judged as they should be: a planted fault must fail them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from tests.sim.exchange import Request
from tests.sim.link import LinkSettings
from tests.sim.plan import SECOND, SUPPORTED, TRAITS, ClientPlan, Plan, draw
from tests.sim.scenario import run

DEAD = LinkSettings(loss=1.0)


class OtherBytes(Request):
    """Announces other bytes than it sends."""

    def pack(self) -> bytes:
        return replace(Request(self.number, self.up, self.down), number=self.number + 1).pack()


class TooMany(Request):
    """Announces fewer bytes than it sends."""

    def pack(self) -> bytes:
        return Request(self.number, self.up - 1, self.down).pack()


class TooFew(Request):
    """Announces more bytes than it sends."""

    def pack(self) -> bytes:
        return Request(self.number, self.up + 1, self.down).pack()


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (OtherBytes(1, 5000, 0), "wrong byte at"),
        (TooMany(1, 5000, 0), r"wrong byte at 4999 \(past the end\)"),
        (TooFew(1, 5000, 0), "ended early, after 5000 bytes"),
    ],
)
def test_wrong_bytes_fail_a_scenario(request_: Request, why: str) -> None:
    result = run(Plan("planted", [ClientPlan(requests=(request_,))]))
    assert not result.ok
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(result.why)


def test_a_dead_path_fails_a_scenario() -> None:
    result = run(Plan("dead", [ClientPlan(there=DEAD, requests=(Request(1, 1, 1),))]))
    assert "ended early" in result.why


def test_a_scenario_that_takes_too_long_fails() -> None:
    slow = ClientPlan(requests=(Request(1, 10**6, 0),))
    result = run(Plan("late", [slow], limit=SECOND // 20))
    assert "not done" in result.why


def test_a_session_that_dies_of_silence_fails_a_scenario() -> None:
    forever = ClientPlan(pause=10**15, requests=(Request(1, 1, 1),))
    result = run(Plan("silent", [forever]))
    assert "ended early: IDLE" in result.why


def test_a_failure_names_what_replays_it() -> None:
    result = run(Plan("planted", [ClientPlan(requests=(TooMany(1, 50, 0),))]))
    assert result.seed == "planted"
    assert "TooMany(number=1, up=50" in result.plan


def test_a_seed_always_draws_the_same_plan() -> None:
    assert str(draw(5)) == str(draw(5)) != str(draw(6))


def test_every_trait_that_the_core_has_is_drawn() -> None:
    drawn = Counter(name for seed in range(200) for name in draw(seed).traits)
    for trait in TRAITS:
        wanted = not trait.needs or trait.needs in SUPPORTED
        assert bool(drawn[trait.name]) == wanted, trait.name


def test_a_new_trait_does_not_change_what_others_draw() -> None:
    for seed in range(50):
        few, more = draw(seed, SUPPORTED - {"wrap"}), draw(seed)
        more.settings.pop("first_packet_number", None)
        assert replace(more, traits=few.traits) == few
