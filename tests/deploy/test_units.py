"""What is shipped to run a node with: it parses, it starts what there is, and it gives away no rights."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from repram.storaged.folder import Setup

DEPLOY = Path(__file__).parents[2] / "deploy"
UNIT = (DEPLOY / "repram-storaged.service").read_text()
CONTAINER = (DEPLOY / "Containerfile").read_text()
FLAGS = {f"--{name.replace('_', '-')}" for name in Setup.__struct_fields__} | {"--folder"}


def settings(unit: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in unit.splitlines():
        if line and line[0] not in "#[":
            name, equals, value = line.partition("=")
            assert equals, line
            found.setdefault(name, []).append(value)
    return found


def instructions(file: str) -> list[tuple[str, str]]:
    joined = re.sub(r"\\\n\s*", " ", file)
    lines = [line for line in joined.splitlines() if line and line[0] != "#"]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


def flags_of(command: str) -> set[str]:
    return {word.partition("=")[0] for word in shlex.split(command) if word.startswith("--")}


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("DynamicUser", "yes"),
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("CapabilityBoundingSet", ""),
        ("MemorySwapMax", "0"),
        ("LimitCORE", "0"),
        ("StateDirectoryMode", "0700"),
        ("KillSignal", "SIGTERM"),
    ],
)
def test_the_service_has_no_rights_that_it_does_not_need(setting: str, value: str) -> None:
    assert settings(UNIT)[setting] == [value]


def test_the_service_has_a_bound_on_memory_and_time_to_drain() -> None:
    found = settings(UNIT)
    assert found["MemoryMax"]
    assert int(found["TimeoutStopSec"][0].removesuffix("s")) > 10


def test_the_service_starts_the_node_with_options_that_it_has() -> None:
    found = settings(UNIT)
    (command,) = found["ExecStart"]
    assert "storaged run" in command
    (options,) = found["Environment"]
    assert flags_of(command) | flags_of(options.partition("=")[2]) <= FLAGS


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")
def test_systemd_understands_every_line(tmp_path: Path) -> None:
    unit = tmp_path / "repram-storaged.service"
    unit.write_text(UNIT.replace("/usr/bin/repram", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, timeout=60, check=False
    )
    said = [line for line in done.stderr.decode().splitlines() if "repram-storaged" in line]
    assert (done.returncode, said) == (0, [])


def test_the_container_runs_the_node_as_somebody_else_than_root() -> None:
    steps = instructions(CONTAINER)
    users = [rest for name, rest in steps if name == "USER"]
    assert users
    assert users[-1].partition(":")[0] not in {"root", "0"}
    last = steps[-1]
    assert last[0] == "ENTRYPOINT"
    assert '"storaged", "run"' in last[1]
    assert flags_of(" ".join(re.findall(r'"([^"]+)"', last[1]))) <= FLAGS


def test_the_container_writes_to_its_volume_alone() -> None:
    named = dict(instructions(CONTAINER))
    assert named["VOLUME"] == named["WORKDIR"] == "/var/lib/repram"
    assert "REPRAM_STORAGED=/var/lib/repram" in named["ENV"]
    assert "--read-only" in CONTAINER
