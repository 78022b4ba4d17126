"""The account in its file, and the agent that holds its identity for a while: a real process."""

from __future__ import annotations

import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from repram.crypto import identity, passwords
from repram.crypto.people import Person, box_to
from repram.crypto.recovery import RecoveryKey
from repram.errors import Conflict, IntegrityFailure, NotFound, UsageError, WrongPassword
from repram.sdk.account import Account
from repram.sdk.agent import MESSAGE_MAX, Agent, NoAgentError, Outcome, Verb, peer_uid
from tests.conftest import Run

SECRET = b"s" * 32
NOBODY = 65_534
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root becomes another user")


@pytest.fixture(autouse=True)
def cheap() -> Iterator[None]:
    with passwords.cheap_for_tests():
        yield


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Short, because the path of a socket is; where other users may look in."""
    path = Path(tempfile.mkdtemp(prefix="repram-"))
    path.chmod(0o755)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(path))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def mine(folder: Path) -> Iterator[Account]:
    account = Account(folder / "state")
    account.create("password")
    yield account
    account.agent().lock()


@pytest.fixture
def agent(mine: Account) -> Agent:
    made = mine.agent()
    made.start(mine.open("password"), 3_600_000)
    return made


def process_of(agent: Agent) -> int:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(str(agent.path))
        peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(peer[:4], sys.byteorder)


def wait_until_gone(process: int) -> None:
    watched = os.pidfd_open(process)
    try:
        assert select.select([watched], [], [], 30)[0]
    finally:
        os.close(watched)


def packet(agent: Agent, request: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(30)
        connection.connect(str(agent.path))
        connection.send(request)
        return connection.recv(1 << 16)


def test_an_account_is_one_file_for_its_owner_alone(mine: Account) -> None:
    assert mine.path.stat().st_mode & 0o777 == 0o600
    assert mine.open("password") not in mine.path.read_bytes()
    assert Account(mine.path.parent).person() == mine.person()
    before = mine.path.read_bytes()
    with pytest.raises(Conflict, match="an account here already"):
        mine.create("another")
    assert mine.path.read_bytes() == before


def test_without_one_there_is_nobody(tmp_path: Path) -> None:
    account = Account(tmp_path)
    assert not account.exists()
    with pytest.raises(NotFound, match="no account"):
        account.person()


def test_a_damaged_file_is_told_and_left(folder: Path) -> None:
    account = Account(folder)
    account.create("password")
    for text in ('{"keystore": "AAAA"}', '{"keystore": "!"}', f'{{"keystore": "{"A" * 508}"}}'):
        account.path.write_text(text)
        with pytest.raises(IntegrityFailure, match="damaged"):
            account.person()
        assert account.path.read_text() == text
    account.path.write_text('{"keystore": "' + "A" * 10_000 + '"}')
    with pytest.raises(UsageError, match="damaged"):
        account.person()


def test_a_forgotten_password_is_replaced_by_who_has_the_recovery_key(folder: Path) -> None:
    account = Account(folder)
    recovery = account.create("password")
    seed = account.open("password")
    assert account.open_with(recovery) == seed
    assert account.change_password(account.open_with(recovery), "new") is None
    assert account.open("new") == account.open_with(recovery) == seed
    with pytest.raises(WrongPassword):
        account.open("password")
    renewed = account.change_password(seed, "newer", renew_recovery=True)
    assert renewed is not None
    assert account.open_with(renewed) == seed
    with pytest.raises(WrongPassword):
        account.open_with(recovery)
    with pytest.raises(Conflict, match="another program"):
        account.change_password(bytes(32), "new")


def test_an_agent_signs_and_opens_until_it_is_locked(mine: Account, agent: Agent) -> None:
    assert 3_500_000 < (agent.remaining() or 0) <= 3_600_000
    identity.verify(mine.person().key, b"message", agent.sign(b"message"))
    assert agent.unbox(box_to(mine.person(), SECRET)) == SECRET
    assert agent.unbox(box_to(Person(identity.public_key(bytes(32))), SECRET)) is None
    process = process_of(agent)
    assert agent.lock()
    wait_until_gone(process)
    assert not agent.path.exists()
    assert (agent.remaining(), agent.lock()) == (None, False)
    for ask in (agent.sign, agent.unbox):
        with pytest.raises(NoAgentError):
            ask(b"")


def test_it_forgets_when_its_time_is_over_whoever_stalls_it(mine: Account) -> None:
    agent = mine.agent()
    agent.start(mine.open("password"), 1_000)
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stalling:
        process = process_of(agent)
        stalling.connect(str(agent.path))
        wait_until_gone(process)
    assert agent.remaining() is None
    assert not agent.path.exists()


def test_the_next_one_takes_its_place(mine: Account, agent: Agent) -> None:
    first = process_of(agent)
    agent.start(mine.open("password"), 60_000)
    wait_until_gone(first)
    assert (agent.remaining() or 0) <= 60_000
    assert process_of(agent) != first


def test_what_is_no_request_is_refused_and_the_next_is_served(agent: Agent) -> None:
    packet(agent, b"")  # looks like an end, and gets no answer or a refusal
    for verb, body in (
        (0, b""),
        (5, b""),
        (Verb.PUBLIC, b"x"),
        (Verb.LOCK, b"x"),
        (Verb.SIGN, bytes(MESSAGE_MAX + 1)),
        (Verb.SIGN, bytes(1 << 15)),
    ):
        assert packet(agent, bytes([verb]) + body) == bytes([Outcome.REFUSED])
    assert packet(agent, bytes([Verb.UNBOX]) + bytes(81)) == bytes([Outcome.NOT_OURS])
    assert agent.remaining()


@as_root
def test_another_user_is_kept_out_by_the_socket_and_refused_by_the_agent(agent: Agent) -> None:
    code = (
        "import socket, sys\n"
        "with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:\n"
        "    try: s.connect(sys.argv[1])\n"
        "    except PermissionError: sys.exit(13)\n"
        "    s.send(bytes([int(sys.argv[2])]))\n"
        "    sys.exit(s.recv(100)[0])"
    )

    def as_nobody(verb: Verb) -> int:
        command = ["/usr/bin/env", "python3", "-c", code, str(agent.path), str(int(verb))]
        return subprocess.run(command, check=False, user=NOBODY, timeout=30).returncode

    agent.path.parent.chmod(0o755)
    assert as_nobody(Verb.PUBLIC) == 13
    agent.path.chmod(0o666)
    assert as_nobody(Verb.PUBLIC) == as_nobody(Verb.LOCK) == Outcome.REFUSED
    assert agent.remaining()


@as_root
def test_the_key_stands_in_one_locked_page_of_the_agents_memory(
    mine: Account, agent: Agent
) -> None:
    seed, process = mine.open("password"), process_of(agent)
    agent.sign(b"message")
    agent.unbox(box_to(mine.person(), SECRET))
    found = set(pages_with(seed, process))
    assert len(found) == 1
    limits = Path(f"/proc/{process}/limits").read_text()
    assert "Max core file size        0                    0" in limits


def test_no_other_program_of_its_user_may_look_into_its_memory() -> None:
    code = (
        "import ctypes; from repram.sdk import holding; holding._keep_out_of_sight();"
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"  # PR_GET_DUMPABLE
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE)
    assert done.stdout == b"0\n"


def pages_with(needle: bytes, process: int) -> Iterator[int]:
    with Path(f"/proc/{process}/mem").open("rb") as memory:
        for line in Path(f"/proc/{process}/maps").read_text().splitlines():
            span, rights, *_ = line.split()
            start, end = (int(each, 16) for each in span.split("-"))
            if not rights.startswith("rw"):
                continue
            memory.seek(start)
            data = memory.read(end - start)
            at = data.find(needle)
            while at >= 0:
                yield (start + at) // 4096
                at = data.find(needle, at + 1)


def test_nothing_secret_is_in_its_arguments_or_its_environment(
    mine: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPRAM_PASSWORD", "password")
    agent, seed = mine.agent(), mine.open("password")
    agent.start(seed, 60_000)
    process = Path("/proc", str(process_of(agent)))
    seen = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    assert str(agent.path).encode() in seen
    for secret in (b"REPRAM_PASSWORD", seed, seed.hex().encode()):
        assert secret not in seen


def test_a_socket_of_another_user_or_of_a_dead_agent_is_no_agent(mine: Account) -> None:
    agent = mine.agent()
    agent.path.parent.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as dead:
        dead.bind(str(agent.path))
    assert agent.remaining() is None
    agent.start(mine.open("password"), 60_000)
    assert agent.remaining()


def test_boxes_open_through_the_agent_without_a_password(
    mine: Account, agent: Agent, run: Run[Any]
) -> None:
    unbox = mine.unboxer()
    assert run(unbox(box_to(mine.person(), SECRET))) == SECRET
    assert run(unbox(bytes(80))) is None


def test_without_an_agent_the_password_is_asked_for_once(mine: Account, run: Run[Any]) -> None:
    asked: list[bool] = []

    async def ask(wrong_before: bool) -> str | None:
        asked.append(wrong_before)
        return "password" if wrong_before else "wrong"

    unbox = mine.unboxer(ask)
    assert run(unbox(box_to(mine.person(), SECRET))) == SECRET
    assert run(unbox(bytes(80))) is None
    assert asked == [False, True]


def test_three_wrong_passwords_are_enough_and_none_is_a_locked_account(
    mine: Account, run: Run[Any], tmp_path: Path
) -> None:
    async def wrong(_before: bool) -> str | None:
        return "wrong"

    async def none(_before: bool) -> str | None:
        return None

    box = box_to(mine.person(), SECRET)
    with pytest.raises(WrongPassword):
        run(mine.unboxer(wrong)(box))
    for ask in (none, None):
        with pytest.raises(NoAgentError, match="locked"):
            run(mine.unboxer(ask)(box))
    assert run(Account(tmp_path).unboxer(wrong)(box)) is None


def test_a_peers_user_is_what_the_kernel_says() -> None:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, other:
        assert peer_uid(one) == os.getuid()


def test_two_recovery_keys_are_never_the_same() -> None:
    assert RecoveryKey.new() != RecoveryKey.new()
