"""Identifiers: one text for one value, and nothing but a UsageError for anything else."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repram.errors import UsageError
from repram.ids import (
    HostPort,
    ItemId,
    NodeAddress,
    format_duration,
    format_size,
    from_base64url,
    parse_duration,
    parse_size,
    roughly,
    to_base64url,
)

KEY = bytes(range(32))
KEY_TEXT = to_base64url(KEY)


def shortest(address: IPv4Address | IPv6Address) -> str:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


names = st.from_regex(r"[a-z][a-z0-9-]{0,10}[a-z0-9](\.[a-z][a-z0-9]{1,10}){0,2}", fullmatch=True)
ipv6 = st.ip_addresses(v=6).map(shortest)
hosts = st.one_of(names, st.ip_addresses(v=4).map(str), ipv6)
places = st.builds(HostPort, hosts, st.integers(1, 65535))
addresses = st.builds(NodeAddress, st.binary(min_size=32, max_size=32), places)


@given(st.binary(min_size=32, max_size=32))
def test_an_item_id_comes_back_from_its_text(raw: bytes) -> None:
    assert ItemId.parse(str(ItemId(raw))) == ItemId(raw)
    assert len(str(ItemId(raw))) == 43


@given(addresses)
def test_a_node_address_comes_back_from_its_text(address: NodeAddress) -> None:
    assert NodeAddress.parse(str(address)) == address


@given(places)
def test_host_and_port_come_back_from_their_text(place: HostPort) -> None:
    assert HostPort.parse(str(place)) == place


@given(st.binary(max_size=80))
def test_base64url_has_one_text_for_one_value(raw: bytes) -> None:
    text = to_base64url(raw)
    assert from_base64url(text, len(raw)) == raw


def test_stray_bits_in_the_last_character_are_refused() -> None:
    text = to_base64url(KEY)
    with pytest.raises(UsageError, match="last character"):
        from_base64url(text[:-1] + chr(ord(text[-1]) + 1), 32)


arbitrary = st.one_of(
    st.text(max_size=120),
    st.text(alphabet="abcdefgrm+node:/@[]#v1.~-_0123456789%").map("repram+node://{}".format),
    st.tuples(st.text(max_size=20), st.text(max_size=20)).map(
        lambda pair: f"repram+node://{KEY_TEXT}@{pair[0]}:{pair[1]}"
    ),
    st.text(max_size=60).map(lambda host: f"repram+node://{KEY_TEXT}@{host}"),
)


@given(arbitrary)
def test_arbitrary_text_raises_nothing_but_a_usage_error(text: str) -> None:
    for parse in (ItemId.parse, NodeAddress.parse, HostPort.parse, parse_duration, parse_size):
        with suppress(UsageError):
            parse(text)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("example.org:9", "example.org", 9),
        ("Example.ORG", "example.org", 7433),
        ("127.0.0.1:65535", "127.0.0.1", 65535),
        ("[::1]:7433", "::1", 7433),
        ("[2001:DB8:0::1]", "2001:db8::1", 7433),
        ("2001:db8::1", "2001:db8::1", 7433),
        ("my_container:80", "my_container", 80),
    ],
)
def test_hosts_are_read_as_people_write_them(text: str, host: str, port: int) -> None:
    assert HostPort.parse(text) == HostPort(host, port)


@pytest.mark.parametrize(
    "text",
    ["", ":80", "host:", "host:0", "host:65536", "host:08", "host:٨", "[::1", "[host]:1", "[::1]x",
     "::1%eth0", "256.1.1.1", "1.2.3", "-a", "a..b", "münchen.example", "a b", "x" * 64, "host:1:2"],
)  # fmt: skip
def test_malformed_hosts_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        HostPort.parse(text)


def test_a_link_where_an_address_belongs_is_named() -> None:
    with pytest.raises(UsageError, match="this is a link"):
        NodeAddress.parse(f"repram://{KEY_TEXT}@host:1/{KEY_TEXT}#v1.x")


@pytest.mark.parametrize(
    "text", ["repram+node://", f"repram+node://{KEY_TEXT}", f"repram+node://{KEY_TEXT[:-1]}@h"]
)
def test_incomplete_addresses_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        NodeAddress.parse(text)


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("90s", 90_000),
        ("15m", 900_000),
        ("12h", 43_200_000),
        ("7d", 604_800_000),
        ("2w", 1_209_600_000),
    ],
)
def test_durations_are_read(text: str, milliseconds: int) -> None:
    assert parse_duration(text) == milliseconds


@pytest.mark.parametrize(
    "text", ["", "0s", "10", "1.5h", "-1s", "1y", "1 s", "٣s", "9" * 13 + "s", "999999999999w", "s"]
)
def test_malformed_durations_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a length of time"):
        parse_duration(text)


@given(st.integers(1, 10**9))
def test_a_duration_comes_back_from_its_text(seconds: int) -> None:
    assert parse_duration(format_duration(seconds * 1_000)) == seconds * 1_000


@pytest.mark.parametrize(
    ("milliseconds", "said"),
    [
        (0, "0s"),
        (1, "1s"),
        (59_001, "1m"),
        (3_598_000, "59m 58s"),
        (3_600_000, "1h"),
        (3_601_000, "1h"),
        (86_340_000, "23h 59m"),
        (7 * 86_400_000, "7d"),
        (30 * 86_400_000 - 1_000, "29d 23h"),
    ],
)
def test_a_length_of_time_is_said_in_its_two_largest_units(milliseconds: int, said: str) -> None:
    assert roughly(milliseconds) == said


@pytest.mark.parametrize(
    ("text", "size"),
    [("256MiB", 256 << 20), ("5GiB", 5 << 30), ("10MB", 10_000_000), ("4096", 4096), ("1B", 1)],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "MiB", "1XiB", "1.5GiB", "-1", "999999999999TiB"])
def test_malformed_sizes_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_size(text)


def test_sizes_are_told_as_people_read_them() -> None:
    assert [format_size(size) for size in (0, 1023, 1024, 8 << 20, 5 << 30, 7 << 40)] == [
        "0 B", "1023 B", "1.0 KiB", "8.0 MiB", "5.0 GiB", "7.0 TiB",
    ]  # fmt: skip
