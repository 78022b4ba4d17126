"""The published Noise handshakes, message by message, through the handshake that sessions use."""

from __future__ import annotations

import json
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from repram.errors import IntegrityFailure, LocalError
from repram.proto.primitives import Noise, Pattern, dh_public

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "noise.json").read_text())
Handshake = dict[str, Any]
HANDSHAKE_MESSAGES = {Pattern.IK: 2, Pattern.IKPSK2: 2, Pattern.XX: 3, Pattern.XXPSK3: 3}
SMALL_ORDER = (  # public keys whose product with any private key is all zero
    bytes(32),
    b"\1" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
)

published = pytest.mark.parametrize(
    "handshake", VECTORS["handshakes"], ids=lambda each: each["name"]
)


def pattern_of(handshake: Handshake) -> Pattern:
    return Pattern[handshake["name"].split("_")[1].upper()]


def side(handshake: Handshake, role: str, **changed: bytes | None) -> Noise:
    """One side of a published handshake."""
    keys, responder = handshake[role], handshake["responder"]
    setup: dict[str, Any] = {
        "initiator": role == "initiator",
        "prologue": bytes.fromhex(handshake["prologue"]),
        "static": bytes.fromhex(keys["static"]),
        "ephemeral": bytes.fromhex(keys["ephemeral"]),
    }
    if role == "initiator" and "public" in responder:
        setup["remote_static"] = bytes.fromhex(responder["public"])
    if "psk" in handshake:
        setup["psk"] = bytes.fromhex(handshake["psk"])
    return Noise(pattern_of(handshake), **setup | changed)


def messages(handshake: Handshake) -> list[tuple[bytes, bytes]]:
    return [
        (bytes.fromhex(plain), bytes.fromhex(sealed)) for plain, sealed in handshake["messages"]
    ]


def meet(handshake: Handshake, **changed: bytes | None) -> tuple[Noise, Noise]:
    """Both sides, after all messages of the handshake."""
    initiator, responder = side(handshake, "initiator"), side(handshake, "responder", **changed)
    turns = cycle([(initiator, responder), (responder, initiator)])
    for (payload, _), (writer, reader) in zip(handshake_messages(handshake), turns, strict=False):
        assert reader.read(writer.write(payload)) == payload
    return initiator, responder


def handshake_messages(handshake: Handshake) -> list[tuple[bytes, bytes]]:
    return messages(handshake)[: HANDSHAKE_MESSAGES[pattern_of(handshake)]]


def transport_nonce(number: int) -> bytes:
    return bytes(4) + number.to_bytes(8, "little")


@published
def test_every_message_is_the_published_one(handshake: Handshake) -> None:
    initiator, responder = side(handshake, "initiator"), side(handshake, "responder")
    turns = cycle([(initiator, responder), (responder, initiator)])
    for (payload, sealed), (writer, reader) in zip(
        handshake_messages(handshake), turns, strict=False
    ):
        assert writer.write(payload) == sealed
        assert reader.read(sealed) == payload


@published
def test_both_sides_end_with_the_published_hash_and_with_each_others_keys(
    handshake: Handshake,
) -> None:
    initiator, responder = meet(handshake)
    send, receive, digest = initiator.finish()
    assert responder.finish() == (receive, send, digest)
    assert digest.hex() == handshake["hash"]
    assert send != receive


@published
def test_the_keys_open_the_published_transport_messages(handshake: Handshake) -> None:
    initiator, responder = meet(handshake)
    count = HANDSHAKE_MESSAGES[pattern_of(handshake)]
    sealers = {0: initiator.finish()[0], 1: responder.finish()[0]}
    sent = {0: 0, 1: 0}
    for index, (payload, sealed) in enumerate(messages(handshake)[count:], start=count):
        role = index % 2  # the sides go on taking turns
        cipher, nonce = ChaCha20Poly1305(sealers[role]), transport_nonce(sent[role])
        assert cipher.encrypt(nonce, payload, b"") == sealed
        sent[role] += 1
    assert sum(sent.values()) == len(messages(handshake)) - count > 0


@published
def test_a_flipped_bit_is_refused_by_whoever_can_notice_it(handshake: Handshake) -> None:
    """An unsealed first message is noticed at the next one: everything is in the hash."""
    for bad in range(len(handshake_messages(handshake))):
        for position in range(len(handshake_messages(handshake)[bad][1])):
            assert not survives(handshake, bad, position)


def survives(handshake: Handshake, bad: int, position: int) -> bool:
    """Whether both sides finish alike although one byte of one message was changed on the way."""
    initiator, responder = side(handshake, "initiator"), side(handshake, "responder")
    turns = cycle([(initiator, responder), (responder, initiator)])
    for index, ((payload, _), (writer, reader)) in enumerate(
        zip(handshake_messages(handshake), turns, strict=False)
    ):
        message = bytearray(writer.write(payload))
        if index == bad:
            message[position] ^= 1 << position % 8
        try:
            reader.read(bytes(message))
        except IntegrityFailure:
            return False
    return initiator.finish()[2] == responder.finish()[2]


@published
def test_every_shortened_message_is_refused(handshake: Handshake) -> None:
    reader = side(handshake, "responder")
    first = handshake_messages(handshake)[0][1]
    with pytest.raises(IntegrityFailure):
        reader.read(first[:31])
    initiator, responder = side(handshake, "initiator"), side(handshake, "responder")
    responder.read(initiator.write(b""))
    second = responder.write(b"")
    for length in range(len(second)):
        with pytest.raises(IntegrityFailure):
            side_after_first(handshake).read(second[:length])


def side_after_first(handshake: Handshake) -> Noise:
    initiator = side(handshake, "initiator")
    initiator.write(b"")
    return initiator


@published
def test_another_prologue_is_refused(handshake: Handshake) -> None:
    with pytest.raises(IntegrityFailure):
        meet(handshake, prologue=b"Cowbell")


@pytest.mark.parametrize(
    "handshake",
    [each for each in VECTORS["handshakes"] if "psk" in each],
    ids=lambda each: each["name"],
)
def test_another_psk_is_refused_and_a_missing_one_is_a_callers_mistake(
    handshake: Handshake,
) -> None:
    with pytest.raises(IntegrityFailure):
        meet(handshake, psk=bytes(32))
    with pytest.raises(LocalError):
        meet(handshake, psk=None)


@pytest.mark.parametrize("point", SMALL_ORDER, ids=lambda each: each.hex()[:8])
@published
def test_an_ephemeral_key_that_gives_an_all_zero_secret_is_refused(
    handshake: Handshake, point: bytes
) -> None:
    responder = side(handshake, "responder")

    def hear_and_answer() -> None:
        responder.read(point + handshake_messages(handshake)[0][1][32:])
        responder.write(b"")  # plain XX multiplies with it here first

    with pytest.raises(IntegrityFailure):
        hear_and_answer()


def test_ik_without_the_responders_key_is_a_callers_mistake() -> None:
    with pytest.raises(LocalError):
        Noise(Pattern.IK, initiator=True, prologue=b"", static=bytes(32), ephemeral=bytes(32))


def test_a_step_out_of_turn_is_a_callers_mistake() -> None:
    handshake = VECTORS["handshakes"][0]
    with pytest.raises(LocalError):
        side(handshake, "responder").write(b"")
    with pytest.raises(LocalError):
        side(handshake, "initiator").read(bytes(96))
    with pytest.raises(LocalError):
        side(handshake, "initiator").finish()
    initiator, _ = meet(handshake)
    with pytest.raises(LocalError):
        initiator.write(b"")


@published
def test_the_published_static_keys_are_pairs(handshake: Handshake) -> None:
    responder = handshake["responder"]
    if "public" in responder:
        assert dh_public(bytes.fromhex(responder["static"])).hex() == responder["public"]
