"""`download`, and a bare link: take what was handed over."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from repram.errors import IntegrityFailure, UsageError
from repram.ids import format_size, parse_duration
from repram_cli import output, pasted
from repram_cli.asking import PasswordCommand, PasswordFile
from repram_cli.link_password import OF_ACCOUNT, OF_LINK, Asked
from repram_cli.options import Json, Quiet, Timeout
from repram_cli.progress import followed, left_out
from repram_cli.running import GO_ON, run

if TYPE_CHECKING:
    from repram.sdk import Received


def download(
    link: Annotated[str, typer.Argument(metavar="LINK", help="What `repram upload` printed.")],
    *,
    target: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="PATH|-", help="A file, a folder, or - for stdout."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Replace a file that is there.")] = False,
    password_file: PasswordFile = None,
    password_command: PasswordCommand = None,
    timeout: Timeout,
    json: Json = False,
    quiet: Quiet,
) -> None:
    """Fetch what a link names; without -o under the sender's name, here."""
    if not pasted.is_link(link):
        pasted.refuse(link, "a link")
    if json and target == "-":
        raise UsageError("--json and -o - both want stdout", hint="Give one of them.")
    password = Asked(OF_LINK, file=password_file, command=password_command)
    started = time.monotonic()

    async def command() -> Received:
        from repram.sdk import Client  # as in upload.py
        from repram.sdk.account import Account

        unbox = Account().unboxer(Asked(OF_ACCOUNT))
        async with Client(timeout=parse_duration(timeout) / 1_000) as client:
            if target == "-":
                sink = output.stdout()
                transfer = client.download_into(link, sink, password=password, unbox=unbox)
            else:
                where = Path(target) if target else None
                transfer = client.download(
                    link, where, overwrite=yes, password=password, unbox=unbox
                )
            return await followed(transfer, "fetching and opening", json=json, quiet=quiet)

    received = run(command(), hint="" if target == "-" else GO_ON)
    _tell(received, time.monotonic() - started, json=json, quiet=quiet)
    if received.hostile:
        output.say(
            "  The rest has come. No honest sender writes such names: do not trust who made this link."
        )
        raise typer.Exit(IntegrityFailure.exit_code)
    if received.refused:
        raise typer.Exit(1)  # the rest has come, but not all that the sender sent


def _tell(received: Received, seconds: float, *, json: bool, quiet: bool) -> None:
    for each in received.refused:
        output.say(f"not written, {left_out(each).removeprefix('left out: ')}")
    if json:
        output.event(
            "received",
            paths=[str(path) for path in received.paths],
            size=received.size,
            refused=[{"path": each.path, "why": each.why} for each in received.refused],
        )
    if quiet or not received.paths:
        return
    names = ", ".join(output.shown(path) for path in received.paths[:3])
    more = f" and {len(received.paths) - 3} more" if len(received.paths) > 3 else ""
    output.say(f"{names}{more}: {format_size(received.size)} in {seconds:.1f} s, verified")
