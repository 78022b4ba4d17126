"""The file of a run: a line of JSON about the machine, then one for each measurement."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, TypeAlias

from bench.processes import ROOT, STATE

Line: TypeAlias = Mapping[str, Any]

PACKAGES: Final = ("uvloop", "aioquic", "iroh", "magic-wormhole")
COMMANDS: Final = {
    "nginx": "-v",
    "curl": "--version",
    "iperf3": "--version",
    "ssh": "-V",
    "rsync": "--version",
    "rclone": "version",
    "restic": "version",
    "syncthing": "--version",
}


class Results:
    """Appends to a file, and says on stderr how it goes."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.carried = False  # whether any transfer came about
        self._labels: dict[str, object] = {}
        self._file = path.open("w")
        with self.under(scenario="machine"):
            self.add(**machine())

    @classmethod
    def of_a_run(cls, name: str) -> Results:
        """A new file under build/bench, named after what is run and when."""
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        return cls(STATE / f"{name}-{stamp}.jsonl")

    @contextmanager
    def under(self, **labels: object) -> Iterator[None]:
        """Every line that is added meanwhile bears these."""
        outer, self._labels = self._labels, self._labels | labels
        try:
            yield
        finally:
            self._labels = outer

    def add(self, **fields: object) -> None:
        """One line."""
        line = self._labels | fields
        self.carried |= "goodput_mb_s" in line
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        _say(line)

    def leave_out(self, what: str, why: str) -> None:
        """Says what is not measured."""
        self.add(left_out=what, why=why)

    def close(self) -> None:
        """Done with the file."""
        self._file.close()


def _say(line: Line) -> None:
    if line["scenario"] == "machine":
        return
    labels = ("scenario", "calls", "buffers", "link", "load", "round")
    where = " ".join(str(line[each]) for each in labels if each in line)
    if "left_out" in line:
        what = f"without {line['left_out']}: {line['why']}"
    elif "error" in line:
        what = f"{' + '.join(line['peers'])} failed: {line['error']}"
    elif "goodput_mb_s" in line:
        beside = f" beside {', '.join(line['beside'])}" if line["beside"] else ""
        move = f" {line['move']}" if "move" in line else ""
        what = (
            f"{line['peer']}{move}{beside}: {line['goodput_mb_s']:.4g} MB/s, "
            f"CPU {line['cpu_s_gib']:.3g} s/GiB"
        )
    else:
        what = ", ".join(f"{name} {line[name]}" for name in line if name not in labels)
    print(f"{where}  {what}", file=sys.stderr, flush=True)


def machine() -> dict[str, object]:
    """On what, when, and with which versions."""
    return {
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "tcp_default": Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip(),
        "commit": _said("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
        **{name: _version(name, option) for name, option in COMMANDS.items()},
        **{name: _installed(name) for name in PACKAGES},
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _said(*command: str) -> str | None:
    """The first line of what a command says of itself."""
    if shutil.which(command[0]) is None:
        return None
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).partition("\n")[0].strip()


def _version(command: str, option: str) -> str | None:
    found = re.search(r"\d+(\.\d+)+", _said(command, option) or "")
    return found and found[0]


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def read(path: Path) -> list[Line]:
    """The lines of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]
