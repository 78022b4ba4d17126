"""A small form of the handshake matrix; `python -m tests.sim --matrix 50` runs it whole."""

from __future__ import annotations

import pytest

from tests.sim.matrix import ROWS, connection
from tests.sim.scenario import Result, run

SIZE = 1_000_000


def carries(row: str, number: int, size: int = SIZE) -> Result:
    result = run(connection(row, number, size))
    assert result.ok, f"{result.why}\n{result.plan}"
    return result


@pytest.mark.parametrize("number", [1, 6])
@pytest.mark.parametrize("row", ROWS)
def test_a_connection_stands_and_carries_what_it_is_given(row: str, number: int) -> None:
    carries(row, number)


def test_many_handshakes_succeed_where_three_in_a_row_are_lost() -> None:
    for number in range(200):
        counters = carries("30 % loss, three in a row", number, 0).counters
        assert counters["handshakes_completed"] == 2, f"connection {number}"


def test_a_session_moves_at_one_second_and_every_five() -> None:
    counters = carries("another address at 1 s, then every 5 s", 2, 4_000_000).counters
    assert counters["migrations"] == counters["world_rebound"] == 2
