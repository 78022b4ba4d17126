"""What the benchmarks compare with and cannot have is named, and nothing fails for it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

BRING = Path(__file__).parents[2] / "bench" / "prerequisites"


def bring(folder: Path, *present: str) -> str:
    """What it says where these commands are all that there is."""
    for command in ("sh", "id", *present):
        (folder / command).symlink_to(shutil.which(command) or "/bin/true")
    answers_yes = folder / "python"
    answers_yes.write_text("#!/bin/sh\nexit 0\n")
    answers_yes.chmod(0o755)
    done = subprocess.run(
        [BRING, answers_yes],
        env={"PATH": str(folder)},
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stderr


@pytest.mark.parametrize(
    ("command", "package"),
    [("cc", "gcc"), ("ip", "iproute2"), ("iperf3", "iperf3"), ("curl", "curl")],
)
def test_a_missing_command_is_named_with_its_package(
    tmp_path: Path, command: str, package: str
) -> None:
    others = {"cc", "ip", "ethtool", "curl", "iperf3", "nginx"} - {command}
    said = bring(tmp_path, *others)
    assert (
        f"bench: without {command}: it is missing. On Debian, as root: apt install {package}"
        in said
    )
    assert not any(f"without {other}:" in said for other in others)
