"""Values, spaces and hosts as people type them, against a real node."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from repram.crypto.links import Invite
from repram.crypto.spaces import Space
from repram.ids import NodeAddress
from tests.processes import Machine, Node, node

ADDRESS = f"repram+node://{'A' * 43}@192.0.2.7:7433"


@pytest.fixture(scope="module")
def storage() -> Iterator[Node]:
    with node() as running:
        yield running


@pytest.fixture
def machine(tmp_path: Path, storage: Node) -> Machine:
    return Machine(tmp_path, host=storage.address)


def test_put_get_and_rm(machine: Machine) -> None:
    done = machine.run("put", "name", "value")
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"held for 1h (no --ttl was given)" in done.stderr
    assert machine.said("get", "name") == machine.said("kv", "get", "name") == "value"
    (row,) = machine.said("kv", "ls").splitlines()
    version, size, _, name = row.split("\t")
    assert (size, name) == ("5", "name")
    assert machine.run("put", "name", "x", "--if-absent").returncode == 15
    assert machine.run("put", "name", "x", "--if-version", "1").returncode == 15
    machine.said("put", "name", "-", "--if-version", version, "--ttl", "90s", stdin=b"\0\xff\n")
    assert machine.run("get", "name").stdout == b"\0\xff\n"
    machine.said("kv", "rm", "name")
    assert machine.run("get", "name").returncode == 10
    assert machine.said("kv", "ls") == ""


def test_json_tells_versions_and_times(machine: Machine) -> None:
    put = json.loads(machine.said("put", "name", "value", "--ttl", "60s", "--json", "-q"))
    assert (put["type"], put["ttl"]) == ("value", 60)
    got = json.loads(machine.said("get", "name", "--json"))
    assert (got["value"], got["version"]) == ("value", put["version"])
    assert 0 < got["remaining"] <= 60
    machine.said("put", "name", "-", stdin=b"\xff")
    assert json.loads(machine.said("get", "name", "--json"))["base64"] == "/w=="
    missing = machine.run("get", "missing", "--json")
    error = json.loads(missing.stdout)
    assert (missing.returncode, error["type"], error["code"]) == (10, "error", 10)


def test_a_watch_sees_a_value_come_and_expire(machine: Machine) -> None:
    machine.said("put", "first", "value")
    with machine.start("kv", "watch") as watching:
        try:
            assert watching.stdout
            assert watching.stdout.readline().startswith(b"put\t")
            machine.said("put", "second", "value", "--ttl", "1s")
            lines = [watching.stdout.readline().decode().split("\t") for _ in range(2)]
            assert [(line[0], line[-1]) for line in lines] == [
                ("put", "second\n"),
                ("expired", "second\n"),
            ]
        finally:
            watching.kill()


def test_two_machines_share_a_space(tmp_path: Path, storage: Node) -> None:
    one, two = (Machine(tmp_path / name, host=storage.address) for name in ("one", "two"))
    line = one.said("space", "new", "team")
    assert one.said("space", "show", "team") == line
    assert two.run("space", "join", "team", stdin=line.encode()).stdout == b""
    (tmp_path / "line").write_text(line)
    two.said("space", "join", "again", "--file", tmp_path / "line")
    assert two.said("space", "ls") == "team\nagain\n"
    one.said("put", "name", "value", "--space", "team")
    assert two.said("get", "name", "--space", "team") == "value"
    assert two.said("get", "name", "--space", "again") == "value"
    assert two.run("get", "name").returncode == 10


def test_the_default_host_is_used_for_files_and_values(tmp_path: Path, storage: Node) -> None:
    machine = Machine(tmp_path)
    for arguments in (("put", "name", "value"), ("upload", "-")):
        done = machine.run(*arguments)
        assert done.returncode == 2
        assert b"repram hosts add" in done.stderr
    assert machine.said("hosts", "add", storage.address, "--name", "here") == "here\n"
    assert machine.said("hosts", "ls") == f"here\t{storage.address}\tdefault\n"
    machine.said("put", "name", "value")
    assert machine.said("get", "name", "--host", "here") == "value"
    link = machine.said("upload", "-", stdin=b"content").strip()
    assert machine.said("download", link, "-o", "-") == "content"
    machine.said("hosts", "rm", "here")
    assert machine.said("hosts", "ls") == ""
    assert machine.run("get", "name", "--host", "here").returncode == 2


def test_a_host_is_tried_out(machine: Machine) -> None:
    about = json.loads(machine.said("hosts", "test", "--json"))
    assert (about["tier"], about["may_store"]) == ("memory", True)
    assert abs(about["clock_offset"]) < 60
    assert "round trip" in machine.said("hosts", "test")


def test_a_host_that_does_not_answer_is_unreachable(machine: Machine) -> None:
    with node() as gone:
        address = gone.address
    machine.said("hosts", "add", "--name", "nobody", stdin=address.encode())
    done = machine.run("hosts", "test", "nobody", "--timeout", "1s")
    assert done.returncode == 11


def test_secrets_are_refused_as_arguments_and_not_repeated(machine: Machine) -> None:
    invite = str(Invite(NodeAddress.parse(ADDRESS), bytes(8), bytes(range(32))))
    space = str(Space(bytes(range(32))))
    for arguments in (
        ("hosts", "add", invite),
        ("hosts", "test", invite),
        ("put", "name", "value", "--host", invite),
        ("upload", "-", "--host", invite),
        ("space", "join", space),
        ("get", "name", "--space", space),
    ):
        done = machine.run(*arguments)
        assert (done.returncode, done.stdout) == (2, b"")
        assert b"is a secret" in done.stderr
        assert b"AAECAwQF" not in done.stderr


def test_an_invite_is_read_from_stdin_or_a_file_and_never_shown(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    invite = str(Invite(NodeAddress.parse(ADDRESS), bytes(8), bytes(range(32))))
    done = machine.run("hosts", "add", stdin=invite.encode())
    assert (done.returncode, done.stdout) == (0, b"192.0.2.7\n")
    (tmp_path / "invite").write_text(f"{invite}\n")
    machine.said("hosts", "add", "--file", tmp_path / "invite", "--name", "other")
    assert machine.said("hosts", "ls").splitlines()[1] == f"other\t{ADDRESS}\tinvite"
    assert b"AAECAwQF" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "stdin"),
    [
        (("hosts", "add"), b""),
        (("hosts", "add"), b"nonsense"),
        (("hosts", "add"), b"\xff\n"),
        (("hosts", "add", "--file", "/proc/none"), b""),
        (("hosts", "add", ADDRESS, "--name", "a b"), b""),
        (("space", "join"), b"repram+space://v1.AAAA"),
        (("space", "new", "a b"), b""),
        (("put", "a\nb", "value"), b""),
        (("put", "name", "value", "--ttl", "31d"), b""),
        (("put", "name"), bytes(1 << 20)),
        (("put", "name", "value", "--if-absent", "--if-version", "3"), b""),
    ],
    ids=str,
)
def test_what_is_malformed_is_2(machine: Machine, arguments: tuple[str, ...], stdin: bytes) -> None:
    done = machine.run(*arguments, stdin=stdin)
    assert (done.returncode, done.stdout) == (2, b"")
    assert len(done.stderr.splitlines()) >= 2
    assert b"Traceback" not in done.stderr
