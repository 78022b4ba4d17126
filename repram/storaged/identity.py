"""The file that holds a node's identity."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

from repram.errors import RepramError, UsageError
from repram.ids import from_base64url, to_base64url

SEED_SIZE: Final = 32
_PREFIX: Final = "repram-identity-v1 "


def load_or_create(path: Path) -> bytes:
    """The Ed25519 seed in the file; a missing file is made, readable by its owner alone."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return _load(path)
    except OSError as error:
        raise RepramError(
            f"cannot create {path}: {error.strerror}", hint="Choose another --identity."
        ) from error
    seed = secrets.token_bytes(SEED_SIZE)
    with os.fdopen(fd, "w") as file:
        file.write(f"{_PREFIX}{to_base64url(seed)}\n")
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)  # the node's address, once given out, has to outlive a power cut
    finally:
        os.close(folder)
    return seed


def _load(path: Path) -> bytes:
    try:
        if path.stat().st_mode & 0o077:
            raise UsageError(
                f"others can read the identity in {path}",
                hint=f"Run `chmod 600 {path}`, or make a new one.",
            )
        text = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise RepramError(
            f"cannot read {path}: {error}", hint="Choose another --identity."
        ) from error
    if not text.startswith(_PREFIX):
        raise UsageError(f"{path} is not an identity file", hint="Choose another --identity.")
    return from_base64url(text.removeprefix(_PREFIX), SEED_SIZE)
