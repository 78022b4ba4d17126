"""`upload` and `download`: hand something over."""

from __future__ import annotations

import ipaddress
import time
from pathlib import Path
from typing import Annotated

import typer

from repram.ids import NodeAddress, format_duration, format_size, parse_duration
from repram_cli import output, settings
from repram_cli.options import Host, Json, Quiet, Timeout
from repram_cli.running import run


def upload(
    path: Annotated[str, typer.Argument(metavar="PATH|-", help="A file, or - for stdin.")],
    *,
    ttl: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            default_factory=settings.text("ttl"),
            show_default=False,
            help="How long it lives: 90s, 15m, 12h, 7d, 2w; else the setting, else 24h.",
        ),
    ],
    host: Host,
    timeout: Timeout,
    json: Json = False,
    quiet: Quiet,
) -> None:
    """Seal a file, store it on a node, and print the link that opens it."""
    run(_upload(path, ttl=ttl, host=host, within=timeout, json=json, quiet=quiet))


def download(
    link: Annotated[str, typer.Argument(metavar="LINK", help="What `repram upload` printed.")],
    *,
    target: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="PATH|-", help="A file, a folder, or - for stdout."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Replace a file that is there.")] = False,
    timeout: Timeout,
    quiet: Quiet,
) -> None:
    """Fetch what a link names; without -o under the sender's name, here."""
    run(_download(link, target=target, overwrite=yes, within=timeout, quiet=quiet))


async def _upload(
    path: str, *, ttl: str, host: str | None, within: str, json: bool, quiet: bool
) -> None:
    from repram.sdk import Client, Moved  # `--help` and `--version` do without its imports

    lifetime = parse_duration(ttl)
    show = output.event_each_second if json else output.bar
    with show("sealing and sending", quiet=quiet) as report:
        async with Client(host, timeout=_seconds(within)) as client:
            if path == "-":
                transfer = client.upload(output.stdin(), ttl=ttl, name="stdin")
            else:
                transfer = client.upload(path, ttl=ttl)
            async for event in transfer:
                if isinstance(event, Moved):
                    report(event)
            link = await transfer
    if json:
        output.event("link", link=str(link), id=str(link.item), ttl=lifetime // 1_000)
    else:
        output.data(str(link))
    if not quiet:
        _tell_what_happens(link.node, lifetime)


async def _download(
    link: str, *, target: str | None, overwrite: bool, within: str, quiet: bool
) -> None:
    from repram.sdk import Client, Moved  # as above

    started = time.monotonic()
    with output.bar("fetching and opening", quiet=quiet) as show:
        async with Client(timeout=_seconds(within)) as client:
            if target == "-":
                transfer = client.download_into(link, output.stdout())
            else:
                transfer = client.download(
                    link, Path(target) if target else None, overwrite=overwrite
                )
            async for event in transfer:
                if isinstance(event, Moved):
                    show(event)
            received = await transfer
    for path in received.paths:
        if not quiet:
            seconds = time.monotonic() - started
            size = format_size(received.size)
            output.say(f"{output.shown(path)}: {size} in {seconds:.1f} s, verified")


def _seconds(text: str) -> float:
    return parse_duration(text) / 1_000


def _tell_what_happens(node: NodeAddress, lifetime: int) -> None:
    output.say(f"gone in {format_duration(lifetime)}; whoever has the link can read it until then")
    if _is_loopback(node.at.host):
        output.say("the node's address is a loopback one: the link works on this computer only")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
