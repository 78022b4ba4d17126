"""A session's trace: JSON lines that can be read, and nothing lost without a word."""

import json
from itertools import pairwise

from repram.proto import trace
from tests.proto.duo import Duo


def test_a_trace_tells_what_was_sent_and_acknowledged() -> None:
    duo = Duo()
    mine, theirs = duo.connect()
    mine.trace(True)
    before = mine.stats().packets_sent
    duo.transfer(mine, theirs, bytes(50_000))
    lines = [json.loads(trace.line_of(record)) for record in mine.trace_records()]
    names = [line["name"] for line in lines]
    assert names.count("transport:packet_sent") == mine.stats().packets_sent - before
    assert "recovery:packets_acked" in names
    assert all(a["time"] <= b["time"] for a, b in pairwise(lines))


def test_a_trace_tells_how_large_packets_become() -> None:
    duo = Duo()
    mine, theirs = duo.connect()
    mine.trace(True)
    duo.transfer(mine, theirs, bytes(100_000))
    lines = [json.loads(trace.line_of(record)) for record in mine.trace_records()]
    (grown,) = (line for line in lines if line["name"] == "connectivity:mtu_updated")
    assert grown["data"] == {"new": mine.stats().mtu, "old": 1_200}
    assert mine.stats().mtu == 1_472


def test_records_that_nobody_reads_are_counted() -> None:
    duo = Duo()
    mine, theirs = duo.connect()
    mine.trace(True)
    duo.transfer(mine, theirs, bytes(3_000_000))
    kept = mine.trace_records()
    duo.transfer(mine, theirs, b"more")
    assert len(kept) == 1024
    assert mine.trace_records()[0].missed > 0


def test_a_trace_that_is_off_records_nothing() -> None:
    duo = Duo()
    mine, theirs = duo.connect()
    mine.trace(True)
    mine.trace(False)
    duo.transfer(mine, theirs, bytes(5_000))
    assert mine.trace_records() == []
