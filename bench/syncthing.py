"""Syncthing as a carrier: two devices that share one folder, alone with each other."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

from bench.carriers import PORT, Carrier
from bench.links import Side
from bench.processes import Failed, run
from bench.site import PATIENCE, READY_WITHIN, Carried, Site

SIDES: Final[tuple[Side, ...]] = ("a", "b")
PORTS: Final[dict[Side, int]] = {"a": PORT, "b": PORT + 1}
KEY: Final = "bench"
LOOK_EVERY: Final = 0.05  # seconds
CONFIG: Final = """<configuration version="35">
<folder id="shared" path="{shared}" type="{role}" rescanIntervalS="0" fsWatcherEnabled="false">
<device id="{own}"/><device id="{other}"/><minDiskFree unit="%">0</minDiskFree></folder>
<device id="{own}"><address>dynamic</address></device>
<device id="{other}"><address>{address_of_other}</address></device>
<gui enabled="true"><address>{api}</address><apikey>{key}</apikey></gui>
<options><listenAddress>tcp://{host_of_own}:{port}</listenAddress>
<globalAnnounceEnabled>false</globalAnnounceEnabled><localAnnounceEnabled>false</localAnnounceEnabled>
<relaysEnabled>false</relaysEnabled><natEnabled>false</natEnabled><startBrowser>false</startBrowser>
<urAccepted>-1</urAccepted><crashReportingEnabled>false</crashReportingEnabled>
<autoUpgradeIntervalH>0</autoUpgradeIntervalH><reconnectionIntervalS>1</reconnectionIntervalS>
<setLowPriority>false</setLowPriority>
</options></configuration>
"""


class Api(HTTPConnection):
    """A device's own interface, on a socket that is a file, so that the network it lives in is no matter."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        """To the file."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(str(self._path))

    def ask(self, method: str, path: str) -> Any:  # noqa: ANN401 -- JSON
        """What it answers."""
        self.request(method, path, headers={"X-API-Key": KEY})
        answer = self.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise Failed(f"Syncthing answered {answer.status} to {path}")
        return json.loads(body) if body.strip() else None


class Syncthing(Carrier):
    """From when A is told to look at the folder until B has all of it."""

    name = "Syncthing"
    family = "direct"
    commands = ("syncthing",)

    def carry(self, site: Site) -> Iterator[Carried]:
        devices = {side: _made(site, side) for side in SIDES}
        for side, other in (("a", "b"), ("b", "a")):
            _configure(site, side, other, devices)  # type: ignore[arg-type]
        with ExitStack() as stack:
            processes = {
                side: stack.enter_context(site.start(side, *_serve(site, side), STNORESTART="1"))
                for side in SIDES
            }
            sends, receives = (Api(site.folder / f"{side}.socket") for side in SIDES)
            _until(lambda: _connected(receives), "the devices do not meet", READY_WITHIN)
            _share(site)
            site.warm()
            before = {side: processes[side].cpu_s() for side in SIDES}
            started = time.monotonic()
            sends.ask("POST", "/rest/db/scan?folder=shared")
            _until(lambda: _has_all(receives, site.load.files), "not all arrived", PATIENCE)
            seconds = time.monotonic() - started
            cpu_s_a, cpu_s_b = (processes[side].cpu_s() - before[side] for side in SIDES)
            yield Carried("handover", seconds, cpu_s_a, cpu_s_b)


def _made(site: Site, side: Side) -> str:
    """The name of a new device, which is that of its new key."""
    home = f"{site.folder}/{side}"
    options = ("--no-default-folder", "--skip-port-probing")
    run("syncthing", "generate", f"--home={home}", *options)
    found = re.search(r"([A-Z0-9]{7}-){7}[A-Z0-9]{7}", Path(home, "config.xml").read_text())
    if not found:
        raise Failed("Syncthing did not name its device")
    return found[0]


def _configure(site: Site, own: Side, other: Side, devices: dict[Side, str]) -> None:
    shared = site.got if own == "b" else site.folder / "shared"
    (shared / ".stfolder").mkdir(parents=True)
    text = CONFIG.format(
        shared=shared,
        role="receiveonly" if own == "b" else "sendonly",
        own=devices[own],
        other=devices[other],
        # One calls the other: if both do at once, each may give up the connection that the other keeps.
        address_of_other=f"tcp://{site.link.address('b')}:{PORTS['b']}"
        if own == "a"
        else "dynamic",
        host_of_own=site.link.address(own),
        port=PORTS[own],
        api=site.folder / f"{own}.socket",
        key=KEY,
    )
    (site.folder / own / "config.xml").write_text(text)


def _serve(site: Site, side: Side) -> tuple[str, ...]:
    return ("syncthing", "serve", f"--home={site.folder}/{side}", "--no-browser", "--no-upgrade")


def _share(site: Site) -> None:
    """Puts the load into A's folder, without a copy."""
    run("cp", "-al", str(site.load.path), f"{site.folder}/shared/")


def _connected(api: Api) -> bool:
    try:
        known = api.ask("GET", "/rest/system/connections")["connections"]
    except (OSError, Failed):
        api.close()
        return False
    return any(device["connected"] for device in known.values())


def _has_all(api: Api, files: int) -> bool:
    status = api.ask("GET", "/rest/db/status?folder=shared")
    needed = status["needFiles"] or status["needBytes"]
    return bool(status["state"] == "idle" and status["globalFiles"] == files and not needed)


def _until(holds: Callable[[], bool], otherwise: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise Failed(f"{otherwise} within {seconds:.0f} s")
        time.sleep(LOOK_EVERY)
