"""What clients and nodes say: parsed once, bounded, and nothing worse than Malformed for the rest."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repram.proto.messages import (
    STORAGE,
    Changed,
    Found,
    Get,
    Held,
    Lease,
    Put,
    Renew,
    Reply,
    Request,
)
from repram.proto.rpc import Malformed, UnknownRequest, reader
from repram.proto.rpc.codec import REPLY_HEAD, REQUEST_HEAD

counts = st.integers(0, 1 << 53)
ids = st.binary(min_size=32, max_size=32)
leases = st.builds(
    Lease, ids, ids, ids, counts, counts, counts, st.binary(min_size=64, max_size=64)
)
requests = st.one_of(
    st.builds(Put, ids, counts, leases, st.integers(0, 15), st.lists(ids, max_size=4).map(tuple)),
    st.builds(Get, ids, counts),
    st.builds(Renew, leases),
)
replies = st.one_of(
    st.builds(Held, counts, counts, counts), st.builds(Found, counts, counts, counts, counts)
)
LEASE = [bytes(32), bytes(32), bytes(32), 0, 1, 1, bytes(64)]


@given(requests)
def test_requests_come_back(request: Request) -> None:
    assert STORAGE.read_request(STORAGE.request(request)[REQUEST_HEAD.size :]) == request


@given(replies)
def test_replies_come_back(reply: Reply) -> None:
    assert STORAGE.read_reply(STORAGE.reply(reply)[REPLY_HEAD.size :]) == reply


@given(st.floats(0, 1e12))
def test_the_time_that_is_left_travels_in_milliseconds_and_is_never_nought(seconds: float) -> None:
    _, left = REQUEST_HEAD.unpack_from(STORAGE.request(Get(bytes(32)), seconds))
    assert left == max(1, min((1 << 32) - 1, int(seconds * 1000)))
    assert REQUEST_HEAD.unpack_from(STORAGE.request(Get(bytes(32))))[1] == 0


@pytest.mark.parametrize(
    "content",
    [
        ["put", bytes(31), 1, LEASE],
        ["put", bytes(32), -1, LEASE],
        ["put", bytes(32), 1 << 54, LEASE],
        ["put", bytes(32), 1],
        ["put", bytes(32), 1, LEASE[:6]],
        ["put", bytes(32), 1, [*LEASE[:6], bytes(63)]],
        ["put", bytes(32), 1, LEASE, 16],
        ["put", bytes(32), 1, LEASE, 0, [bytes(32)] * 5],
        ["put", bytes(32), 1, LEASE, 0, [], (1 << 20) + 1],
        ["has", [bytes(32)] * 1_025],
        ["get"],
        ["get", "x" * 32],
        {"put": 1},
        None,
    ],
    ids=repr,
)
def test_what_is_out_of_bounds_is_malformed(content: object) -> None:
    with pytest.raises(Malformed):
        STORAGE.read_request(msgspec.msgpack.encode(content))


def test_an_unknown_kind_of_request_is_told_apart() -> None:
    with pytest.raises(UnknownRequest):
        STORAGE.read_request(msgspec.msgpack.encode(["nonsense", bytes(32)]))


def test_a_field_that_a_newer_side_adds_is_passed_over() -> None:
    newer = msgspec.msgpack.encode(["get", bytes(32), 0, "added later"])
    assert STORAGE.read_request(newer) == Get(bytes(32))


@pytest.mark.parametrize("word", ["\x1b[2J\u202e", "x" * 60_000], ids=["unprintable", "endless"])
@pytest.mark.parametrize(
    "read",
    [STORAGE.read_reply, reader(Changed, "no change")],
    ids=["reply", "pushed"],
)
def test_what_is_said_of_it_can_be_shown(read: Callable[[bytes], object], word: str) -> None:
    with pytest.raises(Malformed) as raised:
        read(msgspec.msgpack.encode([word]))
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 500


def test_text_that_is_no_text_is_malformed_where_it_is_pushed_too() -> None:
    with pytest.raises(Malformed):
        reader(Changed, "no change")(b"\x91\xa2\xed\xa0")
