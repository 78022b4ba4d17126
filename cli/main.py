"""The `repram` command: one group of verbs a file."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import repram
from repram.buffers import keep_freed
from repram.errors import RepramError
from repram_cli import (
    account,
    bench,
    completion,
    config,
    doctor,
    download,
    hosts,
    kv,
    links,
    output,
    pasted,
    space,
    storaged,
    upload,
)
from repram_cli.settings import PROFILE


class Verbs(TyperGroup):
    """A bare link is downloaded; whatever else was pasted is told apart from a verb."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401  # click's types
        """Which verb is meant, its name, and its arguments."""
        if pasted.is_link(args[0]):
            args = ["download", *args]
        pasted.refuse(args[0], "a verb or a link")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="repram",
    cls=Verbs,
    help="Private storage and share links on hosts you own, where everything expires unless you keep it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("upload")(upload.upload)
app.command("download")(download.download)
app.add_typer(links.app, name="links")
app.command("put")(kv.put)
app.command("get")(kv.get)
app.add_typer(kv.app, name="kv")
app.add_typer(space.app, name="space")
app.add_typer(account.app, name="account")
app.command("id")(account.id_)
app.add_typer(hosts.app, name="hosts")
app.add_typer(storaged.app, name="storaged")
app.add_typer(config.app, name="config")
app.add_typer(bench.app, name="bench")
app.command("doctor")(doctor.doctor)
app.command("completion")(completion.completion)


def _version(wanted: bool) -> None:  # typer calls it with one positional value
    if wanted:
        output.data(f"repram {repram.__version__}")
        raise typer.Exit


def _use_profile(name: str | None) -> None:
    if name is not None:
        from repram.sdk.state import check_name

        check_name(name)
        os.environ[PROFILE] = name


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
    profile: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            callback=_use_profile,
            is_eager=True,  # before any setting is looked up
            expose_value=False,
            help="Use the hosts, spaces, links, account and settings of this name; else $REPRAM_PROFILE.",
        ),
    ] = None,
) -> None:
    """Take the options that stand before a verb."""


def verbs() -> TyperGroup:
    """All of them, each of which takes --profile behind its name, too."""
    root = typer.main.get_group(app)
    everywhere = [each for each in root.params if each.name == "profile"]
    groups = [root]
    for group in groups:
        for verb in group.commands.values():
            if isinstance(verb, TyperGroup):
                groups.append(verb)
            else:
                verb.params += everywhere
    return root


def main() -> None:
    """Run one command; the exit code says how it went."""
    keep_freed()
    try:
        verbs()(prog_name="repram")
    except RepramError as error:
        output.report(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
