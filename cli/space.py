"""`space …`: what several machines share to use the same values."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from repram_cli import output
from repram_cli.asking import ask_for_line, refuse_secret
from repram_cli.options import Json, Quiet

app = typer.Typer(
    help="Spaces: what several machines share to use the same values.", no_args_is_help=True
)

Name = Annotated[
    str, typer.Argument(metavar="[NAME]", help="What it is called here; kv uses `default`.")
]
_PASTE = "Run `repram space join NAME` and paste it when asked, or give it with --file or on stdin."


@app.command()
def new(name: Name = "default", *, quiet: Quiet) -> None:
    """Make a space and print the line by which other machines join it."""
    from repram.crypto.spaces import Space
    from repram.sdk.spaces import Spaces

    refuse_secret(name, _PASTE)
    space = Space.new()
    Spaces().add(name, space)
    _print(str(space), quiet=quiet)


@app.command()
def join(
    name: Name = "default",
    *,
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Read the space's line from here.")
    ] = None,
    quiet: Quiet,
) -> None:
    """Use a space that another machine has; its line is asked for."""
    from repram.crypto.spaces import Space
    from repram.sdk.spaces import Spaces

    refuse_secret(name, _PASTE)
    Spaces().add(name, Space.parse(ask_for_line("space", file)))
    if not quiet:
        output.say(f"joined as {name}; `repram kv ls --space {name}` lists what is there")


@app.command("ls")
def list_spaces(json: Json = False) -> None:
    """List the names of the spaces that are known here."""
    from repram.sdk.spaces import Spaces

    for name in Spaces().names():
        if json:
            output.event("space", name=name)
        else:
            output.data(name)


@app.command()
def show(name: Name = "default", *, quiet: Quiet) -> None:
    """Print a space's line, for another machine to join."""
    from repram.sdk.spaces import Spaces

    _print(str(Spaces().named(name)), quiet=quiet)


def _print(line: str, *, quiet: bool) -> None:
    output.data(line)
    if not quiet:
        output.say("a secret: whoever has this line can read, change and remove every value")
