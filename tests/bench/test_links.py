"""Links are told in few words, and refused in one line when they cannot be."""

from __future__ import annotations

import pytest

from bench.links import PROFILES, Profile, parse_profile


@pytest.mark.parametrize("name", PROFILES)
def test_a_known_link_is_found_by_its_name(name: str) -> None:
    assert parse_profile(name) == PROFILES[name]


def test_a_known_link_can_be_changed() -> None:
    changed = parse_profile("L4:loss=0:queue=4:mtu=9000")
    assert changed == Profile("L4:loss=0:queue=4:mtu=9000", rtt=50, rate=200, queue=4, mtu=9000)


def test_a_link_can_be_made_of_its_parts() -> None:
    made = parse_profile("rtt=40:rate=12.5:loss=0.1:back=0:burst=3")
    assert (made.kind, made.rtt, made.rate, made.loss, made.back, made.burst) == (
        *("emulated", 40, 12.5, 0.1, 0, 3),
    )


@pytest.mark.parametrize(
    "text",
    ["", "L9", "L4:", "L4:loss", "L4:loss=", "L4:loss=-1", "L4:kind=1", "rtt=1e9", "L4:mtu=1.5"],
)
def test_what_is_no_link_is_refused_with_what_there_is(text: str) -> None:
    with pytest.raises(ValueError, match=r"L0, .*, loss=N"):
        parse_profile(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("L0", "loopback"),
        ("L2", "veth, MTU 1500, offloads off"),
        ("L3", "20 ms, 1 Gbit/s"),
        ("L5:back=0:burst=4", "100 ms, 50 Mbit/s, 5 % loss there, 0 % loss back, in bursts of 4"),
        ("L3:queue=2:mtu=1280", "20 ms, 1 Gbit/s, queue 2 BDP, MTU 1280"),
    ],
)
def test_a_link_says_what_it_is_like(text: str, told: str) -> None:
    assert str(parse_profile(text)) == told
