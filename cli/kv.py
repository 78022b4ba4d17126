"""`kv …`: small values with a name, held for seconds to days; `put` and `get` are short for two of them."""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from repram.content.names import shown
from repram.ids import parse_duration, roughly
from repram_cli import options, output
from repram_cli.running import run

if TYPE_CHECKING:
    from repram.sdk.kv import Stored, Value, Values
    from repram.sdk.watching import Event

app = typer.Typer(help="Values: small, named, sealed, and gone on time.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="What the value is called.")]
IfVersion = Annotated[
    int | None, typer.Option(metavar="N", help="Only if this is the version that is there.")
]


@app.command()
@options.grouped
def put(
    name: Name,
    value: Annotated[
        str,
        typer.Argument(
            metavar="[VALUE|-]",
            help="The value, which other users of this machine may see here; - for stdin.",
        ),
    ] = "-",
    *,
    ttl: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="How long it lives, 1s to 30d; else 1h."),
    ] = None,
    if_version: IfVersion = None,
    if_absent: Annotated[
        bool, typer.Option("--if-absent", help="Only if there is no such value.")
    ] = False,
    at: options.Values,
    quiet: options.Quiet,
) -> None:
    """Hold a value, in place of the one that is there."""

    async def command() -> None:
        data = output.stdin_up_to(_limit()) if value == "-" else os.fsencode(value)
        async with _values(at) as values:
            stored = await values.put(
                name, data, ttl=ttl or "1h", if_version=if_version, if_absent=if_absent
            )
        if at.json:
            output.event("value", name=name, version=stored.version, **_times(stored))
        if not quiet:
            why = "" if ttl else " (no --ttl was given)"
            output.say(f"held for {roughly(stored.remaining)}{why}, version {stored.version}")

    run(command())


@app.command()
@options.grouped
def get(
    name: Name,
    *,
    at: options.Values,
) -> None:
    """Print a value, byte for byte."""

    async def command() -> Value:
        async with _values(at) as values:
            return await values.get(name)

    found = run(command())
    if not at.json:
        output.raw(found.value)
        return
    output.event(
        "value", name=name, version=found.version, **_times(found), **_as_json(found.value)
    )


@app.command()
@options.grouped
def rm(
    name: Name,
    *,
    if_version: IfVersion = None,
    at: options.Values,
) -> None:
    """Remove a value."""

    async def command() -> None:
        async with _values(at) as values:
            version = await values.rm(name, if_version=if_version)
        if at.json:
            output.event("removed", name=name, version=version)

    run(command())


@app.command()
@options.grouped
def ls(
    *,
    at: options.Values,
) -> None:
    """List values: version, bytes, time that remains, name."""

    async def command() -> None:
        async with _values(at) as values:
            async for row in values.ls():
                if at.json:
                    facts = {"version": row.version, "size": row.size}
                    output.event("value", name=row.name, **facts, **_times(row))
                else:
                    left = roughly(row.remaining)
                    output.data(f"{row.version}\t{row.size}\t{left}\t{shown(row.name)}")

    run(command())


@app.command()
@options.grouped
def watch(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME...]", help="Without one: all of the space.")
    ] = None,
    *,
    at: options.Values,
) -> None:
    """Print a line for every value that is there, and then for every change, until interrupted."""

    async def command() -> None:
        async with (
            _values(at) as values,
            aclosing(values.watch(*names or ())) as events,
        ):
            async for event in events:
                _tell(event, json=at.json)

    run(command())


def _tell(event: Event, *, json: bool) -> None:
    from repram.sdk.watching import Put, Removed

    if isinstance(event, Put):
        kind, version, left = "put", event.version, event.remaining
    elif isinstance(event, Removed):
        kind, version, left = "removed", event.version, 0
    else:
        kind, version, left = "expired", 0, 0
    if json:
        facts = {"version": version, "remaining": left / 1_000}
        output.event(kind, name=event.name, **{key: fact for key, fact in facts.items() if fact})
    else:
        remains = roughly(left) if left else "-"
        output.data(f"{kind}\t{version or '-'}\t{remains}\t{shown(event.name)}")


@asynccontextmanager
async def _values(at: options.Values) -> AsyncIterator[Values]:
    from repram.sdk import Client  # as in upload.py
    from repram.sdk.spaces import Spaces

    async with Client(at.host, timeout=parse_duration(at.timeout) / 1_000) as client:
        _ = client.storage  # who has no host yet is told so before a space is made
        yield client.kv(Spaces().named(at.space) if at.space else Spaces().own())


def _times(stored: Stored) -> dict[str, float]:
    """In seconds."""
    return {
        "created": stored.created / 1_000,
        "ttl": stored.ttl / 1_000,
        "remaining": stored.remaining / 1_000,
    }


def _as_json(value: bytes) -> dict[str, str]:
    """Text as it is; what is no text, in base64."""
    try:
        return {"value": value.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _limit() -> int:
    from repram.crypto.spaces import VALUE_MAX

    return VALUE_MAX
