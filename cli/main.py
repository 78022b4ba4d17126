"""The `repram` command: one group of verbs a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

import repram
from repram.buffers import keep_freed
from repram.errors import RepramError
from repram_cli import output, pasted
from repram_cli.settings import PROFILE

# Where each is, in the order of `--help`: what runs one verb imports no other.
_VERBS: Final = {
    "upload": ("upload", "upload"),
    "download": ("download", "download"),
    "put": ("kv", "put"),
    "get": ("kv", "get"),
    "id": ("account", "id_"),
    "doctor": ("doctor", "doctor"),
    "completion": ("completion", "completion"),
    "links": ("links", "app"),
    "kv": ("kv", "app"),
    "space": ("space", "app"),
    "account": ("account", "app"),
    "hosts": ("hosts", "app"),
    "storaged": ("storaged", "app"),
    "config": ("config", "app"),
    "bench": ("bench", "app"),
}


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


class _MadeWhenAsked(Mapping[str, Any]):
    """The verbs by name; each takes the options that are good everywhere behind its name, too."""

    def __init__(self, everywhere: list[Any]) -> None:
        self._everywhere = everywhere
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401  # click's types
        if name not in self._made:
            self._made[name] = self._make(name, *_VERBS[name])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_VERBS)

    def __len__(self) -> int:
        return len(_VERBS)

    def _make(self, name: str, module: str, attribute: str) -> Any:  # noqa: ANN401  # as above
        found = getattr(import_module(f"repram_cli.{module}"), attribute)
        alone = typer.Typer(rich_markup_mode=None)
        if isinstance(found, typer.Typer):
            alone.add_typer(found, name=name)
        else:
            alone.command(name)(found)
        verb = typer.main.get_group(alone).commands[name]
        below = [verb]
        for each in below:
            if isinstance(each, TyperGroup):
                below += each.commands.values()
            else:
                each.params += self._everywhere
        return verb


@cache
def verbs() -> TyperGroup:
    """All of them."""
    root = typer.main.get_group(app)
    everywhere = [each for each in root.params if each.name == "profile"]
    root.commands = _MadeWhenAsked(everywhere)  # type: ignore[assignment]  # nobody adds to it
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
