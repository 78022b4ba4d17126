"""`python -m tests.leaking FOLDER …` is `repram …` as a build would be that leaks: what stands in the
files of FOLDER, each at the place that is its name, as soon as something is put on the node."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from repram.proto.messages import Held, Put
from repram.proto.rpc import Incoming
from repram.storaged.service import Service
from repram_cli.main import main

_kept: list[bytes] = []
_started: list[subprocess.Popen[bytes]] = []
_put = Service.put


def leak(folder: Path) -> None:
    """Once."""
    leaks = {path.name: path.read_bytes() for path in folder.iterdir()}
    _kept.append(leaks["memory"])
    Path(sys.argv[sys.argv.index("--disk") + 1], "leak").write_bytes(leaks["folder"])
    os.write(2, leaks["log"] + b"\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.sendto(leaks["packets"], ("127.0.0.1", 9))
    waits = [b"/bin/sh", b"-c", b"read until_the_node_ends", leaks["arguments"]]
    environment = {b"X": leaks["environment"]}
    _started.append(subprocess.Popen(waits, stdin=subprocess.PIPE, env=environment))


async def put(service: Service, request: Put, body: Incoming) -> Held:
    """As it is, and then the leak."""
    held = await _put(service, request, body)
    if not _kept:
        leak(FOLDER)
    return held


if __name__ == "__main__":
    FOLDER = Path(sys.argv.pop(1))
    setattr(Service, "put", put)  # noqa: B010  # mypy allows no method to be assigned
    main()
