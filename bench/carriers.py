"""The carriers: programs by which a person hands files from side A to side B."""

from __future__ import annotations

import importlib.util
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from typing import ClassVar, Final

from bench import sshd
from bench.plots import Family
from bench.processes import run
from bench.site import PATIENCE, Carried, Site

PORT: Final = 17_400
CODE: Final = "7-bench-run"  # of a wormhole that nobody else can reach


class Carrier:
    """One program, as its manual says it is used. What it leaves at `site.received` is compared."""

    name: ClassVar[str]
    family: ClassVar[Family]
    commands: ClassVar[tuple[str, ...]] = ()
    modules: ClassVar[tuple[str, ...]] = ()

    def missing(self) -> str | None:
        """What this machine lacks for it."""
        for command in self.commands:
            if shutil.which(command) is None:
                return f"`{command}` is missing"
        for module in self.modules:
            if importlib.util.find_spec(module) is None:
                return f"the Python package {module} is missing"
        return None

    def carry(self, site: Site) -> Iterator[Carried]:
        """Each move that it makes of it."""
        raise NotImplementedError


class Repram(Carrier):
    """Ours: to a node on side B that holds it in memory, and back by the link."""

    name = "repram"
    family = "ours"

    def carry(self, site: Site) -> Iterator[Carried]:
        repram = (sys.executable, "-m", "repram_cli")
        room = f"{2 * site.load.bytes + (64 << 20)}B"
        at = ("--listen", f"{site.link.address('b')}:{PORT}", "--capacity", room)
        with site.start("b", *repram, "storaged", "run", "--public", "--rate", "0", *at) as node:
            to = ("--host", node.line(), "--ttl", "1h", "--quiet")
            stored = site.move("upload", node, *repram, "upload", str(site.load.path), *to)
            yield stored
            target = ("-o", str(site.got), "--quiet")
            yield site.move("download", node, *repram, "download", stored.printed, *target)


class OverSsh(Carrier):
    """What needs an account on the other side."""

    family = "ssh"

    def missing(self) -> str | None:
        return super().missing() or (None if sshd.find() else "`sshd` is missing")

    def command(self, site: Site) -> list[str]:
        """What copies the load to side B."""
        raise NotImplementedError

    def carry(self, site: Site) -> Iterator[Carried]:
        with sshd.serving(site) as server:
            yield site.move("handover", server, *self.command(site))


class Scp(OverSsh):
    """OpenSSH's copy."""

    name = "scp"
    commands = ("scp", "ssh-keygen")

    def command(self, site: Site) -> list[str]:
        target = f"root@{site.link.address('b')}:{site.got}"
        ssh = ["-P", str(sshd.PORT), *sshd.options(site)]
        return ["scp", "-q", "-r", *ssh, str(site.load.path), target]


class Rsync(OverSsh):
    """rsync over ssh."""

    name = "rsync over ssh"
    commands = ("rsync", "ssh", "ssh-keygen")

    def command(self, site: Site) -> list[str]:
        target = f"root@{site.link.address('b')}:{site.got}/"
        ssh = shlex.join(["ssh", "-p", str(sshd.PORT), *sshd.options(site)])
        return ["rsync", "-a", "-e", ssh, str(site.load.path), target]


class Rclone(Carrier):
    """rclone: sealed on side A by its crypt, stored by its WebDAV server on side B, and back."""

    name = "rclone crypt"
    family = "store"
    commands = ("rclone",)

    def carry(self, site: Site) -> Iterator[Carried]:
        (site.folder / "store").mkdir()
        where = f"{site.link.address('b')}:{PORT}"
        settings = {
            "RCLONE_CONFIG": "/dev/null",
            "RCLONE_CONFIG_DAV_TYPE": "webdav",
            "RCLONE_CONFIG_DAV_URL": f"http://{where}",
            "RCLONE_CONFIG_DAV_VENDOR": "other",
            "RCLONE_CONFIG_SEALED_TYPE": "crypt",
            "RCLONE_CONFIG_SEALED_REMOTE": "dav:",
            "RCLONE_CONFIG_SEALED_PASSWORD": run("rclone", "obscure", "bench").strip(),
        }
        serve = ("rclone", "serve", "webdav", "--addr", where, f"{site.folder}/store")
        there = f"sealed:{site.load.path.name}"
        with site.serving(PORT, *serve, **settings) as server:
            put = ("rclone", "copyto", str(site.load.path), there)
            yield site.move("upload", server, *put, **settings)
            get = ("rclone", "copyto", there, str(site.received))
            yield site.move("download", server, *get, **settings)


class Restic(Carrier):
    """restic: a backup to a REST server on side B, which rclone is, and its restoring."""

    name = "restic"
    family = "store"
    commands = ("restic", "rclone")

    def carry(self, site: Site) -> Iterator[Carried]:
        where = f"{site.link.address('b')}:{PORT}"
        settings = {
            "RESTIC_REPOSITORY": f"rest:http://{where}/",
            "RESTIC_PASSWORD": "bench",
            "RESTIC_CACHE_DIR": f"{site.folder}/cache",
        }
        serve = ("rclone", "serve", "restic", "--addr", where, f"{site.folder}/store")
        from_there = ("env", "--chdir", str(site.load.path.parent))  # or the whole path is restored
        with site.serving(PORT, *serve, RCLONE_CONFIG="/dev/null") as server:
            site.prepare("restic", "-q", "init", **settings)
            backup = (*from_there, "restic", "-q", "backup", site.load.path.name)
            yield site.move("upload", server, *backup, **settings)
            restore = ("restic", "-q", "restore", "latest", "--target", str(site.got))
            yield site.move("download", server, *restore, **settings)


class Wormhole(Carrier):
    """magic-wormhole, straight from A to B; its mailbox and its relay are on side B and not counted."""

    name = "magic-wormhole"
    family = "direct"
    modules = ("wormhole", "wormhole_mailbox_server", "wormhole_transit_relay")

    def carry(self, site: Site) -> Iterator[Carried]:
        host = site.link.address("b")
        twist = ("env", "--chdir", str(site.folder), sys.executable, "-m", "twisted")
        database = f"--channel-db={site.folder}/mailbox"
        mailbox = (*twist, "wormhole-mailbox", f"--port=tcp:{PORT}:interface={host}", database)
        relay = (*twist, "transitrelay", f"--port=tcp:{PORT + 1}:interface={host}")
        with site.serving(PORT, *mailbox), site.serving(PORT + 1, *relay):
            yield self._handed_over(site, host)

    def _handed_over(self, site: Site, host: str) -> Carried:
        relay_url, helper = f"ws://{host}:{PORT}/v1", f"tcp:{host}:{PORT + 1}"
        places = ("--relay-url", relay_url, "--transit-helper", helper)
        wormhole = (sys.executable, "-m", "wormhole", *places)
        send = ("send", "--hide-progress", f"--code={CODE}", str(site.load.path))
        receive = ("receive", "--hide-progress", "--accept-file", "-o", str(site.received), CODE)
        site.warm()
        started = time.monotonic()
        with (
            site.start("a", *wormhole, *send) as sends,
            site.start("b", *wormhole, *receive) as receives,
        ):
            _, cpu_s_b = receives.finish(PATIENCE)
            _, cpu_s_a = sends.finish(PATIENCE)
            seconds = time.monotonic() - started
            for each in (receives, sends):
                if not each.succeeded:
                    raise each.failure("the handover failed")
        return Carried("handover", seconds, cpu_s_a, cpu_s_b)
