"""The reader of what stands in the clear takes every kind of datagram that there is, and no other."""

from __future__ import annotations

import pytest

from repram.proto.connection import Secret, Settings
from repram.proto.primitives import Pattern
from tests.proto.by_hand import (
    ACCEPT,
    DATA,
    HERE,
    INIT,
    REFUSED,
    RESET,
    RETRY,
    VERSION,
    ByHand,
    Talk,
    datagram,
    with_crc,
)
from tests.proto.duo import SERVER, Duo
from tests.proto.in_clear import check, split
from tests.proto.live import STRANGER
from tests.proto.test_golden import documented

SECRETS = {
    Pattern.IKPSK2: Secret(b"invite..", b"v" * 32),
    Pattern.XXPSK3: Secret(bytes(8), b"p" * 32),
}


def answer(duo: Duo, said: bytes) -> bytes:
    """What the server says to a stranger."""
    (answered,) = Talk(duo.server, duo.now).tell(said, source=HERE)
    return answered


def one_of_each() -> dict[int, bytes]:
    """A datagram of every type."""
    duo = Duo()
    busy = Duo(server_settings=Settings(cookie_after=0))
    caller = ByHand(duo.server.key)
    init, accept, data, _ = documented()
    return {
        INIT: init,
        ACCEPT: accept,
        DATA: data,
        RETRY: answer(busy, ByHand(busy.server.key).init()),
        REFUSED: answer(duo, ByHand(STRANGER).init()),
        VERSION: answer(duo, caller.init(version=2)),
        RESET: answer(duo, datagram(DATA, bytes(100), session=9)),
    }


@pytest.mark.parametrize("kind", range(1, 8))
def test_each_type_is_read_and_none_of_another_size(kind: int) -> None:
    data = one_of_each()[kind]
    assert check(data) == kind
    assert list(split(data * 3)) == [data] * 3
    for at in (*range(4), *range(16, 20)):
        with pytest.raises(ValueError, match=r"short|crc|length|type|flags"):
            check(data[:at] + bytes([data[at] ^ 0xF0]) + data[at + 1 :])
    if kind not in (DATA, ACCEPT):
        longer = with_crc(data[:2] + (len(data) - 19).to_bytes(2) + data[4:] + b"x")
        with pytest.raises(ValueError, match=r"bytes in type|padding"):
            check(longer)


@pytest.mark.parametrize("pattern", Pattern)
def test_every_pattern_is_read(pattern: Pattern) -> None:
    duo = Duo(settings=Settings(patterns=tuple(Pattern)))
    secret = SECRETS.get(pattern)
    if secret:
        duo.server.add_secret(secret)
    known = duo.server.key if pattern in {Pattern.IK, Pattern.IKPSK2} else None
    duo.client.connect(SERVER, known, duo.now, pattern=pattern, secret=secret)
    duo.run(1)
    assert {check(each) for each, _, _ in duo.captured} == {INIT, ACCEPT, DATA}
