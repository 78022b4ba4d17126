"""The gate: who may do what, who asks how often, and when the clock says no."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from repram.errors import Busy, ClockRefused, Full, NotAllowed, RateLimited
from repram.ids import to_base64url
from repram.proto.endpoint import Session
from repram.storaged.access.denied import Denial
from repram.storaged.access.gate import ANYONE, Gate, Right
from repram.storaged.access.keeper import Keeper, Terms
from repram.storaged.clock import Clock, Mark, Reading

EVERYTHING = [Right.READ, Right.STORE, Right.OWN]


@dataclass
class Peer:
    """What a gate sees of a session."""

    secret_id: bytes | None = None
    peer_key: bytes | None = None
    address: tuple[str, int] = ("192.0.2.1", 4000)
    held_back: bool = False

    def __call__(self) -> Session:
        return cast(Session, self)

    def hold_back(self, on: bool = True) -> None:
        self.held_back = on


@dataclass
class Times:
    wall: int = 1_800_000_000_000
    boot: int = 0
    seconds: float = 0.0

    def reading(self, *, synchronised: bool = True) -> Reading:
        return Reading(self.wall, self.boot, b"boot", synchronised)


STRANGER = Peer()()


@pytest.fixture
def times() -> Times:
    return Times()


@pytest.fixture
def clock(times: Times) -> Clock:
    return Clock(lambda: times.boot, times.reading(), None)


def keeper(clock: Clock, times: Times, terms: Terms, folder: Path | None = None) -> Keeper:
    entropy = random.Random(5).randbytes
    return Keeper(terms, clock, folder=folder, entropy=entropy, time=lambda: times.seconds)


def bearer(gate: Keeper, *, write_only: bool = False, quota: int = 0) -> tuple[bytes, Session]:
    invite = gate.invites.grant(name="", write_only=write_only, quota=quota, now=0)
    return invite.id, Peer(secret_id=invite.id)()


def allowed(gate: Gate, session: Session) -> set[Right]:
    rights = set()
    for right in EVERYTHING:
        try:
            gate.admit(session, right)
        except NotAllowed:
            continue
        rights.add(right)
    return rights


def test_a_closed_node_lets_strangers_read_and_no_more(clock: Clock, times: Times) -> None:
    gate = keeper(clock, times, Terms())
    assert allowed(gate, STRANGER) == {Right.READ, Right.OWN}
    assert gate.rights(STRANGER) == (False, True)


def test_a_public_node_takes_from_anyone(clock: Clock, times: Times) -> None:
    gate = keeper(clock, times, Terms(public=True))
    assert allowed(gate, STRANGER) == set(EVERYTHING)
    assert gate.admit(STRANGER, Right.STORE) == ANYONE


def test_an_invite_opens_and_is_charged(clock: Clock, times: Times) -> None:
    gate = keeper(clock, times, Terms())
    id_, session = bearer(gate)
    assert allowed(gate, session) == set(EVERYTHING)
    assert gate.admit(session, Right.STORE) == id_


def test_a_write_only_invite_reads_nothing(clock: Clock, times: Times) -> None:
    for public in (False, True):
        gate = keeper(clock, times, Terms(public=public))
        _, session = bearer(gate, write_only=True)
        assert allowed(gate, session) == {Right.STORE}
        assert gate.rights(session) == (True, False)


def test_a_revoked_invite_closes_open_sessions_too(clock: Clock, times: Times) -> None:
    gate = keeper(clock, times, Terms(public=True))
    id_, session = bearer(gate)
    gate.invites.revoke(to_base64url(id_))
    assert allowed(gate, session) == set()


def test_quotas_count_by_invite_and_are_given_back(clock: Clock, times: Times) -> None:
    gate = keeper(clock, times, Terms())
    id_, session = bearer(gate, quota=100)
    other, _ = bearer(gate)
    gate.charge(id_, b"", 60)
    gate.charge(other, b"", 1_000)
    with pytest.raises(Full, match="100 B"):
        gate.charge(id_, b"", 41)
    gate.charge(id_, b"", 40)
    assert gate.quota(session) == (100, 100)
    gate.refund(id_, b"", 60)
    gate.charge(id_, b"", 60)


def test_quotas_count_by_owner_whatever_the_invite(clock: Clock, times: Times) -> None:
    gate = keeper(clock, times, Terms(owner_quota=100))
    one, _ = bearer(gate)
    other, _ = bearer(gate)
    gate.charge(one, b"owner", 60)
    with pytest.raises(Full):
        gate.charge(other, b"owner", 41)
    gate.charge(other, b"another owner", 100)
    assert gate.quotas.used_by(other) == 100  # what was refused counts against neither


def test_keys_that_anyone_makes_share_one_quota(clock: Clock, times: Times) -> None:
    gate = keeper(clock, times, Terms(public=True, public_quota=100))
    for number in range(10):
        gate.charge(ANYONE, b"key %d" % number, 10)
    with pytest.raises(Full):
        gate.charge(ANYONE, b"one key more", 1)


def test_what_was_held_before_a_restart_is_counted_past_any_limit(
    clock: Clock, times: Times
) -> None:
    gate = keeper(clock, times, Terms(public_quota=100))
    gate.recount(ANYONE, b"owner", 150)
    with pytest.raises(Full):
        gate.charge(ANYONE, b"", 1)
    gate.refund(ANYONE, b"owner", 150)
    gate.charge(ANYONE, b"", 100)


def test_who_asks_too_often_waits(clock: Clock, times: Times) -> None:
    gate = keeper(clock, times, Terms(rate=10, burst=20))
    for _ in range(20):
        gate.admit(STRANGER, Right.READ)
    with pytest.raises(RateLimited):
        gate.admit(STRANGER, Right.READ)
    times.seconds += 0.1
    gate.admit(STRANGER, Right.READ)
    with pytest.raises(RateLimited):
        gate.admit(STRANGER, Right.READ)


def test_who_is_to_blame_asks_less_often(clock: Clock, times: Times) -> None:
    gate = keeper(clock, times, Terms(rate=10, burst=20))
    _, friend = bearer(gate)
    for session in (STRANGER, friend):
        gate.admit(session, Right.READ)
    for _ in range(10):
        gate.blame(STRANGER)
    with pytest.raises(RateLimited):
        gate.admit(STRANGER, Right.READ)
    gate.admit(friend, Right.READ)
    times.seconds += 0.2  # nineteen there were, and twenty are gone
    gate.admit(STRANGER, Right.READ)


def test_who_is_refused_is_held_back_until_it_is_served_again(clock: Clock, times: Times) -> None:
    gate, peer = keeper(clock, times, Terms(rate=10, burst=1)), Peer()
    gate.admit(peer(), Right.READ)
    held_back = [peer.held_back]
    with pytest.raises(RateLimited):
        gate.admit(peer(), Right.READ)
    held_back.append(peer.held_back)
    times.seconds += 0.1
    gate.admit(peer(), Right.READ)
    held_back.append(peer.held_back)
    assert held_back == [False, True, False]


def test_a_self_made_key_earns_no_bucket(clock: Clock, times: Times) -> None:
    gate = keeper(clock, times, Terms(rate=10, burst=20))
    for number in range(20):
        gate.admit(Peer(peer_key=b"key %d" % number)(), Right.READ)
    with pytest.raises(RateLimited):
        gate.admit(Peer(peer_key=b"one key more")(), Right.READ)


def test_an_invite_has_a_bucket_of_its_own_wherever_its_bearer_is(
    clock: Clock, times: Times
) -> None:
    gate = keeper(clock, times, Terms(rate=10, burst=2))
    id_, _ = bearer(gate)
    gate.admit(STRANGER, Right.READ)
    gate.admit(STRANGER, Right.READ)
    gate.admit(Peer(id_)(), Right.READ)
    gate.admit(Peer(id_, address=("198.51.100.1", 1))(), Right.READ)
    with pytest.raises(RateLimited):
        gate.admit(Peer(id_, address=("203.0.113.1", 1))(), Right.READ)


def test_nodes_of_the_network_and_clients_do_not_share_buckets(clock: Clock, times: Times) -> None:
    gate = keeper(clock, times, Terms(rate=10, burst=1))
    gate.node_keys.add(b"a node")
    gate.admit(STRANGER, Right.READ)
    gate.admit(Peer(peer_key=b"a node")(), Right.READ)
    with pytest.raises(RateLimited):
        gate.admit(Peer(peer_key=b"a node")(), Right.READ)


def test_an_unsettled_clock_serves_nobody(times: Times) -> None:
    mark = Mark(times.wall, 0, b"another boot")
    clock = Clock(lambda: times.boot, times.reading(synchronised=False), mark)
    gate = keeper(clock, times, Terms(public=True))
    for right in EVERYTHING:
        with pytest.raises(ClockRefused):
            gate.admit(STRANGER, right)
    clock.accept(times.reading())
    assert allowed(gate, STRANGER) == set(EVERYTHING)


def test_past_two_seconds_of_offset_it_serves_and_takes_nothing(clock: Clock, times: Times) -> None:
    gate = keeper(clock, times, Terms(public=True))
    times.wall += 2_001
    clock.check(times.reading())
    gate.admit(STRANGER, Right.READ)
    with pytest.raises(ClockRefused):
        gate.admit(STRANGER, Right.STORE)


def test_a_node_that_is_emptied_takes_nothing_new(clock: Clock, times: Times) -> None:
    gate = keeper(clock, times, Terms(public=True))
    gate.draining = True
    gate.admit(STRANGER, Right.READ)
    with pytest.raises(Busy):
        gate.admit(STRANGER, Right.STORE)


def test_invites_and_denials_outlive_the_node(clock: Clock, times: Times, tmp_path: Path) -> None:
    gate = keeper(clock, times, Terms(), tmp_path)
    id_, session = bearer(gate)
    gate.denied.add(Denial("item", bytes(32), "spam"))
    again = keeper(clock, times, Terms(), tmp_path)
    assert again.admit(session, Right.STORE) == id_
    with pytest.raises(NotAllowed, match="does not want"):
        again.refuse_denied(bytes(32), b"")
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
