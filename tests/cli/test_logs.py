"""What is logged is one line each, and holds nothing secret, however it gets there."""

from __future__ import annotations

import io
import json
import logging
import secrets
from collections.abc import Callable, Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from repram.ids import HostPort, NodeAddress, to_base64url
from repram_cli import logs
from repram_cli.logs import REDACTED, Style, redacted

LOG = logging.getLogger()
STYLES: tuple[Style, ...] = ("text", "json")
RAW = secrets.token_bytes(32)
KEY, HEX, WORD = to_base64url(RAW), RAW.hex(), "correct-horse"
ID = to_base64url(secrets.token_bytes(32))


@pytest.fixture(params=STYLES)
def out(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """Where the lines go; what logging was before comes back."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    out = io.StringIO()
    logs.configure(request.param, out=out)
    yield out
    root.handlers[:], root.level = before, level
    structlog.reset_defaults()


def log() -> structlog.stdlib.BoundLogger:
    made: structlog.stdlib.BoundLogger = structlog.get_logger()
    return made


def failing(text: object) -> None:
    try:
        raise ValueError(text)
    except ValueError:
        logging.getLogger("room").exception("it failed")


WAYS: dict[str, Callable[[], object]] = {
    "in a link": lambda: LOG.error("fetching %s", f"repram://n@h:1/{ID}#v1.{KEY}abcdef"),
    "in a link for browsers": lambda: LOG.error("GET https://h/s/%s#v1.%s", ID, WORD),
    "in an invite": lambda: LOG.error("made repram+node://%s@h:1#%s", "A" * 43, WORD),
    "as a field": lambda: log().info("made", secret=WORD),
    "as a field with a longer name": lambda: log().info("made", invite_secret=WORD),
    "as a key": lambda: log().info("made", bucket_key=WORD),
    "as a token": lambda: log().info("made", Token=WORD),
    "as a value": lambda: log().info("put", value=WORD),
    "as a number": lambda: log().info("put", seed=int.from_bytes(RAW, "big")),
    "as bytes": lambda: log().info("made", found=RAW),
    "inside a dictionary": lambda: log().info("made", found={"seed": WORD}),
    "inside a list": lambda: log().info("made", found=[KEY, HEX, RAW]),
    "named in a sentence": lambda: LOG.error("with password=%s and so on", WORD),
    "named and quoted": lambda: LOG.error('{"token": "%s"}', WORD),
    "in base64url": lambda: LOG.error("here is %s.", KEY),
    "in hexadecimal": lambda: LOG.error("here is %s.", HEX),
    "as an extra": lambda: LOG.error("made", extra={"seed": WORD}),
    "in a traceback, as text": lambda: failing(f"no such item {KEY}"),
    "in a traceback, as bytes": lambda: failing(RAW),
    "in a traceback, as a link": lambda: failing(f"cannot open repram://x/#{WORD}"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_secret_is_taken_out(out: io.StringIO, way: str) -> None:
    WAYS[way]()
    line = out.getvalue()
    assert line.count("\n") == 1
    for canary in (KEY, KEY[:20], HEX, WORD, ID, repr(RAW)[2:20], str(int.from_bytes(RAW, "big"))):
        assert canary not in line


@given(
    raw=st.binary(min_size=32, max_size=64), before=st.text(max_size=20), after=st.text(max_size=20)
)
def test_no_key_passes_wherever_it_stands(raw: bytes, before: str, after: str) -> None:
    for text in (to_base64url(raw), raw.hex(), raw.hex().upper()):
        assert text not in redacted(f"{before} {text} {after}")


def test_a_node_may_be_named_by_its_address(out: io.StringIO) -> None:
    address = str(NodeAddress(bytes(range(32)), HostPort("192.0.2.1", 7433)))
    structlog.get_logger().info("serving", address=address)
    assert address in out.getvalue()


def test_what_is_not_secret_stays(out: io.StringIO) -> None:
    structlog.get_logger("room").warning("draining", sessions=3, items=40, ready=False, why=None)
    logging.getLogger("room").info("plain %d", 7)
    line, plain = out.getvalue().splitlines()
    for part in ("draining", "warning", "3", "40", "room"):
        assert part in line
    assert "plain 7" in plain


def test_a_hostile_name_forges_no_second_line_and_moves_no_cursor(out: io.StringIO) -> None:
    structlog.get_logger().info("refused", peer="x\nlevel=error event=forged\x1b[2J\u2028")
    LOG.error("refused %s", "a\nb\x1b[2J")
    text = out.getvalue()
    assert len(text.splitlines()) == 2
    assert "\x1b" not in text


def test_json_is_one_object_a_line() -> None:
    root = logging.getLogger()
    before, level, out = root.handlers[:], root.level, io.StringIO()
    try:
        logs.configure("json", out=out)
        structlog.get_logger("room").info("serving", items=3)
        logging.getLogger("asyncio").error("odd")
    finally:
        root.handlers[:], root.level = before, level
        structlog.reset_defaults()
    first, second = (json.loads(line) for line in out.getvalue().splitlines())
    assert (first["event"], first["items"], first["level"], first["source"]) == (
        *("serving", 3, "info"),
        "room",
    )
    assert second["source"] == "asyncio"
    assert REDACTED not in out.getvalue()


def test_what_is_below_the_level_is_not_written(out: io.StringIO) -> None:
    structlog.get_logger().debug("quiet")
    LOG.debug("quiet")
    assert out.getvalue() == ""
