"""A minute among all enemies at once; `python -m tests.sim --hour` makes it an hour."""

from __future__ import annotations

from dataclasses import replace

from tests.sim.hour import HASTY, Hour


def test_a_minute_among_enemies_harms_nobody_and_leaves_nothing_behind() -> None:
    result = Hour(60, 10, "a minute", HASTY).run()
    assert result.ok, result.why
    happened = result.counters
    for what in (
        *("hour_visits", "app_datagrams", "key_updates", "ratchets", "world_rebound", "migrations"),
        *("hour_betrayals", "protocol_errors", "hour_silent_callers", "retries_out", "retries_in"),
        *("refused_out", "versions_out", "dropped_replay", "dropped_auth", "dropped_crc"),
        *("link_lost", "link_reordered", "link_duplicated", "link_corrupted", "resets_out"),
    ):
        assert happened[what], what


def test_the_same_hour_comes_again() -> None:
    traces = {Hour(6, 4, "again", replace(HASTY, flood_size=20)).run().trace for _ in range(2)}
    assert len(traces) == 1
