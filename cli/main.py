"""The `repram` command: one group of verbs a file."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

import repram
from repram.errors import RepramError
from repram_cli import bench, doctor, hosts, kv, output, space, storaged, transfer

app = typer.Typer(
    name="repram",
    help="Private storage and share links on hosts you own, where everything expires unless you keep it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("upload")(transfer.upload)
app.command("download")(transfer.download)
app.command("put")(kv.put)
app.command("get")(kv.get)
app.add_typer(kv.app, name="kv")
app.add_typer(space.app, name="space")
app.add_typer(hosts.app, name="hosts")
app.add_typer(storaged.app, name="storaged")
app.add_typer(bench.app, name="bench")
app.command("doctor")(doctor.doctor)


def _version(wanted: bool) -> None:  # typer calls it with one positional value
    if wanted:
        output.data(f"repram {repram.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Take the options that stand before a verb."""


def main() -> None:
    """Run one command; the exit code says how it went."""
    try:
        app(prog_name="repram")
    except RepramError as error:
        output.report(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
