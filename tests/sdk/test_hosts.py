"""The list of hosts, and which of them is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from repram.crypto.links import Invite
from repram.errors import Conflict, NotFound, UsageError
from repram.ids import HostPort, NodeAddress
from repram.proto.connection import Secret
from repram.sdk.hosts import Host, Hosts

ADDRESS = NodeAddress(bytes(range(32)), HostPort("storage.example.org", 7433))
OTHER = NodeAddress(bytes(range(1, 33)), HostPort("2001:db8::7", 7433))
SECRET = Secret(bytes(8), bytes(range(64, 96)))


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path / "hosts.json")


def test_a_host_comes_back_with_its_invite(hosts: Hosts) -> None:
    added = hosts.add(Host(ADDRESS, SECRET, "home"))
    assert hosts.all() == (added,)
    assert hosts.named("home") == Host(ADDRESS, SECRET, "home")


def test_an_address_and_an_invite_are_told_apart() -> None:
    invite = str(Invite(ADDRESS, SECRET.id, SECRET.secret))
    assert Host.parse(f" {invite}\n") == Host(ADDRESS, SECRET)
    assert Host.parse(str(ADDRESS)) == Host(ADDRESS)
    with pytest.raises(UsageError, match="this is a link"):
        Host.parse("https://example.org/")


def test_no_repr_tells_the_secret() -> None:
    assert repr(SECRET.secret) not in repr(Host(ADDRESS, SECRET))


def test_names_are_made_from_addresses(hosts: Hosts) -> None:
    twin = NodeAddress(bytes(32), ADDRESS.at)
    names = [hosts.add(Host(each)).name for each in (ADDRESS, OTHER, twin, ADDRESS)]
    assert names == ["storage.example.org", "2001-db8--7", "storage.example.org-2", names[0]]


def test_a_new_invite_to_the_same_node_takes_the_place_of_the_old(hosts: Hosts) -> None:
    hosts.add(Host(ADDRESS, None, "home"))
    hosts.add(Host(ADDRESS, SECRET, "home"))
    assert hosts.all() == (Host(ADDRESS, SECRET, "home"),)


def test_a_name_is_not_taken_from_another_node(hosts: Hosts) -> None:
    hosts.add(Host(ADDRESS, None, "home"))
    with pytest.raises(Conflict, match="another node is called 'home'"):
        hosts.add(Host(OTHER, None, "home"))
    assert hosts.named("home").address == ADDRESS


def test_the_only_host_is_the_default(hosts: Hosts) -> None:
    with pytest.raises(UsageError, match="no node to store on is known"):
        hosts.chosen(None, {})
    hosts.add(Host(ADDRESS, None, "one"))
    assert hosts.chosen(None, {}).name == "one"


def test_of_several_hosts_the_one_that_was_made_the_default(hosts: Hosts) -> None:
    hosts.add(Host(ADDRESS, None, "one"))
    hosts.add(Host(OTHER, None, "two"))
    with pytest.raises(UsageError, match=r"several hosts are known \(one, two\)"):
        hosts.chosen(None, {})
    hosts.add(Host(OTHER, None, "two"), default=True)
    assert hosts.chosen(None, {}).name == "two"
    hosts.remove("two")
    assert hosts.chosen(None, {}).name == "one"


def test_what_is_asked_for_comes_before_the_environment_and_that_before_the_default(
    hosts: Hosts,
) -> None:
    hosts.add(Host(ADDRESS, None, "one"), default=True)
    hosts.add(Host(OTHER, SECRET, "two"))
    third = NodeAddress(bytes(32), HostPort("third"))
    environment = {"REPRAM_HOST": str(third)}
    assert hosts.chosen("two", environment).address == OTHER
    assert hosts.chosen(None, environment).address == third
    assert hosts.chosen(None, {"REPRAM_HOST": "two"}).secret == SECRET
    assert hosts.chosen(None, {"REPRAM_HOST": ""}).address == ADDRESS


def test_an_address_that_is_known_comes_with_its_invite(hosts: Hosts) -> None:
    hosts.add(Host(OTHER, SECRET, "two"))
    moved = NodeAddress(OTHER.key, HostPort("elsewhere"))
    assert hosts.chosen(str(moved), {}) == Host(moved, SECRET, "two")


def test_an_unknown_name_is_not_found(hosts: Hosts) -> None:
    for use in (hosts.named, hosts.remove):
        with pytest.raises(NotFound, match="no host is called 'nobody'"):
            use("nobody")
    with pytest.raises(
        UsageError, match="no host is called 'nobody'"
    ):  # and nothing was asked of it
        hosts.chosen("nobody", {})


def test_a_host_that_was_tampered_with_is_refused(tmp_path: Path, hosts: Hosts) -> None:
    hosts.add(Host(ADDRESS, SECRET, "home"))
    file = tmp_path / "hosts.json"
    file.write_text(file.read_text().replace("storage.example.org", "evil.example.org"))
    with pytest.raises(UsageError, match="its checksum is wrong"):
        hosts.all()
