"""How much memory a node may take, and what of that is for facts: so that it refuses and is not ended."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_BESIDE: Final = 128 << 20  # the process itself, and data in flight
_LEAST: Final = 16 << 20


def for_facts(memory: int) -> int:
    """Of all the memory that a node may take, what is for facts; not all that they free is of use again."""
    return max(_LEAST, (memory - _BESIDE) * 3 // 4)


def allowed(root: Path = Path("/")) -> int:
    """What this process may take: the least of what the machine has and what its cgroups allow."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *_limits(root)])


def _limits(root: Path) -> Iterator[int]:
    for folder, name in _cgroups(root):
        try:
            said = (folder / name).read_text().strip()
        except OSError:  # not there, or not for us to see
            continue
        if said.isdecimal():  # and not "max"
            yield int(said)


def _cgroups(root: Path) -> Iterator[tuple[Path, str]]:
    """Folders of this process's cgroups and those above them, and the file that has the limit."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    mounted = root / "sys/fs/cgroup"
    for line in lines:
        _, controllers, at = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top, name = (
            (mounted / "memory", "memory.limit_in_bytes")
            if controllers
            else (mounted, "memory.max")
        )
        folder = top / at.lstrip("/")
        yield from ((each, name) for each in (folder, *folder.parents) if each.is_relative_to(top))
