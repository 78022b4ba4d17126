"""An OpenSSH server of this turn's own: own keys, own accounts, and a port that nothing outside reaches."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from bench.processes import STATE, Process, run
from bench.site import Site

PORT: Final = 22_022
UNPACKED: Final = STATE / "sshd"
CONFIG: Final = """
ListenAddress {host}:{port}
HostKey {folder}/key
AuthorizedKeysFile {folder}/key.pub
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
PidFile none
Subsystem sftp internal-sftp
"""
PASSWD: Final = """
root:x:0:0:root:{folder}:/bin/sh
sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin
"""
SHADOW: Final = "root:*:1::::::\nsshd:*:1::::::\n"
# In the mounts of its namespace alone: /run with the empty folder that sshd wants, and two accounts.
START: Final = """
mount -t tmpfs none /run && mkdir -m 755 /run/sshd &&
mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/shadow" /etc/shadow &&
exec "$2" -D -e -f "$1/sshd_config"
"""


def find() -> str | None:
    """Where sshd is; it may have been unpacked for the benchmarks alone."""
    places = [os.environ["PATH"], "/usr/sbin", str(UNPACKED / "usr" / "sbin")]
    return shutil.which("sshd", path=":".join(places))


@contextmanager
def serving(site: Site) -> Iterator[Process]:
    """It, on side B."""
    where = {"folder": site.folder, "host": site.link.address("b"), "port": PORT}
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{site.folder}/key")
    for name, text in {"sshd_config": CONFIG, "passwd": PASSWD, "shadow": SHADOW}.items():
        (site.folder / name).write_text(text.format(**where).lstrip())
    libraries = ":".join(str(path) for path in UNPACKED.glob("usr/lib/*-linux-*"))
    command = ("sh", "-c", START, "sh", str(site.folder), find() or "sshd")
    with site.serving(PORT, *command, LD_LIBRARY_PATH=libraries) as process:
        yield process


def options(site: Site) -> list[str]:
    """What every client of it is told, beside the port."""
    settings = {
        "StrictHostKeyChecking": "no",
        "UserKnownHostsFile": "/dev/null",
        "BatchMode": "yes",
        "LogLevel": "ERROR",
    }
    words = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    return ["-F", "none", "-i", f"{site.folder}/key", *words]
