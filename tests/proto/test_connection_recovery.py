"""What is lost is sent again in new packets: after three later ones, after a while, or after silence."""

from __future__ import annotations

from itertools import pairwise

import pytest

from repram.proto.connection import Core, Settings
from tests.proto.by_hand import STREAM, STREAM_FIN, Frame, Talk, ack, frame, stream

NOW = 1_000_000
RTT = 0.02
MTU = 1_200
TEXT = bytes(range(256)) * 400
OURS = 1  # the node's first stream
FIRST_WINDOW = 10
PTO = 20_000 + 4 * 10_000 + 5_000  # after one sample of RTT: its half is the variance


class Node:
    """A node that has TEXT to say to a caller by hand, 20 ms away."""

    def __init__(self, data: bytes = TEXT, *, fin: bool = True) -> None:
        core = Core(
            now=NOW,
            seed=b"n" * 32,
            identity=b"i" * 32,
            listen=True,
            settings=Settings(mtu=MTU, controller="cubic"),
        )
        self.talk = Talk(core, NOW)
        self.talk.begin(RTT)
        self.talk.wait(1)
        self.times: dict[int, int] = {}
        self.sizes: dict[int, int] = {}
        self.packets: dict[int, list[Frame]] = {}
        self.connection = self.talk.connection
        assert self.connection.open_stream() == OURS
        self.first = 1 + max(self.sent(), default=0)
        taken = self.connection.write(OURS, data, fin=fin)
        assert taken == len(data)

    def sent(self) -> list[int]:
        """The numbers of what the node sends now; each is new."""
        numbers = []
        for data in self.talk.tell():
            number = int.from_bytes(data[8:12], "big")
            assert number not in self.packets, f"packet number {number} is used twice"
            self.packets[number] = self.talk.caller.open(data)
            self.times[number] = self.talk.now
            self.sizes[number] = len(data)
            numbers.append(number)
        return numbers

    def acknowledge(self, largest: int, *ranges: int) -> list[int]:
        """Tells it what came; the numbers of what it sends in return."""
        self.hear(ack(largest, *ranges))
        return self.sent()

    def hear(self, text: bytes) -> None:
        """Tells it a packet, and gives it no occasion to answer."""
        packet = (self.talk.caller.seal(text), self.connection.address)
        self.talk.node.receive([packet], self.talk.now)

    def wait(self, seconds: float) -> list[int]:
        """Lets time pass; the numbers of what it sends meanwhile, each at its time."""
        core, numbers = self.talk.node, []
        end = self.talk.now + round(seconds * 1e6)
        while (due := core.deadline()) is not None and due <= end:
            self.talk.now = max(self.talk.now, due)
            core.handle_timeout(self.talk.now)
            numbers += self.sent()
        self.talk.now = end
        return numbers

    def ranges(self, *numbers: int) -> list[tuple[int, int]]:
        """The stream bytes, from and to, that these packets carry."""
        return [
            (each.values[1], each.values[1] + len(each.data))
            for number in numbers
            for each in self.packets[number]
            if each.kind in (STREAM, STREAM_FIN)
        ]

    def size(self, *numbers: int) -> int:
        """The bytes of these packets."""
        return sum(self.sizes[number] for number in numbers)

    def covered(self, *numbers: int) -> list[tuple[int, int]]:
        """The same, joined where they touch."""
        joined: list[tuple[int, int]] = []
        for low, high in sorted(self.ranges(*numbers)):
            if joined and low <= joined[-1][1]:
                start, end = joined.pop()
                joined.append((start, max(end, high)))
            else:
                joined.append((low, high))
        return joined

    def wait_for_probe(self, count: int) -> int:
        """Silence until so many probe timeouts have passed; the last number sent."""
        while self.connection.stats().ptos < count:
            self.wait(0.001)
        return max(self.packets)


def burst(data: bytes = TEXT, *, fin: bool = True) -> tuple[Node, list[int]]:
    """A node an RTT after it has sent the first packets of its data, and their numbers."""
    node = Node(data, fin=fin)
    numbers = node.sent()
    assert node.wait(RTT) == []
    return node, numbers


def test_a_first_window_is_ten_packets() -> None:
    node, numbers = burst()
    assert numbers == list(range(numbers[0], numbers[0] + FIRST_WINDOW))
    assert node.covered(*numbers) == [(0, node.ranges(numbers[-1])[0][1])]
    assert len(node.ranges(*numbers)) == FIRST_WINDOW
    assert node.connection.stats().in_flight == node.size(*numbers) > FIRST_WINDOW * (MTU - 5)


def test_packets_of_something_longer_are_filled_to_the_last_byte() -> None:
    node, numbers = burst()
    assert {node.sizes[number] for number in numbers} == {MTU}


def test_what_three_later_packets_overtook_is_sent_again_at_once() -> None:
    node, (first, *rest) = burst()
    again, *_ = node.acknowledge(rest[2], 2)
    assert again > rest[-1]
    assert node.covered(again) == node.ranges(first)
    assert node.connection.stats().packets_lost == 1


def test_what_fewer_overtook_is_sent_again_an_eighth_of_a_round_trip_later() -> None:
    node, (first, second, third) = burst(TEXT[:3_300])
    before = node.talk.now
    assert node.acknowledge(third) == []
    again = node.wait(0.02)
    assert node.covered(*again) == [(0, node.ranges(second)[0][1])]
    assert {node.times[number] for number in again} == {before + 20_000 // 8}
    assert node.connection.stats().packets_lost == len((first, second))


def test_what_is_acknowledged_or_lost_leaves_the_flight_and_nothing_else() -> None:
    node, numbers = burst()
    node.hear(ack(numbers[5], 0, 0, 1))  # the sixth and, one missing, the fourth and the third
    stats = node.connection.stats()
    assert stats.packets_lost == len(numbers[:2])
    assert stats.in_flight == node.size(numbers[4], *numbers[6:])


def test_what_was_acknowledged_is_never_sent_again() -> None:
    node, (first, second, third, fourth, *_) = burst()
    later = node.acknowledge(fourth, 1) + node.wait(25)
    (low, _), (_, high) = node.ranges(third, fourth)
    assert all(end <= low or start >= high for start, end in node.ranges(*later))
    assert set(node.ranges(first, second)) <= set(node.ranges(*later))


def test_silence_brings_two_probes_and_each_wait_is_twice_the_last() -> None:
    node, numbers = burst()
    probes = node.wait(3)
    times = sorted({node.times[number] for number in probes})
    waits = [later - earlier for earlier, later in pairwise([node.times[numbers[-1]], *times])]
    assert waits[:5] == [PTO * 2**n for n in range(5)]
    assert [node.times[number] for number in probes] == sorted([*times, *times])
    assert node.covered(*probes) == node.covered(*numbers[:2])
    assert node.connection.stats().ptos == len(times)


def test_silence_alone_does_not_shrink_the_window_but_a_loss_does() -> None:
    node, numbers = burst()
    window = node.connection.stats().window
    node.wait_for_probe(3)
    assert node.connection.stats().window == window
    node.hear(ack(numbers[-1]))
    assert node.connection.stats().packets_lost > 0
    assert node.connection.stats().window < window


def test_a_loss_that_proves_none_is_undone() -> None:
    node, (first, *rest) = burst()
    window = node.connection.stats().window
    node.hear(ack(rest[-1], len(rest) - 1))
    grown = window + node.size(*rest)
    assert node.connection.stats().window == int(grown * 0.7)
    node.hear(ack(rest[-1], len(rest)))
    assert node.connection.stats().spurious == len([first])
    assert node.connection.stats().window >= grown


def test_an_outage_of_many_probes_leaves_the_smallest_window() -> None:
    node, (first, *_) = burst()
    node.hear(ack(first))
    last = node.wait_for_probe(6)
    node.wait(RTT)
    node.hear(ack(last))
    assert node.talk.node.counters()["persistent_congestion"] == 1
    assert node.connection.stats().window == 2 * MTU


def test_a_window_that_was_used_grows_by_what_is_acknowledged() -> None:
    node, numbers = burst()
    node.hear(ack(numbers[-1], FIRST_WINDOW - 1))
    assert node.connection.stats().window == FIRST_WINDOW * MTU + node.size(*numbers)


@pytest.mark.parametrize("size", [0, 5, 1_100, 5_000])
def test_an_end_that_is_lost_is_sent_again(size: int) -> None:
    node, numbers = burst(TEXT[:size])
    *before, last = numbers
    if before:
        node.hear(ack(before[-1], len(before) - 1))
    end = node.packets[last][-1]
    assert (end.kind, end.values[1] + len(end.data)) == (STREAM_FIN, size)
    again = node.wait(1)
    assert [end in node.packets[number] for number in again].count(True) >= 2


def test_what_is_all_acknowledged_is_out_of_mind() -> None:
    node, numbers = burst(TEXT[:5_000])
    node.acknowledge(numbers[-1], len(numbers) - 1)
    stats = node.connection.stats()
    assert (stats.in_flight, stats.ptos, stats.packets_lost) == (0, 0, 0)
    assert node.wait(25) == []


def test_only_the_bytes_of_lost_packets_are_sent_again() -> None:
    node, numbers = burst(TEXT[:5_000])
    again = node.acknowledge(numbers[-1]) + node.wait(0.02)
    assert node.covered(*again) == [(0, node.ranges(numbers[-1])[0][0])]


def test_a_reset_that_is_lost_is_sent_again_and_its_bytes_are_not() -> None:
    node, numbers = burst(TEXT[:3_000], fin=False)
    node.hear(ack(numbers[-1], 0))
    node.wait(0.01)
    node.connection.reset(OURS, 7)
    (reset,) = node.sent()
    said = Frame(0x04, (OURS, 7, 3_000))
    assert said in node.packets[reset]
    again = node.acknowledge(reset - 1) + node.wait(2)
    assert node.ranges(*again) == []
    assert [said in node.packets[number] for number in again].count(True) >= 2


def test_a_stop_that_is_lost_is_sent_again() -> None:
    node = Node(b"", fin=False)
    node.talk.say(stream(0, 0, b"x"))
    node.connection.stop(0, 9)
    (stop,) = node.sent()
    again = node.wait(1)
    said = Frame(0x05, (0, 9))
    assert said in node.packets[stop]
    assert [said in node.packets[number] for number in again].count(True) >= 2


def test_credit_is_told_anew_when_it_was_lost() -> None:
    node = Node(b"", fin=False)
    caller = node.talk.caller
    for offset in range(0, 1_200_000, 1_000):
        node.talk.tell(caller.seal(stream(0, offset, bytes(1_000))))
    while node.connection.read(0)[0]:
        pass
    told = node.sent()
    (credit,) = [each for number in told for each in node.packets[number] if each.kind == 0x07]
    assert credit.values > (0, 4 << 20)
    again = node.wait(1)
    assert credit in [each for number in again for each in node.packets[number]]


def test_no_more_is_sent_than_the_peer_has_granted() -> None:
    talk = Talk(Core(now=NOW, seed=b"n" * 32, identity=b"i" * 32, listen=True), NOW)
    talk.begin(RTT, session_window=3_000, stream_window=2_000)
    one, other = talk.connection.open_stream(), talk.connection.open_stream()
    for number in (one, other):
        talk.connection.write(number, TEXT[:10_000], fin=True)
    sent = {one: 0, other: 0}

    def hear(*texts: bytes) -> int:
        for each in talk.say(*texts):
            if each.kind in (STREAM, STREAM_FIN):
                sent[each.values[0]] += len(each.data)
        return sum(sent.values())

    assert hear() == 3_000
    assert max(sent.values()) <= 2_000
    assert hear(frame(0x07, one, 9_000), frame(0x07, other, 9_000)) == 3_000
    assert hear(frame(0x06, 4_500)) == 4_500
    assert hear(frame(0x06, 1_000)) == 4_500
    assert hear(frame(0x06, 1 << 20)) > 9_000
    talk.wait(0.01)
    assert sent[one] <= 9_000
