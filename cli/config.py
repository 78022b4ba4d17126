"""`config …`: what verbs go by when an option is not given."""

from __future__ import annotations

from typing import Annotated

import typer

from repram.errors import UsageError
from repram_cli import output, settings
from repram_cli.options import Json

app = typer.Typer(help="Settings: what goes when an option is not given.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A setting of `repram config show`.")]


@app.command()
def show(*, json: Json = False) -> None:
    """List the settings: name, value, and where the value comes from."""
    for setting in settings.SETTINGS:
        found = settings.found(setting)
        if json:
            output.event("setting", name=setting.name, value=found.value, source=found.source)
        else:
            output.data(f"{setting.name}\t{found.value}\t{found.source}")


@app.command("get")
def get_setting(name: Name) -> None:
    """Print a setting's value."""
    output.data(settings.found(settings.named(name)).value)


@app.command("set")
def set_setting(
    name: Name,
    value: Annotated[
        str | None, typer.Argument(metavar="[VALUE]", help="What it is to be from now on.")
    ] = None,
    *,
    default: Annotated[
        bool, typer.Option("--default", help="Take the line out: the default goes again.")
    ] = False,
) -> None:
    """Write a setting into the config, in the section of the profile."""
    if (value is None) != default:
        raise UsageError("a VALUE belongs here, or --default", hint="Give one of them.")
    setting = settings.named(name)
    settings.change(setting, value)
    now = settings.found(setting)
    if value is not None and now.value != value:
        output.say(f"written, but ${now.source} is set and wins: {setting.name} is {now.value}")


@app.command()
def defaults() -> None:
    """Print a config.toml with every setting as it is by default, each with its meaning."""
    output.data(f"# {settings.path()}: options and REPRAM_* variables go before what stands here.")
    output.data(
        "# A [profile.NAME] section is for --profile NAME, which takes nothing from here.\n"
    )
    for setting in settings.SETTINGS:
        usual = setting.usual if setting.usual in ("true", "false") else f'"{setting.usual}"'
        output.data(f"# {setting.meaning}; ${setting.variable}\n# {setting.name} = {usual}")
