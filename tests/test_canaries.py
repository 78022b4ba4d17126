"""Secrets are planted in transfers, then looked for wherever somebody could look who may not know them."""

from __future__ import annotations

import asyncio
import base64
import bz2
import lzma
import os
import random
import secrets
import subprocess
import sys
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from repram.crypto.links import Link, parse_link
from repram.crypto.passwords import cheap_for_tests
from repram.ids import NodeAddress
from repram.sdk import Client
from repram.sdk.account import Account
from tests.canaries import Capture, begun_with, files_in, found_in, memory_of, spellings
from tests.processes import ENVIRONMENT, REPRAM, node

CHEAP = (sys.executable, "-m", "tests.cheap")
HERE = str(Path(__file__).parents[1])  # where that is found, in whatever folder it is run
CONTENT, NAME, PASSWORD, OF_ACCOUNT = "content", "name", "password", "account's password"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="packets and memory are root's to read")
FROM_COMMAND = """#!/bin/sh
cat /proc/self/cmdline /proc/self/environ /proc/$PPID/cmdline /proc/$PPID/environ >>{seen}
cat {secret}
"""


class Transfers:
    """What is handed over, by whom to whom, and everything secret about it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.secrets = {
            each: f"canary é {each} {secrets.token_hex(6)}".encode()
            for each in (CONTENT, NAME, PASSWORD, OF_ACCOUNT)
        }
        self.given = folder / "given"
        self.given.mkdir()
        self.file = self.given / self.text(NAME)
        self.file.write_bytes(self.secrets[CONTENT] * 5_000)
        (folder / "secret").write_bytes(self.secrets[PASSWORD])
        self.command = folder / "command"
        self.command.write_text(FROM_COMMAND.format(seen=folder / "seen", secret=folder / "secret"))
        self.command.chmod(0o755)
        self.account = Account(folder / "state" / "repram")
        recovery = self.account.create(self.text(OF_ACCOUNT))
        self.secrets["recovery key"] = recovery.secret
        self.secrets["account's seed"] = self.account.open(self.text(OF_ACCOUNT))

    def text(self, secret: str) -> str:
        return self.secrets[secret].decode()

    def cli(self, *arguments: str) -> tuple[int, str, bytes]:
        """With the password from the command; exit code, output, and what was said."""
        done = subprocess.run(
            [*CHEAP, *arguments, "--password-command", str(self.command)],
            capture_output=True,
            check=False,
            cwd=self.folder,
            env=ENVIRONMENT | {"XDG_STATE_HOME": str(self.folder / "state"), "PYTHONPATH": HERE},
            start_new_session=True,
        )
        return done.returncode, done.stdout.decode().strip(), done.stderr

    async def in_this_process(self, link: str, host: str) -> None:
        """Another upload, and both downloaded; on the way what opens them is noted."""

        async def ask(_wrong_before: bool) -> str:
            return self.text(OF_ACCOUNT)

        unbox = self.account.unboxer(ask)
        async with Client(host, state=self.account.path.parent) as client:
            counted = await client.upload(self.file, downloads=9)
            locks = self.text(PASSWORD), unbox
            for name, each in (("locked", parse_link(link)), ("counted", counted)):
                assert isinstance(each, Link)
                receiving = client._receiving(each, *locks, lambda _event: None)
                async with receiving._opened() as (head, _):
                    self.secrets[f"chunk key, {name}"] = head.body.refs[0].key
                self.secrets[f"secret of the {name} link"] = each.secret
                self.secrets[f"fragment of the {name} link"] = (
                    str(each).partition("#v1.")[2].encode()
                )
            await client.download(
                link, self.folder / "got", password=self.text(PASSWORD), unbox=unbox
            )
        assert (self.folder / "got" / self.file.name).read_bytes() == self.file.read_bytes()


Leaks = Mapping[str, tuple[str, Callable[[bytes], bytes]]]
"""What to leak at a place, and how it is written there."""


def searched(folder: Path, leaks: Leaks) -> dict[str, set[str]]:
    """What was found at each place, once all was handed over through two nodes, one of which leaks."""
    by = (sys.executable, "-m", "tests.leaking", str(folder / "leaks")) if leaks else REPRAM
    with cheap_for_tests():
        at = Transfers(folder)
        (folder / "leaks").mkdir()
        for place, (secret, written) in leaks.items():
            (folder / "leaks" / place).write_bytes(written(at.secrets[secret]))
        with node("--disk", folder / "disk", by=by) as one, node() as other:
            nodes = (one, other)
            with Capture(NodeAddress.parse(each.address).at.port for each in nodes) as packets:
                hosts = ("--host", one.address, "--host", other.address)
                to = ("--to", str(at.account.person()))
                code, link, told = at.cli("upload", "given", "--ttl", "1h", *hosts, *to)
                assert code == 0, told
                asyncio.run(at.in_this_process(link, one.address))
                code, _, told_by_download = at.cli("download", link)
                assert code != 0, told_by_download  # the account is locked
            places = {
                "memory": memory_of(one.process.pid),
                "memory of the other": memory_of(other.process.pid),
                "arguments, environment": b"".join(begun_with(each.process.pid) for each in nodes),
                "log": b"".join(each.stop()[1].encode() for each in nodes),
            }
    assert len(packets.seen) > 2 * at.file.stat().st_size
    places |= {
        "packets": packets.seen,
        "folder": files_in(folder / "disk"),
        "the client's words": told + told_by_download,
        "the client's state": files_in(folder / "state"),
        "what the password's command saw": (folder / "seen").read_bytes(),
    }
    return {place: found_in(seen, at.secrets) for place, seen in places.items()}


OWN = {"name", "secret of the locked link", "secret of the counted link"}
"""What the client has to remember, for `repram links`."""


@as_root
def test_no_secret_is_found_where_others_could_look(tmp_path: Path) -> None:
    found = searched(tmp_path, {})
    assert {place: names for place, names in found.items() if names} == {"the client's state": OWN}


@as_root
def test_a_build_that_leaks_is_caught_at_each_place(tmp_path: Path) -> None:
    found = searched(
        tmp_path,
        {
            "memory": (CONTENT, lambda secret: secret.decode().encode("utf-16-le")),
            "folder": (NAME, lambda secret: b"." * 9_999 + zlib.compress(secret) + b"." * 99),
            "log": (PASSWORD, lambda secret: "".join(f"%{each:02X}" for each in secret).encode()),
            "packets": (OF_ACCOUNT, lambda secret: base64.urlsafe_b64encode(b"." + secret + b".")),
            "arguments": ("recovery key", lambda secret: secret.hex().encode()),
            "environment": ("account's seed", base64.b64encode),
        },
    )
    assert CONTENT in found.pop("memory")
    assert {place: names for place, names in found.items() if names} == {
        "folder": {NAME},
        "log": {PASSWORD},
        "packets": {OF_ACCOUNT},
        "arguments, environment": {"recovery key", "account's seed"},
        "the client's state": OWN,
    }


NOISE = random.Random(5)
WRITTEN: dict[str, Callable[[bytes], bytes]] = {
    "raw": bytes,
    "in base64, shifted by one": lambda secret: base64.b64encode(b"x" + secret + b"yz"),
    "in base64, shifted by two": lambda secret: base64.b64encode(b"xx" + secret + b"y"),
    "in base64url": base64.urlsafe_b64encode,
    "in lines of hex": lambda secret: b"key=" + secret.hex().upper().encode() + b"\n",
    "UTF-16": lambda secret: secret.decode("latin-1").encode("utf-16-be"),
    "percent-encoded": lambda secret: "".join(f"%{each:02x}" for each in secret).encode(),
    "as Python shows it": lambda secret: repr(secret).encode(),
    "gzip": lambda secret: zlib.compress(secret, wbits=31),
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "zlib in base64 in zlib": lambda secret: zlib.compress(base64.b64encode(zlib.compress(secret))),
    "base64 of UTF-16": lambda secret: base64.b64encode(
        secret.decode("latin-1").encode("utf-16-le")
    ),
}


@pytest.mark.parametrize("how", WRITTEN)
def test_the_search_finds_it_however_it_is_written(how: str) -> None:
    secret, other = NOISE.randbytes(32), NOISE.randbytes(32)
    data = NOISE.randbytes(5_000) + WRITTEN[how](secret) + b"\n" + NOISE.randbytes(5_000)
    assert found_in(data, {"secret": secret, "other": other}) == {"secret"}


def test_no_spelling_is_so_short_that_chance_finds_it() -> None:
    assert min(map(len, spellings(NOISE.randbytes(32)).values())) == 32
