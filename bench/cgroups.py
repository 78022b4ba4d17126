"""A cgroup with limits for one process, of either version of cgroups, whichever has its controllers here."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.processes import Failed

_MOUNTED: Final = Path("/sys/fs/cgroup")
_PERIOD: Final = 100_000
# To write the id of a process into the files before --, and become what stands behind it.
_ENTER: Final = 'while [ "$1" != -- ]; do echo $$ > "$1"; shift; done; shift; exec "$@"'


class Cgroup:
    """One that is there; `limited` makes it."""

    def __init__(self, folders: Sequence[Path], events: Path, peak: Path) -> None:
        self._folders, self._events, self._peak = folders, events, peak

    def command(self, *command: str) -> list[str]:
        """The same, run inside."""
        files = [str(folder / "cgroup.procs") for folder in self._folders]
        return ["sh", "-c", _ENTER, "sh", *files, "--", *command]

    @property
    def killed(self) -> int:
        """How many processes the kernel has killed in it for want of memory."""
        lines = (line.split() for line in self._events.read_text().splitlines())
        return next(int(line[1]) for line in lines if line[0] == "oom_kill")

    @property
    def peak(self) -> int:
        """The most memory that was ever taken, caches of the kernel included."""
        return int(self._peak.read_text())


@contextmanager
def limited(memory: int, cores: float = 1.0) -> Iterator[Cgroup]:
    """A cgroup with so much memory and time; `Failed` where this process may make none."""
    name, quota = f"repram-{os.getpid()}", round(cores * _PERIOD)
    if (_MOUNTED / "memory/memory.limit_in_bytes").exists():
        cpu, mem = _MOUNTED / "cpu" / name, _MOUNTED / "memory" / name
        settings: dict[Path, object] = {
            cpu / "cpu.cfs_period_us": _PERIOD,
            cpu / "cpu.cfs_quota_us": quota,
            mem / "memory.limit_in_bytes": memory,
        }
        made = Cgroup([cpu, mem], mem / "memory.oom_control", mem / "memory.max_usage_in_bytes")
    else:
        one = _MOUNTED / name
        settings = {
            one / "cpu.max": f"{quota} {_PERIOD}",
            one / "memory.max": memory,
            one / "memory.swap.max": 0,
        }
        made = Cgroup([one], one / "memory.events", one / "memory.peak")
    folders = {path.parent for path in settings}
    try:
        for folder in folders:
            folder.mkdir()
        for path, value in settings.items():
            path.write_text(f"{value}\n")
        yield made
    except OSError as error:
        if error.filename and Path(error.filename).parent in {*folders, _MOUNTED}:
            raise Failed(f"no cgroup can be made here: {error}") from None
        raise
    finally:
        for folder in folders:
            if folder.exists():
                folder.rmdir()
