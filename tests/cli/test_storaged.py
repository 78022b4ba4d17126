"""`repram storaged …` as people type it: real nodes in processes of their own."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from repram.crypto.links import Invite
from repram.ids import NodeAddress
from tests.processes import repram


class Kept:
    """A node in the background, on a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, verb: str, *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
        verbs = verb.split()
        return repram(
            "storaged",
            *verbs,
            "--folder",
            self.folder,
            *arguments,
        )

    def said(self, verb: str, *arguments: str | Path) -> str:
        done = self(verb, *arguments)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    def start(self, *arguments: str) -> str:
        return self.said("start", "--listen", "127.0.0.1:0", *arguments)

    def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.said("status", "--json"))
        return answer

    def kill(self) -> None:
        watched = os.pidfd_open(self.status()["pid"])
        signal.pidfd_send_signal(watched, signal.SIGKILL)
        assert ended(watched, within=30)


def ended(process: int, within: float = 0) -> bool:
    """Whether the process of this descriptor has ended; who adopts it may not have noticed."""
    ready, _, _ = select.select([process], [], [], within)
    os.close(process)
    return bool(ready)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    node = Kept(tmp_path / "node")
    yield node
    node("stop")


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """One that tests share."""
    node = Kept(tmp_path_factory.mktemp("public"))
    node.start("--public")
    yield node
    node("stop")


def test_a_node_starts_says_how_it_is_and_stops(kept: Kept) -> None:
    address = kept.start()
    assert str(NodeAddress.parse(address)) == address
    assert kept.said("address") == address
    status = kept.status()
    assert (status["state"], status["tier"], status["items"]) == ("serving", "memory", 0)
    assert (status["public"], status["invites"], status["clock"]["settled"]) == (False, 0, True)
    assert "0 items" in kept.said("status")
    process = os.pidfd_open(status["pid"])
    kept.said("stop")
    assert ended(process)
    done = kept("status")
    assert (done.returncode, done.stdout) == (11, b"")
    assert b"no node runs here" in done.stderr


def test_a_closed_node_says_how_to_invite_and_lets_only_the_invited_store(kept: Kept) -> None:
    done = kept("start", "--listen", "127.0.0.1:0")
    assert b"storaged invite" in done.stderr
    address = done.stdout.decode().strip()
    refused = repram("upload", "-", "--host", address, stdin=b"x")
    assert refused.returncode == 12
    assert b"invite" in refused.stderr
    invite = Invite.parse(kept.said("invite", "--name", "laptop", "--quota", "5MiB"))
    assert str(invite.node) == address
    row = json.loads(kept.said("invite", "--ls", "--json"))
    assert (row["name"], row["quota"], row["used"]) == ("laptop", 5 << 20, 0)
    assert str(invite)[-70:-60] not in json.dumps(row)
    kept.said("invite", "--revoke", "laptop")
    assert kept.said("invite", "--ls") == ""
    assert kept("invite", "--revoke", "laptop").returncode == 10


def test_killed_and_started_again_it_has_its_address_and_its_invites(kept: Kept) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    assert kept("init", "--listen", listen).returncode == 2  # init names its folder plainly
    repram("storaged", "init", kept.folder, "--listen", listen, "--metrics", "")
    address = kept.said("start")
    kept.said("invite", "--name", "laptop")
    kept.kill()
    assert kept.said("start") == address
    assert "laptop" in kept.said("invite", "--ls")


def test_a_node_on_disk_that_is_killed_has_all_it_acknowledged(kept: Kept) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    repram(
        *("storaged", "init", kept.folder, "--disk", "store", "--public"),
        *("--listen", listen, "--metrics", ""),
    )
    address = kept.said("start")
    sent = repram("upload", "-", "-q", "--host", address, stdin=b"content")
    assert sent.returncode == 0
    kept.kill()
    assert kept.said("start") == address
    assert kept.status()["tier"] == "disk"
    got = repram("download", sent.stdout.decode().strip(), "-o", "-")
    assert (got.returncode, got.stdout) == (0, b"content")


def test_a_node_in_memory_with_a_snapshot_has_after_a_restart_what_it_held(kept: Kept) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    repram(
        *("storaged", "init", kept.folder, "--snapshot", "snapshot", "--public"),
        *("--listen", listen, "--metrics", ""),
    )
    address = kept.said("start")
    sent = repram("upload", "-", "-q", "--host", address, stdin=b"content")
    assert sent.returncode == 0
    kept.said("stop")
    assert b"content" not in (kept.folder / "snapshot").read_bytes()
    assert kept.said("start") == address
    assert kept.status()["tier"] == "memory"
    got = repram("download", sent.stdout.decode().strip(), "-o", "-")
    assert (got.returncode, got.stdout) == (0, b"content")


def test_a_node_in_the_background_has_no_password_of_its_starter(kept: Kept) -> None:
    repram(
        *("storaged", "start", "--folder", kept.folder, "--listen", "127.0.0.1:0"),
        REPRAM_PASSWORD="canary",
        REPRAM_PROFILE="kept",
    )
    environment = Path(f"/proc/{kept.status()['pid']}/environ").read_bytes()
    assert b"canary" not in environment
    assert b"REPRAM_PROFILE=kept" in environment


def test_a_second_node_on_the_folder_is_refused(kept: Kept) -> None:
    kept.start()
    done = kept("start")
    assert done.returncode == 15
    assert b"already runs" in done.stderr


def test_an_option_that_is_none_is_told_by_start(kept: Kept) -> None:
    done = kept("start", "--nonsense")
    assert done.returncode == 2
    assert b"--nonsense" in done.stderr


def test_init_makes_a_folder_once(tmp_path: Path) -> None:
    done = repram("storaged", "init", tmp_path / "node", "--capacity", "2GiB", "--public")
    assert done.returncode == 0
    assert b"storaged start" in done.stderr
    assert (tmp_path / "node" / "identity").stat().st_mode & 0o777 == 0o600
    config = (tmp_path / "node" / "config.toml").read_text()
    assert 'capacity = "2GiB"' in config
    assert "public = true" in config
    again = repram("storaged", "init", tmp_path / "node")
    assert again.returncode == 2
    assert b"already" in again.stderr


@pytest.mark.parametrize(
    "options",
    [
        ("--capacity", "lots"),
        ("--advertise", "no where"),
        ("--keys", "/tmp/keys"),
        ("--rate", "-1"),
    ],
)
def test_init_refuses_what_no_node_can_run_with(tmp_path: Path, options: tuple[str, ...]) -> None:
    assert repram("storaged", "init", tmp_path / "node", *options).returncode == 2
    assert not (tmp_path / "node" / "config.toml").exists()


def test_what_is_denied_is_listed_and_taken_off_again(public: Kept) -> None:
    item, owner = "A" * 43, "B" * 42 + "A"
    public.said("deny add", item, "--reason", "spam")
    public.said("deny add", owner, "--owner")
    assert public.said("deny ls").splitlines() == [f"item   {item}  spam", f"owner  {owner}"]
    public.said("deny rm", item)
    assert json.loads(public.said("deny ls", "--json"))["id"] == owner
    assert public("deny rm", item).returncode == 10
    assert public("deny add", "nonsense").returncode == 2


def test_an_emptied_node_takes_nothing_new_and_serves_what_it_holds(
    kept: Kept, tmp_path: Path
) -> None:
    address = kept.start("--public")
    sent = repram("upload", "-", "-q", "--host", address, stdin=b"content")
    link = sent.stdout.decode().strip()
    kept.said("drain")
    assert kept.status()["state"] == "draining"
    assert repram("upload", "-", "--host", address, stdin=b"more").returncode == 11
    assert repram("download", link, "-o", "-").stdout == b"content"


def test_the_audit_counts_what_is_held_by_how_long_still(public: Kept) -> None:
    address = public.said("address")
    repram("upload", "-", "-q", "--host", address, "--ttl", "5m", stdin=b"content")
    answer = json.loads(public.said("audit", "--json"))
    assert (answer["overdue"], answer["listed"]) == (0, [])
    assert {row["within"] for row in answer["remaining"] if row["items"]} == {"10m"}
    assert "0 past their deadline" in public.said("audit")


def test_the_clock_is_shown_and_accepted(public: Kept) -> None:
    shown = json.loads(public.said("clock"))
    accepted = json.loads(public.said("clock accept"))
    assert shown["settled"]
    assert accepted["time"] >= shown["time"]


def test_an_advertised_address_stands_in_address_and_invite(kept: Kept) -> None:
    address = NodeAddress.parse(kept.start("--advertise", "node.example.org:7000"))
    assert str(address.at) == "node.example.org:7000"
    assert Invite.parse(kept.said("invite")).node == address


def test_no_log_holds_an_invites_secret(kept: Kept) -> None:
    kept.start()
    fragment = kept.said("invite", "--name", "laptop").partition("#v1.")[2]
    kept.said("stop")
    assert fragment[:20] not in (kept.folder / "log").read_text()
