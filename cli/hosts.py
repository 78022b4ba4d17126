"""`hosts …`: the nodes to store on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from repram.content.names import shown
from repram.ids import format_size, parse_duration
from repram_cli import output, settings
from repram_cli.asking import ask_for_line, refuse_secret
from repram_cli.options import PASTE_INVITE, Json, Quiet, Timeout, wanted_host
from repram_cli.running import run

if TYPE_CHECKING:
    from repram.sdk import About
    from repram.sdk.hosts import Host

app = typer.Typer(help="The nodes to store on.", no_args_is_help=True)


@app.command()
def add(
    address: Annotated[
        str | None,
        typer.Argument(
            metavar="[ADDRESS]", help="Without it, an invite or an address is asked for."
        ),
    ] = None,
    *,
    name: Annotated[
        str, typer.Option(metavar="NAME", help="What to call it; else as its host is called.")
    ] = "",
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Read the invite or address from here.")
    ] = None,
    default: Annotated[
        bool, typer.Option("--default", help="Store here when nothing else is said.")
    ] = False,
    quiet: Quiet,
) -> None:
    """Add a node by its address, or by an invite to it."""
    from repram.sdk.hosts import Host, Hosts

    if address is not None:
        refuse_secret(address, PASTE_INVITE)
    line = address if address is not None else ask_for_line("invite or address", file)
    added = Hosts().add(Host.parse(line, name), default=default)
    output.data(added.name)
    if not quiet:
        with_invite = "with its invite " if added.secret else ""
        output.say(f"added {with_invite}as {added.name}; `repram hosts test {added.name}` tries it")


@app.command("ls")
def list_hosts(json: Json = False) -> None:
    """List the nodes: name, address, and what is to be known of it."""
    from repram.sdk.hosts import Hosts

    hosts = Hosts()
    usual = hosts.default()
    for host in hosts.all():
        is_usual = usual is not None and host.name == usual.name
        if json:
            facts = {"invite": host.secret is not None, "default": is_usual}
            output.event("host", name=host.name, address=str(host.address), **facts)
        else:
            notes = ["invite"] * bool(host.secret) + ["default"] * is_usual
            output.data(f"{host.name}\t{host.address}\t{','.join(notes)}")


@app.command()
def rm(name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Forget a node, and the invite to it."""
    from repram.sdk.hosts import Hosts

    Hosts().remove(name)


@app.command("test")
def try_out(
    name: Annotated[str | None, typer.Argument(metavar="[NAME|ADDRESS]")] = None,
    *,
    timeout: Timeout,
    json: Json = False,
) -> None:
    """Connect to a node and tell what it is like."""
    from repram.sdk.hosts import Hosts

    wanted = wanted_host(name) or settings.found(settings.named("host")).value or None
    host = Hosts().chosen(wanted, os.environ)
    _tell(host, run(_about(host, parse_duration(timeout) / 1_000)), json=json)


async def _about(host: Host, within: float) -> About:
    from repram.sdk import Client  # as in upload.py

    async with Client(host, timeout=within) as client:
        return await client.about()


def _tell(host: Host, about: About, *, json: bool) -> None:
    node, free = about.node, about.free
    if json:
        output.event(
            "node",
            name=host.name,
            address=str(host.address),
            version=node.version,
            tier=node.tier,
            free=free,
            capacity=node.capacity,
            may_store=node.may_store,
            may_read=node.may_read,
            clock_offset=about.clock_offset,
            rtt=about.rtt,
        )
        return
    may = [
        verb for verb, allowed in (("store", node.may_store), ("read", node.may_read)) if allowed
    ]
    for title, text in (
        ("address", str(host.address)),
        ("version", shown(node.version)),
        ("holds in", shown(node.tier)),
        ("free", f"{format_size(free)} of {format_size(node.quota or node.capacity)}"),
        ("you may", " and ".join(may) or "do nothing"),
        ("clock", f"{about.clock_offset:+.3f} s from this machine's"),
        ("round trip", f"{about.rtt * 1_000:.1f} ms"),
    ):
        output.data(f"{title:<12}{text}")
