"""The link grammar, as `docs/keys.md` states it byte for byte."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from repram.crypto.links import MAX_LINK, Invite, Link, WebLink, parse_link
from repram.errors import LocalError, UsageError
from repram.ids import HostPort, ItemId, NodeAddress, to_base64url

ALPHABET = set(string.ascii_letters + string.digits + "-_.~:/#@")
VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "links.json").read_text())["links"]
NODE = NodeAddress(bytes(range(32)), HostPort("192.0.2.7", 7433))
LINK = Link(NODE, ItemId(bytes(range(32, 64))), bytes(range(64, 96)))
WEB_LINK = WebLink(HostPort("share.example.org", 443), LINK.item, LINK.secret)


def shortest(address: IPv4Address | IPv6Address) -> str:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


bytes32 = st.binary(min_size=32, max_size=32)
hosts = st.one_of(
    st.from_regex(r"[a-z][a-z0-9-]{0,10}[a-z0-9](\.[a-z][a-z0-9]{1,10}){0,2}", fullmatch=True),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(shortest),
)
places = st.builds(HostPort, hosts, st.integers(1, 65535))
links = st.builds(
    Link, st.builds(NodeAddress, bytes32, places), st.builds(ItemId, bytes32), bytes32
)


@given(links)
def test_a_link_comes_back_from_its_text(link: Link) -> None:
    text = str(link)
    assert parse_link(text) == link
    assert parse_link(f"  {text}\n") == link
    assert set(text) <= ALPHABET
    assert len(text) <= MAX_LINK


def test_a_web_link_comes_back_from_its_text() -> None:
    for link in (WEB_LINK, WebLink(HostPort("share.example.org", 8443), LINK.item, LINK.secret)):
        assert parse_link(str(link)) == link
        assert set(str(link)) <= ALPHABET


@pytest.mark.parametrize("vector", VECTORS, ids=lambda each: each["about"])
def test_links_of_the_vectors(vector: dict[str, str]) -> None:
    if vector["expect"] != "ok":
        with pytest.raises(UsageError, match=re.escape(vector["expect"])):
            parse_link(vector["link"])
        return
    link = parse_link(vector["link"])
    assert link.item.raw.hex() == vector["item"]
    assert link.secret.hex() == vector["secret"]
    if isinstance(link, Link):
        assert link.node.key.hex() == vector["key"]
        assert [link.node.at.host, str(link.node.at.port)] == [vector["host"], vector["port"]]


def test_the_checksum_is_over_all_that_stands_before_it() -> None:
    start = f"repram://{to_base64url(NODE.key)}@192.0.2.7:7433/{LINK.item}#v1."
    material = start.encode() + LINK.secret
    checksum = blake3(material, derive_key_context="repram v1 link checksum").digest(4)
    assert str(LINK) == start + to_base64url(LINK.secret + checksum)


@pytest.mark.parametrize(
    "link",
    [LINK, WEB_LINK, Link(NodeAddress(NODE.key, HostPort("2001:db8::7")), LINK.item, LINK.secret)],
)
def test_any_one_changed_character_is_noticed(link: Link | WebLink) -> None:
    text = str(link)
    for index, character in enumerate(text):
        for other in [*sorted(ALPHABET - {character}), "é", " ", "%", "\n"]:
            with pytest.raises(UsageError):
                parse_link(text[:index] + other + text[index + 1 :])


def test_any_one_lost_doubled_or_swapped_character_is_noticed() -> None:
    text = str(LINK)
    for index in range(len(text)):
        changed = [text[:index] + text[index + 1 :], text[:index] + text[index] + text[index:]]
        if index and text[index - 1] != text[index]:
            changed.append(text[: index - 1] + text[index] + text[index - 1] + text[index + 1 :])
        for each in changed:
            with pytest.raises(UsageError):
                parse_link(each)


def test_a_changed_link_is_said_to_be_changed_and_what_to_do() -> None:
    text = str(LINK)
    with pytest.raises(UsageError, match="changed on the way") as caught:
        parse_link(text[:-1] + ("A" if text[-1] != "A" else "B"))
    assert "Copy the link again" in caught.value.hint


def test_no_error_and_no_repr_tells_the_secret() -> None:
    text = str(LINK)
    fragment = text.partition("#")[2]
    for each in (text[:-1], text + "A", text.replace("7433", "7434"), text.replace("#v1", "#v2")):
        with pytest.raises(UsageError) as caught:
            parse_link(each)
        assert fragment[3:20] not in str(caught.value) + caught.value.hint
    assert repr(LINK.secret) not in repr(LINK)
    assert repr(LINK.secret) not in repr(WEB_LINK)


def test_an_address_where_a_link_belongs_is_named() -> None:
    with pytest.raises(UsageError, match="this is a node's address"):
        parse_link(str(NODE))


def test_a_link_without_its_fragment_is_named() -> None:
    with pytest.raises(UsageError, match="lacks its part from `#` on"):
        parse_link(str(LINK).partition("#")[0])


@given(
    st.one_of(
        st.text(max_size=250),
        st.text(alphabet=sorted(ALPHABET), max_size=250).map(lambda tail: f"repram://{tail}"),
    )
)
def test_arbitrary_text_raises_nothing_but_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        parse_link(text)


def test_the_longest_host_makes_the_longest_link() -> None:
    host = "h" * 45
    longest = Link(NodeAddress(NODE.key, HostPort(host, 65535)), LINK.item, LINK.secret)
    assert len(str(longest)) == MAX_LINK
    assert parse_link(str(longest)) == longest
    with pytest.raises(UsageError, match="51 characters"):
        Link(NodeAddress(NODE.key, HostPort(f"{host}h", 65535)), LINK.item, LINK.secret)


def test_the_longest_ipv6_address_fits() -> None:
    at = HostPort("2001:db8:1111:2222:3333:4444:5555:6666", 65535)
    link = Link(NodeAddress(NODE.key, at), LINK.item, LINK.secret)
    assert parse_link(str(link)) == link


def test_a_secret_of_another_size_is_a_callers_mistake() -> None:
    with pytest.raises(LocalError):
        Link(NODE, LINK.item, bytes(31))


invites = st.builds(
    Invite,
    st.builds(NodeAddress, bytes32, places),
    st.binary(min_size=8, max_size=8),
    bytes32,
)
INVITE = Invite(NODE, bytes(range(8)), bytes(range(64, 96)))


@given(invites)
def test_an_invite_comes_back_from_its_text(invite: Invite) -> None:
    text = str(invite)
    assert Invite.parse(f" {text}\n") == invite
    assert set(text) <= ALPHABET | {"+"}


def test_an_invite_has_one_line_of_known_bytes() -> None:
    start = f"repram+invite://{to_base64url(NODE.key)}@192.0.2.7:7433#v1."
    context = "repram v1 link checksum"
    named = INVITE.id + INVITE.secret
    check = blake3(start.encode() + named, derive_key_context=context).digest(4)
    assert str(INVITE) == start + to_base64url(named + check)


@given(st.integers(0, len(str(INVITE)) - 1), st.sampled_from(string.ascii_letters + "-_.#@"))
def test_an_invite_with_another_character_is_refused(place: int, character: str) -> None:
    text = str(INVITE)
    mangled = text[:place] + character + text[place + 1 :]
    if mangled != text:
        with pytest.raises(UsageError):
            Invite.parse(mangled)


def test_a_secret_of_an_invite_shows_nowhere() -> None:
    assert "secret" not in repr(INVITE)
    with pytest.raises(UsageError) as refused:
        Invite.parse(f"{INVITE}x")
    assert to_base64url(INVITE.secret)[:10] not in str(refused.value)


@pytest.mark.parametrize(
    ("pasted", "parse", "named"),
    [
        (str(INVITE), parse_link, "this is an invite"),
        (str(INVITE), NodeAddress.parse, "this is an invite"),
        (str(LINK), Invite.parse, "this is a link"),
        (str(WEB_LINK), Invite.parse, "this is a link"),
        (str(NODE), Invite.parse, "this is a node's address"),
        ("hello", Invite.parse, "this is not an invite"),
    ],
)
def test_an_invite_in_another_place_is_named(
    pasted: str, parse: Callable[[str], object], named: str
) -> None:
    with pytest.raises(UsageError, match=named):
        parse(pasted)
