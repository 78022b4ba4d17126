"""Token buckets: never more than the burst and the rate allow, in bounded room."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repram.errors import RateLimited
from repram.storaged.access.buckets import Buckets, network_of


@given(st.lists(st.floats(0, 5), max_size=200))
def test_no_more_pass_than_the_burst_and_the_rate_allow(waits: list[float]) -> None:
    now = 0.0
    buckets = Buckets(2, 5, lambda: now)
    passed = 0
    for wait in waits:
        now += wait
        try:
            buckets.take("who")
        except RateLimited:
            continue
        passed += 1
        assert passed <= 5 + 2 * now + 1e-6


def test_what_is_forfeited_is_earned_again_before_anything_passes() -> None:
    now = 0.0
    buckets = Buckets(2, 5, lambda: now)
    buckets.take("who")
    for _ in range(9):
        buckets.forfeit("who", 0.5)
    now = 2.9  # five are owed at most, and the next makes six
    with pytest.raises(RateLimited):
        buckets.take("who")
    now = 3.1
    buckets.take("who")
    with pytest.raises(RateLimited):
        buckets.take("who")
    buckets.take("another")


def test_a_rate_of_nothing_limits_nothing() -> None:
    buckets = Buckets(0, 0, lambda: 0.0)
    for _ in range(100):
        buckets.take("who")
        buckets.forfeit("who", 1)
    assert len(buckets) == 0


def test_who_has_not_asked_for_longest_is_forgotten_first() -> None:
    buckets = Buckets(1, 1, lambda: 0.0, known_max=2)
    for who in ("one", "other"):
        buckets.take(who)
    with pytest.raises(RateLimited):
        buckets.take("one")
    buckets.take("a third")
    assert len(buckets) == 2
    with pytest.raises(RateLimited):
        buckets.take("one")
    buckets.take("other")


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
    ],
)
def test_an_ipv6_address_stands_for_its_network(host: str, network: str) -> None:
    assert network_of(host) == network
