"""`links …`: what was handed over from here, and what can still be done about it."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from repram.ids import format_size, parse_duration, roughly
from repram_cli import output, pasted
from repram_cli.options import Json, Quiet, Timeout
from repram_cli.running import run

if TYPE_CHECKING:
    from repram.sdk import Made, Standing
    from repram.sdk.links import Links

T = TypeVar("T")

app = typer.Typer(
    help="The links that were made here: look them up, extend or revoke them.", no_args_is_help=True
)

Which = Annotated[
    str, typer.Argument(metavar="LINK|ID", help="The link, or the first characters of its id.")
]


@app.command("ls")
def list_links(*, json: Json = False) -> None:
    """List them, the newest first: id, time that remains, size, name."""
    for made in _on_links(lambda links: links.ls()):
        if json:
            output.event("made", **_facts(made))
            continue
        left = "revoked" if made.state == "revoked" else _left(made)
        name = output.shown(Path(made.name))
        output.data(f"{str(made.id)[:12]}\t{left}\t{format_size(made.size)}\t{name}")


@app.command()
def info(which: Which, *, timeout: Timeout, json: Json = False) -> None:
    """Say what a link is, and how it stands on each host that has it."""
    _refuse_others(which)
    made, standings = _on_links(lambda links: links.info(which), timeout)
    if json:
        output.event("made", **_facts(made))
        for each in standings:
            output.event("standing", **_standing_facts(each))
        return
    for title, text in _lines(made):
        output.data(f"{title:<12}{text}")
    for each in standings:
        output.data(f"{'on':<12}{each.host}: {_stands(each)}")


@app.command()
def revoke(which: Which, *, timeout: Timeout, json: Json = False, quiet: Quiet) -> None:
    """Have every host forget it, now and for good."""
    _refuse_others(which)
    made = _on_links(lambda links: links.revoke(which), timeout)
    if json:
        output.event("made", **_facts(made))
    if not quiet:
        output.say(f"revoked {output.shown(Path(made.name))}; who has downloaded it still has it")


@app.command()
def extend(
    which: Which,
    ttl: Annotated[str, typer.Argument(metavar="TIME", help="How long from now on: 12h, 7d, 2w.")],
    *,
    timeout: Timeout,
    json: Json = False,
    quiet: Quiet,
) -> None:
    """Let it live longer: for so long from now on."""
    _refuse_others(which)
    made = _on_links(lambda links: links.extend(which, ttl), timeout)
    if json:
        output.event("made", **_facts(made))
    if not quiet:
        output.say(f"{output.shown(Path(made.name))} is gone in {_left(made)}")


@app.command()
def history(which: Which, *, json: Json = False) -> None:
    """Say what was done with it, the oldest first."""
    _refuse_others(which)
    for each in _on_links(lambda links: links.history(which)):
        if json:
            output.event(
                "happened", what=each.what, time=each.time / 1_000, expires=each.expires / 1_000
            )
        else:
            output.data(f"{_date(each.time)}\t{each.what}\tuntil {_date(each.expires)}")


def _on_links(act: Callable[[Links], Coroutine[Any, Any, T]], within: str = "10s") -> T:
    async def command() -> T:
        from repram.sdk import Client  # as in upload.py

        async with Client(timeout=parse_duration(within) / 1_000) as client:
            return await act(client.links)

    return run(command())


def _refuse_others(which: str) -> None:
    if not pasted.is_link(which):
        pasted.refuse(which, "a link or the start of its id")


def _facts(made: Made) -> dict[str, object]:
    """Times in seconds, as everywhere."""
    return {
        "id": str(made.id),
        "link": None if made.link is None else str(made.link),
        "kind": made.kind,
        "name": made.name,
        "size": made.size,
        "made": made.made / 1_000,
        "expires": made.expires / 1_000,
        "hosts": [str(host) for host in made.hosts],
        "downloads": made.downloads,
        "password": made.password,
        "people": made.people,
        "state": made.state,
    }


def _standing_facts(standing: Standing) -> dict[str, object]:
    return {
        "host": str(standing.host),
        "remaining": standing.remaining / 1_000,
        "left": standing.left,
        "under_way": standing.under_way,
        "trouble": standing.trouble,
    }


def _lines(made: Made) -> list[tuple[str, str]]:
    locks = ["a password"] * made.password
    if made.people:
        locks.append(f"the key of one of {made.people}" if made.people > 1 else "one person's key")
    return [
        ("name", output.shown(Path(made.name))),
        ("size", format_size(made.size)),
        ("made", _date(made.made)),
        ("until", _date(made.expires) if made.state == "live" else "revoked"),
        ("downloads", str(made.downloads) if made.downloads else "as often as anyone likes"),
        ("opened by", " and ".join(["the link", *locks])),
        ("link", str(made.link) if made.link else "revoked, and its key is forgotten"),
    ]


def _stands(standing: Standing) -> str:
    if standing.trouble:
        return standing.trouble
    if not standing.remaining:
        return "not there"
    left = f"there for {roughly(standing.remaining)}"
    if standing.left is None:
        return left
    return f"{left}, {standing.left} downloads left, {standing.under_way} under way"


def _left(made: Made) -> str:
    return roughly(max(0, made.expires - time.time_ns() // 1_000_000))


def _date(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1_000).astimezone().isoformat(" ", "seconds")
