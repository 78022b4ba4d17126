"""A node's folder: who it is, how it is to run, and that one node at a time runs on it."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from repram.errors import Conflict, RepramError, UsageError
from repram.ids import DEFAULT_PORT
from repram.storaged.access.buckets import BURST, RATE

Rate = Annotated[int, Meta(ge=0, le=1 << 31)]


class Setup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a node is to run, as its owner writes it: sizes as text, paths relative to the folder."""

    listen: str = f"0.0.0.0:{DEFAULT_PORT}"
    advertise: str = ""  # what its address says instead: behind a port forwarding, for one
    public: bool = False
    capacity: str = ""  # 1 GiB, or what fits
    disk: str = ""  # in memory without
    keys: str = ""
    snapshot: str = ""  # of what is in memory
    snapshot_every: str = "60s"
    metrics: str = ""
    rate: Rate = RATE  # requests a second of each invite or address; 0: any
    burst: Rate = BURST
    public_quota: str = ""
    owner_quota: str = ""
    policy: tuple[str, ...] = ()


class Folder:
    """Files by their names; nothing is made before it is needed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.identity = path / "identity"
        self.config = path / "config.toml"
        self.clock = path / "clock"
        self.log = path / "log"
        self._lock: int | None = None

    def make(self) -> None:
        """Make it, its owner's alone."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise RepramError(
                f"cannot make the folder {self.path}: {error.strerror}",
                hint="Choose another folder.",
            ) from error

    def setup(self) -> Setup:
        """What its config says; without one, the defaults."""
        try:
            return msgspec.toml.decode(self.config.read_bytes(), type=Setup)
        except FileNotFoundError:
            return Setup()
        except OSError as error:
            raise RepramError(f"cannot read {self.config}: {error.strerror}") from error
        except msgspec.DecodeError as error:
            raise UsageError(
                f"{self.config} is not understood: {error}", hint="Mend the line, then try again."
            ) from error

    def write_setup(self, setup: Setup) -> None:
        """The config, each line with what was chosen."""
        chosen = msgspec.to_builtins(setup)
        text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in chosen.items())
        try:
            self.config.write_text(_HEAD + text)
        except OSError as error:
            raise RepramError(f"cannot write {self.config}: {error.strerror}") from error

    def lock(self) -> None:
        """Held until this process ends, however it does; Conflict when another node has it."""
        try:
            fd = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise RepramError(
                f"cannot use the folder {self.path}: {error.strerror}",
                hint="Choose another folder.",
            ) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise Conflict(
                f"a node already runs on {self.path}",
                hint="Stop it with `repram storaged stop`, or give this one another --folder.",
            ) from None
        self._lock = fd

    def within(self, text: str) -> Path:
        """A path of the config: as it stands, or in this folder."""
        return self.path / Path(text).expanduser()


_HEAD: Final = (
    "# How this node runs; `repram storaged run` takes the same as options, and those win.\n"
)


def default_folder() -> Path:
    """Where a node is that was not told where."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "repram" / "storaged"


def changed(setup: Setup, given: dict[str, Any]) -> Setup:
    """The setup with what was given on the command line in its place."""
    return msgspec.structs.replace(
        setup, **{name: value for name, value in given.items() if value is not None}
    )
