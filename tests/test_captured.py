"""All that real processes say to each other is recorded: it is the protocol's, and tells no key."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import socket
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from repram.crypto.identity import x25519_image
from repram.ids import NodeAddress
from repram.proto.endpoint import Endpoint
from repram.sdk import Client
from tests.canaries import Capture, found_in
from tests.processes import Machine, node
from tests.proto.by_hand import ACCEPT, DATA, INIT, ByHand, datagram, with_crc
from tests.proto.in_clear import check, split

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="packets are root's to record")

CONTENT = b"canary in clear "
NAME = "canary é name"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was seen on the wire, and what must not be in it."""

    packets: Capture
    secrets: Mapping[str, bytes]

    def datagrams(self) -> Counter[int]:
        """How many of each type; ValueError at the first that is none of the protocol's."""
        return Counter(
            check(each) for carried in self.packets.payloads() for each in split(carried)
        )

    def found(self) -> set[str]:
        """The secrets that are in it."""
        return found_in(self.packets.seen, self.secrets)


Plant = Callable[[NodeAddress, Mapping[str, bytes]], bytes]


def record(folder: Path, plant: Plant | None = None) -> Recorded:
    """A folder goes to a node and comes back, by commands and by the SDK; then a caller with an identity."""
    given = folder / "given"
    given.mkdir()
    (given / NAME).write_bytes(CONTENT * 40_000)
    known = {"content": CONTENT * 4, "name": NAME.encode()}
    machine = Machine(folder / "machine")
    with node() as it:
        address = NodeAddress.parse(it.address)
        known |= keys("node", address.key)
        with Capture([address.at.port]) as packets:
            link = machine.said("upload", given, "--host", it.address, "--ttl", "1h").strip()
            machine.said("download", link, "--output", folder / "got")
            asyncio.run(by_sdk(it.address, link, folder / "again", known))
            asyncio.run(call(address, known))
            if plant:
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
                    said = plant(address, known)
                    own.sendto(said, (address.at.host, address.at.port))
    return Recorded(packets, known)


def keys(whose: str, key: bytes) -> dict[str, bytes]:
    """An Ed25519 key, and the static key that is its image."""
    return {f"key of the {whose}": key, f"static key of the {whose}": x25519_image(key)}


async def by_sdk(host: str, link: str, out: Path, known: dict[str, bytes]) -> None:
    """Downloads once more, in this process, whose keys are known."""
    async with Client(host, state=out.parent / "state") as client:
        await client.download(link, out)
        for endpoint in client._sessions._endpoints.values():
            known |= keys("client", endpoint.core.key)


async def call(address: NodeAddress, known: dict[str, bytes]) -> None:
    """Somebody who says who they are, to the node alone."""
    seed = secrets.token_bytes(32)
    async with await Endpoint.open(("127.0.0.1", 0), identity=seed) as endpoint:
        await endpoint.connect((address.at.host, address.at.port), address.key)
        known |= keys("caller", endpoint.key) | {"seed of the caller": seed}


def test_all_of_it_is_the_protocols_and_tells_no_key_no_name_and_no_content(
    tmp_path: Path,
) -> None:
    recorded = record(tmp_path)
    kinds = recorded.datagrams()
    assert kinds[INIT] >= 4
    assert kinds[ACCEPT] >= 4
    assert kinds.keys() == {INIT, ACCEPT, DATA}
    assert len(recorded.packets.seen) > 3 * len(CONTENT) * 40_000
    assert recorded.found() == set()


# ---- the control: what should not be there is found ----


def in_padding(address: NodeAddress, known: Mapping[str, bytes]) -> bytes:
    """An INIT with somebody's key in hex where zeros should be."""
    init, key = ByHand(address.key).init(), known["static key of the client"].hex().encode()
    return with_crc(init[:1000] + key + init[1000 + len(key) :])


def in_a_type_of_its_own(_address: NodeAddress, known: Mapping[str, bytes]) -> bytes:
    return datagram(8, known["key of the caller"], session=1)


def behind_the_end(address: NodeAddress, known: Mapping[str, bytes]) -> bytes:
    return ByHand(address.key).init() + known["static key of the node"]


def as_a_packet(_address: NodeAddress, known: Mapping[str, bytes]) -> bytes:
    """The outside cannot tell; the search does."""
    return datagram(DATA, base64.urlsafe_b64encode(known["content"]), session=1)


@pytest.mark.parametrize(
    ("plant", "wrong", "secret"),
    [
        (in_padding, "padding", "static key of the client"),
        (in_a_type_of_its_own, "type", "key of the caller"),
        (behind_the_end, r"short|crc|length|type", "static key of the node"),
        (as_a_packet, "", "content"),
    ],
)
def test_what_should_not_be_there_is_found(
    tmp_path: Path, plant: Plant, wrong: str, secret: str
) -> None:
    recorded = record(tmp_path, plant)
    assert secret in recorded.found()
    if wrong:
        with pytest.raises(ValueError, match=wrong):
            recorded.datagrams()
    else:
        assert recorded.datagrams()[DATA]


def test_a_capture_outlasts_another_beside_it() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind(("127.0.0.1", 0))
        address = own.getsockname()
        with Capture([address[1]]) as packets:
            with Capture([address[1]]):
                own.sendto(b"early", address)
            own.sendto(b"late", address)
    assert b"early" in packets.seen
    assert b"late" in packets.seen
