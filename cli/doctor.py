"""`doctor`: whether this machine is fit to run a node, and what to change if not."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from repram.ids import DEFAULT_PORT, NodeAddress
from repram_cli import output
from repram_cli.options import Json
from repram_cli.running import listen_address

if TYPE_CHECKING:
    from repram_cli.checks import Finding

_COLOURS = {"ok": "32", "warn": "33", "bad": "31"}


def doctor(
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where the node is to listen.")
    ] = f"0.0.0.0:{DEFAULT_PORT}",
    data: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where it is to keep its data; else the state folder."),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="A node to compare this machine's clock with."),
    ] = None,
    json: Json = False,
) -> None:
    """Look at clock, ports, buffers, disk, swap and limits; 1 when something has to be changed."""
    from repram_cli.checks import Level
    from repram_cli.machine import findings

    at = listen_address(listen)
    node = NodeAddress.parse(host) if host else None
    worst = 0
    for finding in findings(at, data or _state_folder(), node):
        if json:
            output.event(
                "finding",
                topic=finding.topic,
                level=finding.level.value,
                says=finding.says,
                advice=finding.advice,
            )
        else:
            output.data(_line(finding))
        worst |= finding.level is Level.BAD
    if worst:
        raise typer.Exit(1)


def _line(finding: Finding) -> str:
    level = finding.level.value
    text = f"{_coloured(f'{level:4}', _COLOURS[level])}  {finding.topic:15} {finding.says}"
    return f"{text}\n{'':22}{finding.advice}" if finding.advice else text


def _coloured(text: str, colour: str) -> str:
    plain = "NO_COLOR" in os.environ or not sys.stdout.isatty()
    return text if plain else f"\033[{colour}m{text}\033[0m"


def _state_folder() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "repram" / "storaged"
