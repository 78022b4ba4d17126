"""Messages: parsed once, bounded, and failure for whatever is not known."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repram import errors
from repram.errors import RepramError
from repram.proto import messages
from repram.proto.messages import Code, Failure, Found, Get, Held, Malformed, Put

counts = st.integers(0, 1 << 53)
ids = st.binary(min_size=32, max_size=32)
requests = st.one_of(st.builds(Put, ids, counts, counts, counts), st.builds(Get, ids))
replies = st.one_of(
    st.builds(Held, counts, counts, counts),
    st.builds(Found, counts, counts, counts, counts),
    st.builds(Failure, counts, st.text(max_size=500)),
)


@given(requests)
def test_requests_come_back(request: messages.Request) -> None:
    assert messages.decode_request(messages.encode(request)) == request


@given(replies)
def test_replies_come_back(reply: messages.Reply) -> None:
    assert messages.decode_reply(messages.encode(reply)) == reply


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_malformed_and_nothing_worse(data: bytes) -> None:
    for decode in (messages.decode_request, messages.decode_reply):
        try:
            decode(data)
        except Malformed:
            continue


@pytest.mark.parametrize(
    "content",
    [
        ["put", bytes(31), 1, 1, 1],
        ["put", bytes(32), -1, 1, 1],
        ["put", bytes(32), 1 << 54, 1, 1],
        ["put", bytes(32), 1, 1],
        ["get"],
        ["get", "x" * 32],
        ["nonsense", bytes(32)],
        {"put": 1},
        None,
    ],
    ids=repr,
)
def test_what_is_out_of_bounds_is_malformed(content: object) -> None:
    with pytest.raises(Malformed):
        messages.decode_request(msgspec.msgpack.encode(content))


def test_deep_nesting_is_malformed() -> None:
    with pytest.raises(Malformed):
        messages.decode_request(b"\x91" * 60_000)


def test_a_field_that_a_newer_side_adds_is_passed_over() -> None:
    newer = msgspec.msgpack.encode(["get", bytes(32), "added later"])
    assert messages.decode_request(newer) == Get(bytes(32))


@pytest.mark.parametrize(
    "kind",
    [
        errors.UsageError,
        errors.NotFound,
        errors.Busy,
        errors.NotAllowed,
        errors.IntegrityFailure,
        errors.Full,
        errors.Conflict,
        errors.QuorumNotReached,
        errors.RateLimited,
        errors.ClockRefused,
        errors.IncompatibleVersion,
        Malformed,
    ],
)
def test_an_error_arrives_as_what_it_was(kind: type[RepramError]) -> None:
    arrived = messages.error_of(messages.failure_of(kind("what happened")))
    assert type(arrived) is kind
    assert "what happened" in str(arrived)
    assert arrived.hint == kind.hint


def test_codes_below_20_are_the_exit_codes_of_their_errors() -> None:
    for code in Code:
        if code < 20:
            assert messages.error_of(Failure(code, "")).exit_code == code


def test_an_unknown_code_means_failure() -> None:
    error = messages.error_of(Failure(987_654, "from a newer node"))
    assert (type(error), error.exit_code) == (RepramError, 1)


def test_a_peers_text_moves_no_cursor_and_has_a_bound() -> None:
    assert "\x1b" not in str(messages.error_of(Failure(1, "\x1b[2Jgone\n")))
    long = messages.failure_of(RepramError("x" * 10_000))
    assert messages.decode_reply(messages.encode(long)) == long
