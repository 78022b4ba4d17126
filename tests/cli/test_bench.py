"""`repram bench` between two real processes: what it prints, and that it counts every byte."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from repram.proto.primitives import Suite, default_suites
from tests.processes import ENVIRONMENT, REPRAM, Node, repram

FIELDS = {
    *("type", "bytes", "seconds", "goodput_mb_s", "cpu_s_local", "cpu_s_remote", "suite", "cc"),
    *("mtu", "loss", "retransmits", "kernel_drops"),
}


@contextmanager
def serving(*options: str) -> Iterator[Node]:
    command = [*REPRAM, "bench", "serve", *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT
    ) as process:
        try:
            yield Node(process)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def server() -> Iterator[Node]:
    with serving("--listen", "127.0.0.1:0") as node:
        yield node


@pytest.mark.parametrize("direction", ["up", "down", "both"])
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("suite", ["xchacha20", "aegis256"])
def test_every_byte_is_counted(server: Node, direction: str, loop: str, suite: str) -> None:
    done = repram(
        *("bench", "run", server.address, "--bytes", "8MiB", "--direction", direction),
        *("--streams", "3", "--loop", loop, "--suite", suite, "--json"),
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["type"] == "result"
    assert result.keys() >= FIELDS
    share = -(-(8 << 20) // 3)
    assert result["bytes"] == share * 3 * (2 if direction == "both" else 1)
    both = Suite.AEGIS256 in default_suites()  # whether the server of this run offers it at all
    assert (result["suite"], result["cc"]) == (suite if both else "xchacha20", "bbr")


def test_ipv6_and_time_instead_of_bytes() -> None:
    with serving("--listen", "[::1]:0", "--loop", "asyncio", "--json") as node:
        address = json.loads(node.address)["address"]
        done = repram("bench", "run", address, "--seconds", "1")
        assert done.returncode == 0, done.stderr
        assert re.search(r"packets of \d+ bytes\n$", done.stdout.decode())
        assert node.stop()[0] == 0


def test_bytes_and_seconds_exclude_each_other(server: Node) -> None:
    done = repram("bench", "run", server.address, "--bytes", "1MiB", "--seconds", "1")
    assert done.returncode == 2


def test_a_mangled_address_is_said_to_be_one() -> None:
    done = repram("bench", "run", "repram+node://nonsense@localhost:1")
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr


def test_calls_are_counted_and_timed() -> None:
    with serving("--listen", "127.0.0.1:0") as node:
        options = ("--rpc", "--size", "100", "--concurrency", "8", "--seconds", "1", "--json")
        done = repram("bench", "run", node.address, *options)
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        assert result["type"] == "result"
        assert result["ops"] > 0
        assert 0 < result["p50_us"] <= result["p99_us"]
        assert node.stop()[0] == 0
