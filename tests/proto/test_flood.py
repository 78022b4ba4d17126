"""A flood of callers from forged sources costs an honest one little. How little is measured by flood.py."""

import tempfile
from pathlib import Path

from repram.proto.connection import Settings
from tests.namespaces import needs_namespaces, network
from tests.processes import resident
from tests.proto import flood
from tests.proto.by_hand import INIT_SIZE, Talk
from tests.proto.called import node
from tests.proto.duo import CLIENT, SERVER, Duo

NOW = 1_000_000
SECOND = 1_000_000
RETRY = 2


@needs_namespaces
def test_an_honest_caller_gets_through_and_memory_stays() -> None:
    with network() as net, tempfile.TemporaryDirectory() as folder:
        flooded = flood.Flooded(net, Path(folder))
        with flooded.node() as (address, process):
            flooded.handshake(address)  # without a flood
            before, (came, went) = resident(process), flooded.traffic()
            with flooded.flood(flood.PORT, 3, rate=20_000) as under_way:
                while under_way.poll() is None:
                    flooded.handshake(address)
            assert resident(process) - before < 16 << 20
            now_came, now_went = flooded.traffic()
            assert now_came - came > 100 * INIT_SIZE
            assert now_went - went < 3 * (now_came - came)


def broken(talk: Talk, number: int) -> bytes:
    """A caller who costs public-key work and leaves nothing behind: only its mac1 is right."""
    init = talk.caller.init()
    return talk.caller.with_mac1(init[:60] + number.to_bytes(4, "big") + init[64:])


def kinds(answers: list[bytes]) -> set[int]:
    return {answer[0] & 0x0F for answer in answers}


def test_callers_who_only_cost_work_are_asked_to_prove_their_address() -> None:
    talk = Talk(node(cookie_after=50, handshake_rate=0), NOW)
    worked = [talk.tell(broken(talk, number)) for number in range(200)]
    assert worked.count([]) == 50
    assert all(kinds(answers) == {RETRY} for answers in worked[50:])
    talk.now += SECOND
    assert talk.tell(broken(talk, 999)) == []


def test_every_caller_of_a_crowd_is_asked() -> None:
    talk = Talk(node(cookie_after=0), NOW)
    for first in range(0, 400, 100):
        assert len(talk.tell(*(broken(talk, first + number) for number in range(100)))) == 100


def test_who_forges_an_address_keeps_its_owner_out_of_nothing() -> None:
    duo = Duo(server_settings=Settings(handshake_rate=10))
    forger = Talk(duo.server, duo.now)
    for number in range(500):
        forger.tell(broken(forger, number), source=CLIENT)
    mine, theirs = duo.connect()
    assert duo.transfer(mine, theirs, b"through") == b"through"
    assert duo.client.counters()["retries_in"] == 1
    assert duo.server.counters()["handshakes_limited"] == 0


def test_a_source_that_has_proved_itself_may_call_only_so_often() -> None:
    duo = Duo(server_settings=Settings(cookie_after=0, handshake_rate=5))
    for _ in range(30):
        duo.client.connect(SERVER, duo.server.key, duo.now)
    duo.run(0.1)
    counters = duo.server.counters()
    assert counters["handshakes_completed"] == 20  # four seconds' worth
    assert counters["handshakes_limited"] == 10
    duo.run(5)  # those that were refused ask again
    assert duo.server.counters()["handshakes_completed"] == 30


def test_addresses_of_one_network_are_one_source() -> None:
    core = node(handshake_rate=1, cookie_after=1000)
    talk = Talk(core, NOW)
    asked = [
        kinds(talk.tell(broken(talk, number), source=(f"2001:db8::{number + 1:x}", 99)))
        for number in range(10)
    ]
    assert asked == [set()] * 4 + [{RETRY}] * 6
    assert talk.tell(broken(talk, 77), source=("2001:db8:0:1::1", 99)) == []
