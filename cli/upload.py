"""`upload`: hand something over."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from repram.errors import UsageError
from repram.ids import NodeAddress, format_duration, format_size, parse_duration
from repram_cli import output, pasted, settings
from repram_cli.asking import PasswordCommand, PasswordFile
from repram_cli.first_host import hosts_or_offer
from repram_cli.link_password import chosen
from repram_cli.options import Json, Quiet, Timeout, grouped, wanted_host
from repram_cli.progress import followed, left_out
from repram_cli.running import GO_ON, run

if TYPE_CHECKING:
    from repram.crypto.links import Link
    from repram.crypto.people import Person
    from repram.sdk.hosts import Host
    from repram.sdk.source import Uploadable


def _wanted_hosts(texts: list[str] | None) -> list[str] | None:
    for text in texts or ():
        wanted_host(text)
    return texts


@dataclass(frozen=True, kw_only=True)
class Terms:
    """For how long, how often, for whom, and where."""

    ttl: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            default_factory=settings.text("ttl"),
            show_default=False,
            help="How long it lives: 90s, 15m, 12h, 7d, 2w; else the setting, else 24h.",
        ),
    ]
    downloads: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="It can be downloaded so often.")
    ] = None
    once: Annotated[bool, typer.Option("--once", help="It can be downloaded once.")] = False
    password: Annotated[
        bool,
        typer.Option("--password", help="It takes a password to open it, too; it is asked for."),
    ] = False
    password_file: PasswordFile = None
    password_command: PasswordCommand = None
    to: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PERSON",
            help="Only they can open it: what their `repram id` prints; repeatable.",
        ),
    ] = None
    host: Annotated[
        list[str] | None,
        typer.Option(
            "--host",
            metavar="NAME|ADDRESS",
            callback=_wanted_hosts,
            help="The node to store on; several times: a copy on each. Else the setting, else the "
            "default of `repram hosts ls`.",
        ),
    ] = None


@grouped
def upload(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH...|-", help="Files and folders, or - for stdin.")
    ],
    *,
    terms: Terms,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What it is to be called, instead of its own."),
    ] = None,
    qr: Annotated[bool, typer.Option("--qr", help="Show the link as a QR code, too.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go where, and send nothing.")
    ] = False,
    timeout: Timeout,
    json: Json = False,
    quiet: Quiet,
) -> None:
    """Seal files, store them on a node, and print the link that opens them."""
    what = _what(paths)
    offer = _offer(terms)
    hosts = hosts_or_offer(terms.host or [], offer=not dry_run)
    if dry_run:
        _tell_plan(what, name or _stdin_name(paths), hosts, parse_duration(terms.ttl), json=json)
        return

    async def command() -> Link:
        from repram.sdk import Client  # `--help` and `--version` do without its imports

        async with Client(hosts=hosts, timeout=parse_duration(timeout) / 1_000) as client:
            transfer = client.upload(what, name=name or _stdin_name(paths), **offer)
            return await followed(transfer, "sealing and sending", json=json, quiet=quiet)

    again = all(Path(path).is_file() or Path(path).is_dir() for path in paths)  # no pipe, no stdin
    link = run(command(), hint=GO_ON if again else "")
    if json:
        _tell_link(link, offer)
    else:
        output.data(str(link))
    if qr:
        output.qr(str(link))
    if not quiet:
        _say_what_happens(link.node, offer)


def _what(paths: list[str]) -> Uploadable:
    if paths == ["-"]:
        return output.stdin()
    if "-" in paths:
        raise UsageError("- is stdin, which goes alone", hint="Write ./- for a file of that name.")
    for path in paths:
        pasted.refuse(path, "a file or folder")
    return paths[0] if len(paths) == 1 else paths


def _stdin_name(paths: list[str]) -> str | None:
    return "stdin" if paths == ["-"] else None


def _offer(terms: Terms) -> dict[str, Any]:
    """The terms as the SDK takes them; what is wrong with them is told before anything is asked."""
    if terms.once and terms.downloads:
        raise UsageError("--once and --downloads exclude each other", hint="Give one of them.")
    return {
        "ttl": terms.ttl,
        "downloads": 1 if terms.once else terms.downloads,
        "to": _people(terms.to or []),
        "password": chosen(terms.password_file, terms.password_command, wanted=terms.password),
    }


def _people(texts: list[str]) -> tuple[Person, ...]:
    if not texts:
        return ()
    from repram.crypto.people import Person

    return tuple(map(Person.parse, texts))


def _tell_link(link: Link, offer: dict[str, Any]) -> None:
    output.event(
        "link",
        link=str(link),
        id=str(link.item),
        ttl=parse_duration(offer["ttl"]) // 1_000,
        downloads=offer["downloads"] or 0,
        password=offer["password"] is not None,
        people=len(offer["to"]),
    )


def _say_what_happens(node: NodeAddress, offer: dict[str, Any]) -> None:
    who = "whoever has the link"
    if offer["to"]:
        who = "those it is sealed to, with the link,"
    if offer["password"] is not None:
        who = f"{who.rstrip(',')} and the password"
    often = {None: "", 1: " once"}.get(offer["downloads"], f" {offer['downloads']} times")
    lives = format_duration(parse_duration(offer["ttl"]))
    output.say(f"gone in {lives}; {who} can read it{often} until then")
    try:
        at = ipaddress.ip_address(node.at.host)
        is_here, is_near = at.is_loopback, at.is_private
    except ValueError:
        is_here, is_near = node.at.host == "localhost", False
    if is_here:
        output.say("the node's address is a loopback one: the link works on this computer only")
    elif is_near:
        output.say(f"the node is at {node.at.host}: the link works in that network only")


def _tell_plan(
    what: Uploadable, name: str | None, hosts: tuple[Host, ...], ttl: int, *, json: bool
) -> None:
    from repram.sdk.source import Content

    content = Content.open(what, name)
    content.close()
    for each in content.left_out:
        output.say(left_out(each))
    addresses = [str(host.address) for host in hosts]
    kind = str(content.kind)
    if json:
        facts = {"kind": kind, "size": content.size, "hosts": addresses, "ttl": ttl // 1_000}
        output.event("plan", name=content.name, **facts)
        return
    size = "unknown size" if content.size is None else format_size(content.size)
    output.data(f"{kind}\t{size}\t{format_duration(ttl)}\t{output.shown(Path(content.name))}")
    for address in addresses:
        output.data(f"to\t{address}")
