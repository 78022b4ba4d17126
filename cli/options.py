"""Options that several verbs share, one by one and in groups; each takes its default from the settings."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any, TypeAlias, get_type_hints

import typer

from repram_cli import output, settings
from repram_cli.asking import refuse_secret

PASTE_INVITE = "Run `repram hosts add` and paste it when asked, or give it with --file or on stdin."
_JOIN = "Run `repram space join NAME`, and give its NAME here."


def wanted_host(text: str | None) -> str | None:
    """What was given with --host, which must not be a secret."""
    if text is not None:
        refuse_secret(text, PASTE_INVITE)
    return text


def _wanted_space(text: str | None) -> str | None:
    if text is not None:
        refuse_secret(text, _JOIN)
    return text


Host: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--host",
        metavar="NAME|ADDRESS",
        callback=wanted_host,
        default_factory=settings.text_or_none("host"),
        show_default=False,
        help="The node to store on; else the setting, else the default of `repram hosts ls`.",
    ),
]
SpaceName: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--space",
        metavar="NAME",
        callback=_wanted_space,
        default_factory=settings.text_or_none("space"),
        show_default=False,
        help="Whose values: a name of `repram space ls`; else the setting, else your own.",
    ),
]
Json: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--json",
        is_eager=True,  # so that what is wrong with another option is told as JSON, too
        callback=output.errors_as_json,
        help="One JSON object a line.",
    ),
]
Quiet: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--quiet/--no-quiet",
        "-q",
        default_factory=settings.flag("quiet"),
        show_default=False,
        help="Say nothing but errors.",
    ),
]
Timeout: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="TIME",
        default_factory=settings.text("timeout"),
        show_default=False,
        help="How long to try to reach a node; else the setting, else 10s.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class Values:
    """Whose values, on which node, and how it is told."""

    space: SpaceName
    host: Host
    timeout: Timeout
    json: Json = False


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """The command as typer is to see it: each parameter that is a group of options, one by one."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    seen: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        group = groups.get(parameter.name)
        seen += _options(group) if group else [parameter.replace(annotation=hints[parameter.name])]

    @functools.wraps(command)
    def called(**given: Any) -> None:  # noqa: ANN401  # whatever the options' types are
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        command(**given)

    called.__signature__ = inspect.Signature(seen)  # type: ignore[attr-defined]  # inspect reads it
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in seen}
    return called


def _options(group: Any) -> list[inspect.Parameter]:  # noqa: ANN401  # any dataclass
    hints = get_type_hints(group, include_extras=True)
    defaults = inspect.signature(group).parameters
    return [defaults[field.name].replace(annotation=hints[field.name]) for field in fields(group)]
