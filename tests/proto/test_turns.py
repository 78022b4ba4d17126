"""Whose call is next: each session in turn, within a slice of time, and what is given up leaves the line."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repram.proto import turns
from repram.proto.connection import Whole
from repram.proto.turns import Turns


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    stands = Clock()
    monkeypatch.setattr("repram.proto.turns.time.perf_counter", stands)
    return stands


class Clock:
    """Stands still until the test moves it."""

    def __init__(self) -> None:
        self.time = 1.0

    def __call__(self) -> float:
        return self.time


def whole(session: int, stream: int) -> Whole:
    return Whole(session, stream, b"", opened=True)


def waiting(*wholes: tuple[int, int]) -> Turns:
    line = Turns()
    for each in wholes:
        line.add(whole(*each))
    return line


def gone(line: Turns, *, alone: bool = False) -> list[tuple[int, int]]:
    return [(each.handle, each.stream) for each in line.go(alone=alone)]


def test_sessions_have_their_turn_one_after_the_other() -> None:
    line = waiting((1, 0), (1, 4), (1, 8), (2, 0), (3, 0), (3, 4))
    assert gone(line, alone=True) == [(1, 0), (2, 0), (3, 0), (1, 4), (3, 4), (1, 8)]
    assert not line


def test_one_go_takes_as_many_as_fit_into_its_time(clock: Clock) -> None:
    line = waiting(*((1, stream) for stream in range(2_000)))
    for _ in range(40):  # until it knows
        for _ in line.go(alone=False):
            clock.time += turns.SLICE / 8
        line.gone()
    assert 6 <= len(gone(line)) <= 8


def test_one_that_takes_longer_than_all_may_goes_alone(clock: Clock) -> None:
    line = waiting(*((1, stream) for stream in range(100)))
    for _ in range(40):
        for _ in line.go(alone=False):
            clock.time += 1
        line.gone()
    assert len(gone(line)) == 1


def test_who_is_alone_is_not_held_up(clock: Clock) -> None:
    line = waiting(*((1, stream) for stream in range(1_000)))
    for _ in line.go(alone=True):
        clock.time += 1
    line.gone()
    assert len(gone(line, alone=True)) == turns.ALONE


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), max_size=60), st.data())
def test_all_go_but_what_was_given_up_and_each_once(
    added: list[tuple[int, int]], data: st.DataObject
) -> None:
    line, kept = waiting(*added), set(added)
    for session, stream in data.draw(
        st.lists(st.sampled_from(added), max_size=9) if added else st.just([])
    ):
        assert line.drop(session, stream) == ((session, stream) in kept)
        kept.discard((session, stream))
    over = data.draw(st.integers(0, 4))
    left = {(each.handle, each.stream) for each in line.drop_all(over)}
    assert left == {each for each in kept if each[0] == over}
    assert line.waits(over) is False
    went: list[tuple[int, int]] = []
    while line:
        went += gone(line)
        line.gone()
    assert Counter(went) == Counter(kept - left)
