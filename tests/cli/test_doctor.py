"""`repram doctor`, as people run it, and how it reads what the kernel says."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from repram_cli.machine import (
    existing,
    filesystem_of,
    fsync_seconds,
    socket_buffers,
    swap_devices,
)
from tests.processes import ENVIRONMENT, REPRAM, repram

MOUNTS = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 27 0:30 / /srv rw,relatime shared:1 - btrfs /dev/vdb rw
31 30 0:31 / /srv/a\\040b rw - xfs /dev/vdc rw
32 27 0:32 / /over rw - ext4 /dev/vdd rw
33 32 0:33 / /over rw - tmpfs tmpfs rw
broken
"""


def findings(*options: str | Path) -> tuple[int, dict[str, dict[str, str]]]:
    """The exit code, and what is found by its topic."""
    done = repram("doctor", "--json", *options)
    assert done.stderr == b""
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(finding["type"] == "finding" for finding in found)
    return done.returncode, {finding["topic"]: finding for finding in found}


@pytest.fixture
def address() -> Iterator[str]:
    """Of something that answers the transport's calls, in another process."""
    command = [*REPRAM, "bench", "serve", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT) as process:
        assert process.stdout
        yield process.stdout.readline().decode().strip()
        process.send_signal(signal.SIGTERM)


def test_every_topic_is_looked_at(tmp_path: Path, address: str) -> None:
    code, found = findings("--data", tmp_path, "--listen", "127.0.0.1:0", "--host", address)
    assert found.keys() == {
        *("clock", "clock offset", "port", "transport", "socket buffers", "disk space"),
        *("filesystem", "fsync", "swap", "core dumps", "open files", "cipher"),
    }
    assert code == any(finding["level"] == "bad" for finding in found.values())
    for topic in ("clock offset", "port", "transport"):
        assert found[topic]["level"] == "ok"
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_cannot_be_had_is_bad_and_ends_with_1(tmp_path: Path) -> None:
    code, found = findings("--data", tmp_path, "--listen", "192.0.2.1:7433")
    assert (code, found["port"]["level"]) == (1, "bad")
    assert "--listen" in found["port"]["advice"]


def test_a_port_that_is_in_use_may_be_a_node(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        _, found = findings("--data", tmp_path, "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert found["port"]["level"] == "warn"


def test_a_node_that_does_not_answer_is_bad(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        address = f"repram+node://{'A' * 43}@127.0.0.1:{silent.getsockname()[1]}"
        code, found = findings("--data", tmp_path, "--listen", "127.0.0.1:0", "--host", address)
    assert (code, found["reachable"]["level"]) == (1, "bad")


def test_people_get_a_line_each_and_what_to_do_below_it(tmp_path: Path) -> None:
    done = repram("doctor", "--data", tmp_path, "--listen", "192.0.2.1:7433")
    lines = done.stdout.decode().splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("bad   port "))
    assert lines[at + 1] == " " * 22 + "Choose another with --listen."
    assert b"\x1b" not in done.stdout


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/home/me", "ext4"),
        ("/srv", "btrfs"),
        ("/srvx", "ext4"),
        ("/srv/deep/er", "btrfs"),
        ("/srv/a b/c", "xfs"),
        ("/over/x", "tmpfs"),
    ],
)
def test_a_folder_is_on_the_deepest_and_last_mount_above_it(folder: str, kind: str) -> None:
    assert filesystem_of(Path(folder), MOUNTS) == kind


def test_without_a_list_of_mounts_nothing_is_claimed() -> None:
    assert filesystem_of(Path("/srv"), "") == "unknown"


def test_swap_is_read_from_the_kernels_table() -> None:
    table = "Filename Type Size Used Priority\n/dev/zram0 partition 1 0 100\n/swap file 1 0 -2\n"
    assert swap_devices(table) == ["/dev/zram0", "/swap"]
    assert swap_devices("") == []


def test_the_folder_need_not_be_there_yet(tmp_path: Path) -> None:
    assert existing(tmp_path / "a" / "b") == tmp_path


def test_where_nothing_can_be_written_no_time_is_told(tmp_path: Path) -> None:
    assert fsync_seconds(tmp_path / "missing") is None
    assert (fsync_seconds(tmp_path) or 0) > 0


def test_a_socket_tells_what_it_really_got() -> None:
    assert all(4096 <= size <= 8 << 20 for size in socket_buffers())
