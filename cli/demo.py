"""`make demo`: a node, a file, its link and QR code, a value, and what is left of them after their time."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from repram.errors import NotFound, RepramError
from repram.ids import format_size
from repram_cli import output

_SIZE: Final = 8 << 20
_TTL: Final = 30
_VALUE_TTL: Final = 8
_PATIENCE: Final = 20
_REPRAM: Final = (sys.executable, "-m", "repram_cli")


def main() -> None:
    """Tell the story; anything that goes differently ends it with an error."""
    try:
        with tempfile.TemporaryDirectory(prefix="repram-demo-") as folder:
            for home in ("STATE", "CONFIG"):  # nothing of it is the person's own
                os.environ[f"XDG_{home}_HOME"] = f"{folder}/{home.lower()}"
            _story(Path(folder))
    except RepramError as error:
        output.report(error)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _story(folder: Path) -> None:
    (folder / "sent").mkdir()
    (folder / "received").mkdir()
    original = folder / "sent" / "holiday.tar"
    original.write_bytes(secrets.token_bytes(_SIZE))
    with _node() as address:
        _step("1", "a node, holding sealed bytes in memory only", address)
        link = _said("upload", str(original), "--ttl", f"{_TTL}s", "--host", address)
        gone_at = time.monotonic() + _TTL  # or before: its time runs from the start
        _step("2", f"{format_size(_SIZE)} sealed and stored for {_TTL} s; their link", link)
        output.qr(link)
        _said(link, "-o", str(folder / "received"))
        _compare(original, folder / "received" / original.name)
        _step("3", "downloaded by the link in another process", "every byte is the same")
        _step("4", "a value in the same node's memory", _value(address))
        _count_down(gone_at)
        _expect_gone(link, folder / "too-late")
        _step("5", "the link again", "nothing: the node has forgotten it")
    output.say("\nThat was repram: sealed here, held there, gone on time.")


@contextmanager
def _node() -> Iterator[str]:
    """A node in its own process, and its address; it must stop cleanly when told to."""
    command = (*_REPRAM, "storaged", "run", "--public", "--listen", "127.0.0.1:0")
    with subprocess.Popen(  # noqa: S603  # our own interpreter and arguments
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as node:
        try:
            address = node.stdout.readline().strip() if node.stdout else ""
            if not address:
                raise RepramError("the node did not start", hint=f"Try `{' '.join(command[1:])}`.")
            yield address
            node.terminate()
            if node.wait(_PATIENCE) != 0:
                raise RepramError(f"the node ended with {node.returncode} when told to stop")
        finally:
            node.kill()


def _repram(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # our own interpreter and arguments
        (*_REPRAM, *arguments), capture_output=True, text=True, timeout=_PATIENCE, check=False
    )


def _said(*arguments: str) -> str:
    """What a command that must succeed prints."""
    done = _repram(*arguments)
    if done.returncode != 0:
        raise RepramError(
            f"`repram {arguments[0]}` ended with {done.returncode}", hint=done.stderr.strip()
        )
    return done.stdout.strip()


def _value(address: str) -> str:
    """Put one, read it back, and watch it until it expires."""
    _said("kv", "put", "door", "swordfish", "--ttl", f"{_VALUE_TTL}s", "--host", address, "--quiet")
    if _said("kv", "get", "door", "--host", address) != "swordfish":
        raise RepramError("another value came back than was put")
    command = (*_REPRAM, "kv", "watch", "door", "--host", address, "--json")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:  # noqa: S603  # as above
        overdue = threading.Timer(_VALUE_TTL + _PATIENCE, watching.kill)
        overdue.start()
        try:
            kinds = (json.loads(line)["type"] for line in watching.stdout or ())
            if not any(kind == "expired" for kind in kinds):
                raise RepramError("nobody was told that the value has expired")
        finally:
            overdue.cancel()
            watching.kill()
    done = _repram("kv", "get", "door", "--host", address)
    if done.returncode != NotFound.exit_code:
        raise RepramError(f"after its time `repram kv get` ended with {done.returncode}")
    return f"put, read, and after {_VALUE_TTL} s gone, as its watcher was told"


def _compare(original: Path, received: Path) -> None:
    if original.read_bytes() != received.read_bytes():
        raise RepramError("what came back is not what was sent")


def _expect_gone(link: str, target: Path) -> None:
    done = _repram("download", link, "-o", str(target))
    if done.returncode != NotFound.exit_code or target.exists():
        raise RepramError(
            f"after its time the file is still there: `repram download` ended with {done.returncode}",
            hint=done.stderr.strip(),
        )


def _count_down(until: float) -> None:
    """A line that counts on a terminal; elsewhere one that says how long it will be."""
    live = sys.stderr.isatty()
    if not live and until > time.monotonic():
        output.say(f"   …   waiting {until - time.monotonic():.0f} s for it to expire")
    while (left := until - time.monotonic()) > 0:
        if live:
            sys.stderr.write(f"\r   …   expires in {left:2.0f} s ")
            sys.stderr.flush()
        time.sleep(min(left, 0.2))
    if live:
        sys.stderr.write("\r\033[K")


def _step(number: str, title: str, result: str) -> None:
    output.say(f"\n   {number}   {title}\n       {_bold(result)}")


def _bold(text: str) -> str:
    plain = "NO_COLOR" in os.environ or not sys.stderr.isatty()
    return text if plain else f"\033[1m{text}\033[0m"


if __name__ == "__main__":
    main()
