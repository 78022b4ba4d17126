"""The golden packets of docs/protocol.md: the node speaks them, and a caller made by hand reads them.

After a change of the format: `python -m tests.proto.test_golden` prints the packets to put there.
"""

import re
from pathlib import Path

import pytest

from repram.proto.connection import Core, Settings
from repram.proto.primitives import Suite
from tests.proto import by_hand
from tests.proto.by_hand import ACCEPT, DATA, HEADER, PING, ByHand, Talk, ack, frames, stream

DOCUMENT = Path(__file__).parents[2] / "docs" / "protocol.md"
NAMES = ("INIT", "ACCEPT", "DATA 0 of the initiator", "DATA 0 of the responder")
NOW = 1_000_000


def node() -> Core:
    """The responder of the document: every byte of it follows from these."""
    settings = Settings(suites=(Suite.XCHACHA20,), ecn=False)
    return Core(
        now=NOW,
        seed=b"g" * 32,
        identity=b"i" * 32,
        listen=True,
        settings=settings,
        wall_offset=1_800_000_000_000_000 - NOW,
    )


def speak() -> list[bytes]:
    """The four packets, from the start of a session on."""
    talk = Talk(node(), NOW)
    init = talk.caller.init()
    (accept,) = talk.tell(init)
    talk.caller.accepted(accept)
    said = talk.caller.seal(PING + stream(0, 0, b"hello", fin=True))
    answers = talk.tell(said)
    return [init, accept, said, answers[0]]


def documented() -> list[bytes]:
    """The packets as the document has them, in the order of NAMES."""
    text = DOCUMENT.read_text()
    blocks = dict(re.findall(r"^### (.+)\n\n```\n([0-9a-f\n]+)```", text, re.MULTILINE))
    return [bytes.fromhex(blocks[name].replace("\n", "")) for name in NAMES]


def shown(packet: bytes) -> str:
    """Hex, 32 bytes a line."""
    return "\n".join(packet[at : at + 32].hex() for at in range(0, len(packet), 32))


def test_the_document_and_the_core_agree_byte_for_byte() -> None:
    assert documented() == speak()


def test_a_caller_by_hand_reads_the_documented_packets() -> None:
    init, accept, said, answered = documented()
    caller = ByHand(node().key)
    assert caller.init() == init
    caller.accepted(accept)
    assert caller.clock == 1_800_000_000_000_000
    assert said == caller.seal(PING + stream(0, 0, b"hello", fin=True))
    kinds = [frame.kind for frame in caller.open(answered)]
    assert kinds[0] == 0x02
    assert 0x0C in kinds


@pytest.mark.parametrize("number", range(4))
def test_each_documented_packet_carries_a_right_header(number: int) -> None:
    packet = documented()[number]
    assert packet == by_hand.with_crc(packet)
    assert int.from_bytes(packet[2:4], "big") == len(packet) - HEADER
    assert packet[0] == (by_hand.INIT, ACCEPT, DATA, DATA)[number]


def test_frames_by_hand_are_read_back() -> None:
    assert [frame.kind for frame in frames(PING + ack(7) + stream(4, 9, b"x"))] == [1, 2, 0x20]


if __name__ == "__main__":
    for name, packet in zip(NAMES, speak(), strict=True):
        print(f"### {name}\n\n```\n{shown(packet)}\n```\n")
