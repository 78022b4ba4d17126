"""All verbs as data: what completions and the manual page are made from, and what tests hold them to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_HELP = "Show this message and exit."


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its names, and what its value is called; a switch has none."""

    names: tuple[str, ...]
    value: str
    help: str


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument: what it is called, in brackets where it may be left out."""

    value: str
    help: str


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb by the words that lead to it, or a group of them."""

    path: tuple[str, ...]
    help: str
    options: tuple[Option, ...]
    arguments: tuple[Argument, ...]
    verbs: tuple[Verb, ...]

    @property
    def summary(self) -> str:
        """The first sentence of its help, without the full stop."""
        return self.help.partition("\n")[0].removesuffix(".")

    def walk(self) -> Iterator[Verb]:
        """Itself and all below it."""
        yield self
        for verb in self.verbs:
            yield from verb.walk()


def whole() -> Verb:
    """The tree from its root on."""
    from repram_cli.main import verbs  # which knows every verb, and so knows of this one

    return _read(verbs(), ())


def choices(value: str) -> tuple[str, ...]:
    """What a value may be: one is called by the words to choose from, or in capitals by its kind."""
    return tuple(value.split("|")) if value and value == value.lower() else ()


def _read(command: Any, path: tuple[str, ...]) -> Verb:  # noqa: ANN401  # typer's, or click's where that is apart
    options = [each for each in command.params if each.param_type_name == "option"]
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    below = getattr(command, "commands", {})
    return Verb(
        path,
        " ".join((command.help or "").split()),
        (*map(_option, options), Option(("--help",), "", _HELP)),
        tuple(Argument(each.metavar or "", each.help or "") for each in arguments),
        tuple(_read(verb, (*path, name)) for name, verb in below.items()),
    )


def _option(option: Any) -> Option:  # noqa: ANN401  # as above
    names = (*option.opts, *option.secondary_opts)
    return Option(names, "" if option.is_flag else option.metavar or "", option.help or "")
