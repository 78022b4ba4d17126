"""The links do to datagrams what they were told to do, and about as often."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby, pairwise

import pytest

from tests.sim.link import Burst, Fate, Link, LinkSettings, Rows

PLAIN = LinkSettings(delay=1000)
DATAGRAM = bytes(range(256)) * 4
COUNT = 20_000


def carry_many(settings: LinkSettings, *, apart: int = 100) -> list[list[tuple[int, bytes]]]:
    link = Link(settings, "seed")
    return [link.carry(number * apart, number.to_bytes(4, "big"))[1] for number in range(COUNT)]


def test_a_plain_link_only_delays() -> None:
    link = Link(PLAIN, "seed")
    assert link.carry(5, DATAGRAM) == (Fate.DELIVERED, [(1005, DATAGRAM)])
    assert not link.counts


@pytest.mark.parametrize("loss", [0.01, 0.2, 0.5])
def test_loss_takes_its_share(loss: float) -> None:
    arrivals = carry_many(replace(PLAIN, loss=loss))
    assert sum(not each for each in arrivals) / COUNT == pytest.approx(loss, rel=0.15)


def test_bursts_take_neighbours() -> None:
    burst = Burst(enter=0.01, length=500)  # five datagrams
    lost = [not each for each in carry_many(replace(PLAIN, burst=burst))]
    after_a_loss = [now for before, now in pairwise(lost) if before]
    assert sum(lost) / COUNT == pytest.approx(0.05, rel=0.25)
    assert sum(after_a_loss) / len(after_a_loss) == pytest.approx(0.8, rel=0.1)


def test_a_burst_ends_with_time_also_for_who_sends_rarely() -> None:
    burst = Burst(enter=0.01, length=500)
    lost = [not each for each in carry_many(replace(PLAIN, burst=burst), apart=10_000)]
    assert sum(lost) / COUNT == pytest.approx(0.01, rel=0.25)


@pytest.mark.parametrize("apart", [100, 1_000_000])
def test_rows_take_their_share_and_are_all_of_one_length(apart: int) -> None:
    lost = [not each for each in carry_many(replace(PLAIN, rows=Rows(0.3, 3)), apart=apart)]
    runs = [len(list(run)) for was_lost, run in groupby(lost) if was_lost]
    assert sum(lost) / COUNT == pytest.approx(0.3, rel=0.1)
    assert all(length % 3 == 0 for length in runs[:-1])


def test_jitter_varies_the_delay_and_keeps_the_order() -> None:
    times = [each[0][0] for each in carry_many(replace(PLAIN, jitter=5000))]
    assert times == sorted(times)
    delays = [time - number * 100 for number, time in enumerate(times)]
    assert 1000 <= min(delays) < 2000 < 5000 < max(delays) <= 6000


def test_reordering_lets_later_ones_overtake() -> None:
    settings = replace(PLAIN, reorder=0.3, reorder_delay=10_000)
    times = [each[0][0] for each in carry_many(settings)]
    late = [time - number * 100 > 1000 for number, time in enumerate(times)]
    assert times != sorted(times)
    assert sum(late) / COUNT == pytest.approx(0.3, rel=0.1)


def test_duplication_delivers_twice() -> None:
    arrivals = carry_many(replace(PLAIN, duplicate=0.1))
    twice = [each for each in arrivals if len(each) == 2]
    assert len(twice) / COUNT == pytest.approx(0.1, rel=0.15)
    assert all(one[1] == other[1] and one[0] <= other[0] for one, other in twice)


@pytest.mark.parametrize("bits", [1, 8])
def test_corruption_flips_bits(bits: int) -> None:
    link = Link(replace(PLAIN, corrupt=0.1, corrupt_bits=bits), "seed")
    flips = []
    for now in range(5000):
        ((_, arrived),) = link.carry(now, DATAGRAM)[1]
        difference = int.from_bytes(arrived, "big") ^ int.from_bytes(DATAGRAM, "big")
        if difference:
            flips.append(difference.bit_count())
    assert len(flips) / 5000 == pytest.approx(0.1, rel=0.2)
    assert link.counts["link_corrupted"] == len(flips)
    assert (min(flips), max(flips)) == (1, bits)


def test_the_mtu_drops_what_is_larger() -> None:
    link = Link(replace(PLAIN, mtu=1200), "seed")
    assert link.carry(0, bytes(1200))[0] == Fate.DELIVERED
    assert link.carry(0, bytes(1201)) == (Fate.OVERSIZE, [])
    assert link.counts["link_oversize"] == 1


def test_the_mtu_changes_when_it_was_told_to() -> None:
    link = Link(replace(PLAIN, mtu=1500, mtu_changes=((100, 1300), (200, 1400))), "seed")
    for now, mtu in ((0, 1500), (99, 1500), (100, 1300), (199, 1300), (200, 1400)):
        assert link.carry(now, bytes(mtu))[0] == Fate.DELIVERED
        assert link.carry(now, bytes(mtu + 1))[0] == Fate.OVERSIZE


def test_nothing_passes_in_a_blackout() -> None:
    link = Link(replace(PLAIN, blackouts=((100, 200), (300, 400))), "seed")
    fates = [link.carry(now, DATAGRAM)[0] for now in (99, 100, 199, 200, 300, 400)]
    dark, bright = Fate.BLACKED_OUT, Fate.DELIVERED
    assert fates == [bright, dark, dark, bright, dark, bright]


def test_the_rate_spaces_datagrams_out() -> None:
    link = Link(replace(PLAIN, rate=1_000_000), "seed")
    times = [link.carry(0, bytes(500))[1][0][0] for _ in range(3)]
    assert times == [1500, 2000, 2500]
    assert link.carry(10_000, bytes(500))[1][0][0] == 11_500


def test_a_full_queue_drops_its_tail() -> None:
    link = Link(replace(PLAIN, rate=1_000_000, queue=2000), "seed")
    fates = [link.carry(0, bytes(500))[0] for _ in range(6)]
    assert fates == [Fate.DELIVERED] * 4 + [Fate.OVERFLOWED] * 2
    assert link.carry(500, bytes(500))[0] == Fate.DELIVERED


def test_one_mishap_does_not_shift_the_draws_of_another() -> None:
    lossy = replace(PLAIN, loss=0.3)
    alone = [bool(each) for each in carry_many(lossy)]
    crowded = carry_many(replace(lossy, jitter=500, duplicate=0.2, corrupt=0.5, reorder=0.2))
    assert [bool(each) for each in crowded] == alone


def test_the_seed_decides() -> None:
    settings = replace(PLAIN, loss=0.5, jitter=1000, corrupt=0.5)
    runs = []
    for seed in ("one", "one", "other"):
        link = Link(settings, seed)
        runs.append([link.carry(now, DATAGRAM) for now in range(200)])
    assert runs[0] == runs[1] != runs[2]
