"""The slice as people meet it: a node, an upload, a download, each in a process of its own."""

from __future__ import annotations

import json
import os
import random
import secrets
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from repram.crypto.identity import public_key
from repram.crypto.links import Link, parse_link
from repram.ids import ItemId, NodeAddress
from tests.processes import ENVIRONMENT, REPRAM, Node, node, repram

CONTENT = random.Random(1).randbytes(5_000_000)


@pytest.fixture(scope="module")
def running() -> Iterator[Node]:
    with node() as one:
        yield one


@pytest.fixture
def link(running: Node) -> str:
    done = repram("upload", "-", "-q", stdin=b"content", REPRAM_HOST=running.address)
    return done.stdout.decode().strip()


def sentences(done: subprocess.CompletedProcess[bytes]) -> tuple[str, str]:
    """What happened and the hint: what a person sees of an error, and nothing else."""
    happened, hint = done.stderr.decode().splitlines()
    assert happened.startswith("repram: ")
    assert hint.startswith("  ")
    assert done.stdout == b""
    return happened, hint


def test_a_file_goes_there_and_comes_back(running: Node, tmp_path: Path) -> None:
    (tmp_path / "report.pdf").write_bytes(CONTENT)
    (tmp_path / "elsewhere").mkdir()
    sent = repram("upload", tmp_path / "report.pdf", "--host", running.address)
    assert sent.returncode == 0
    assert sent.stdout.decode() == f"{parse_link(sent.stdout.decode())}\n"
    assert "gone in 1d" in sent.stderr.decode()
    got = repram("download", sent.stdout.decode().strip(), cwd=tmp_path / "elsewhere")
    assert (got.returncode, got.stdout) == (0, b"")
    assert "4.8 MiB" in got.stderr.decode()
    assert (tmp_path / "elsewhere" / "report.pdf").read_bytes() == CONTENT


def test_stdin_to_stdout_through_a_pipe(running: Node) -> None:
    sent = repram("upload", "-", "--ttl", "60s", stdin=CONTENT, REPRAM_HOST=running.address)
    got = repram("download", sent.stdout.decode().strip(), "-o", "-")
    assert (got.returncode, got.stdout, got.stderr) == (0, CONTENT, b"")


def test_json_is_one_object_a_line_and_the_last_has_the_link(running: Node, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    done = repram("upload", tmp_path / "file", "--json", "--host", running.address)
    objects = [json.loads(line) for line in done.stdout.splitlines()]
    assert all("type" in each for each in objects)
    assert parse_link(objects[-1]["link"]).item == ItemId.parse(objects[-1]["id"])


def test_an_error_in_json_is_an_object_too() -> None:
    done = repram("upload", "-", "--json")
    error = json.loads(done.stdout)
    assert (error["type"], error["code"], done.returncode) == ("error", 2, 2)


def test_quiet_says_nothing(running: Node, tmp_path: Path) -> None:
    sent = repram("upload", "-", "-q", stdin=b"x", REPRAM_HOST=running.address)
    assert sent.stderr == b""
    got = repram("download", sent.stdout.decode().strip(), "-q", "-o", tmp_path)
    assert (got.stdout, got.stderr) == (b"", b"")
    assert (tmp_path / "stdin").read_bytes() == b"x"


def test_a_file_that_is_there_is_kept(link: str, tmp_path: Path) -> None:
    target = tmp_path / "mine"
    target.write_text("mine")
    done = repram("download", link, "-o", target)
    happened, hint = sentences(done)
    assert done.returncode == 15
    assert "already there" in happened
    assert "--yes" in hint
    assert target.read_text() == "mine"
    assert repram("download", link, "-o", target, "--yes").returncode == 0
    assert target.read_bytes() == b"content"


def test_a_dead_address_is_unreachable(running: Node) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        key = running.address.partition("@")[0]
        address = f"{key}@127.0.0.1:{taken.getsockname()[1]}"
        done = repram("upload", "-", "--host", address, "--timeout", "1s", stdin=b"x")
    happened, hint = sentences(done)
    assert done.returncode == 11
    assert "nothing answers" in happened
    assert "firewall" in hint


def test_another_key_than_the_nodes_is_told_apart_from_a_dead_address(running: Node) -> None:
    real = NodeAddress.parse(running.address)
    address = NodeAddress(public_key(secrets.token_bytes(32)), real.at)
    done = repram("upload", "-", "--host", str(address), "--timeout", "2s", stdin=b"x")
    happened, hint = sentences(done)
    assert done.returncode == 11
    assert "key" in happened
    assert "current address" in hint


def test_what_a_link_names_and_the_node_does_not_have_is_not_found(
    link: str, tmp_path: Path
) -> None:
    parsed = parse_link(link)
    assert isinstance(parsed, Link)
    gone = Link(parsed.node, ItemId(secrets.token_bytes(32)), parsed.secret)
    done = repram("download", str(gone), "-o", tmp_path / "out")
    happened, hint = sentences(done)
    assert done.returncode == 10
    assert "expired" in happened
    assert "new link" in hint
    assert list(tmp_path.iterdir()) == []


def test_another_secret_than_the_links_is_an_integrity_failure(link: str, tmp_path: Path) -> None:
    parsed = parse_link(link)
    assert isinstance(parsed, Link)
    done = repram(
        "download", str(Link(parsed.node, parsed.item, bytes(32))), "-o", tmp_path / "out"
    )
    sentences(done)
    assert done.returncode == 13
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", [12, 60, 100, -1])
def test_a_mangled_link_says_so(link: str, place: int) -> None:
    mangled = list(link)
    mangled[place] = "x" if mangled[place] != "x" else "y"
    done = repram("download", "".join(mangled))
    happened, hint = sentences(done)
    assert done.returncode == 2
    assert "changed on the way" in happened
    assert "Copy the link again" in hint


def test_a_link_and_an_address_in_each_others_place_are_named(running: Node, link: str) -> None:
    done = repram("download", running.address)
    assert done.returncode == 2
    assert "this is a node's address" in sentences(done)[0]
    done = repram("upload", "-", "--host", link, stdin=b"x")
    assert done.returncode == 2
    assert "this is a link" in sentences(done)[0]


def test_a_full_node_says_so(tmp_path: Path) -> None:
    with node("--memory", "1MiB") as small:
        done = repram("upload", "-", "--host", small.address, stdin=bytes(2 << 20))
    happened, hint = sentences(done)
    assert done.returncode == 14
    assert "this node is full" in happened
    assert "another node" in hint


def test_the_secret_is_in_no_error_and_no_log(tmp_path: Path) -> None:
    with node() as one:
        sent = repram("upload", "-", "--host", one.address, stdin=b"canary content")
        text = sent.stdout.decode().strip()
        done = repram("download", f"{text[:-1]}~")
        _, logged = one.stop()
    fragment = text.partition("#v1.")[2]
    assert fragment[:30] not in done.stderr.decode() + sent.stderr.decode() + logged
    assert "canary" not in logged


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_node_stops_cleanly_when_told(number: signal.Signals) -> None:
    with node() as one:
        repram("upload", "-", "--host", one.address, stdin=b"x")
        code, logged = one.stop(number)
    assert code == 0
    assert "draining" in logged
    assert "Traceback" not in logged


def test_a_node_with_an_identity_file_keeps_its_key(tmp_path: Path) -> None:
    keys = []
    for _ in range(2):
        with node("--identity", tmp_path / "identity") as one:
            keys.append(NodeAddress.parse(one.address).key)
            one.stop()
    assert keys[0] == keys[1]


def test_a_port_in_use_is_named(running: Node) -> None:
    port = NodeAddress.parse(running.address).at.port
    done = repram("storaged", "run", "--public", "--listen", f"127.0.0.1:{port}")
    happened, hint = sentences(done)
    assert done.returncode == 1
    assert str(port) in happened
    assert "Another program" in hint


def test_ctrl_c_during_an_upload_ends_it_with_130(running: Node) -> None:
    """Once more than a pipe holds has been taken, the command is at work and reads on."""
    command = [*REPRAM, "upload", "-", "--host", running.address]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    ) as process:
        assert process.stdin
        process.stdin.write(bytes(4 << 20))
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        code = process.wait(30)
        assert process.stdout
        assert process.stderr
        assert (code, process.stdout.read()) == (130, b"")
        assert process.stderr.read() == b"repram: interrupted\n"


def test_a_reader_that_goes_away_is_no_crash(running: Node) -> None:
    sent = repram("upload", "-", "-q", stdin=CONTENT, REPRAM_HOST=running.address)
    command = [*REPRAM, "download", sent.stdout.decode().strip(), "-o", "-"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.read(10)
        process.stdout.close()
        assert process.wait(30) == 1
        assert process.stderr.read() == b""


def test_a_full_disk_is_named_and_nothing_is_left(link: str) -> None:
    done = repram("download", link, "-o", "/dev/full/file")
    assert done.returncode == 1
    assert "cannot write" in sentences(done)[0]


def test_progress_shows_on_a_terminal_and_without_colour_if_so_asked(
    running: Node, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    for environment, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        ours, theirs = os.openpty()
        command = [*REPRAM, "upload", str(tmp_path / "file"), "--host", running.address]
        terminal = {"TERM": "xterm-256color", "COLUMNS": "120"}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=theirs, env=ENVIRONMENT | terminal | environment
        ) as process:
            os.close(theirs)
            shown = bytearray()
            try:
                while piece := os.read(ours, 65_536):
                    shown += piece
            except OSError:  # how a terminal ends whose last writer has gone
                pass
            os.close(ours)
            assert process.wait(30) == 0
        assert b"sealing and sending" in shown
        assert (b"\x1b[38;5;" in shown or b"\x1b[3" in shown) == coloured
