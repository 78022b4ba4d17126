"""`python -m repram_cli.man FOLDER` writes the manual page, from the verbs themselves."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import repram
from repram_cli.settings import SETTINGS
from repram_cli.tree import Verb, whole

_DESCRIPTION = """\
A file is sealed here before it leaves, held sealed on hosts that you own or that invited you, and gone when
its time is over. The link is the key: whoever has it can read, and nobody else can, the hosts included.
A link may stand where a verb belongs, and is downloaded then.
"""
EXIT_CODES = (
    (0, "It is done."),
    (1, "It failed, for a reason without a number of its own."),
    (2, "What was given is malformed."),
    (10, "Not found, or expired."),
    (11, "A node could not be reached."),
    (12, "Refused: a wrong password, revoked, not allowed."),
    (13, "The bytes are not the ones that were sealed."),
    (14, "Full, or over a quota."),
    (15, "Someone else changed it first, or something is there already."),
    (16, "Too few nodes confirmed."),
    (130, "Interrupted."),
)
_VARIABLES = (
    ("REPRAM_PROFILE", "As --profile."),
    ("REPRAM_PASSWORD", "The password of the link, or of the account, that a verb asks for."),
    ("REPRAM_NEW_PASSWORD", "The password that `repram account passwd` and `recover` set."),
    ("REPRAM_STORAGED", "The folder of the node that `repram storaged` is about."),
    ("NO_COLOR", "Where it is set, nothing is coloured."),
)
_FILES = (
    ("$XDG_CONFIG_HOME/repram/config.toml", "Settings; `repram config defaults` prints one."),
    (
        "$XDG_STATE_HOME/repram",
        "Hosts, spaces and links that are known here; readable by you alone.",
    ),
)


def page(root: Verb) -> str:
    """The page, in the language of man(7)."""
    lines = [
        f'.TH REPRAM 1 "" "repram {repram.__version__}" "User Commands"',
        ".SH NAME",
        "repram \\- " + _plain(root.summary[0].lower() + root.summary[1:]),
        ".SH SYNOPSIS",
        ".B repram",
        "[OPTIONS] VERB [ARGUMENTS]",
        ".SH DESCRIPTION",
        *map(_plain, _DESCRIPTION.splitlines()),
        ".SH OPTIONS",
        *_options(root),
        ".SH VERBS",
    ]
    for verb in root.walk():
        if not verb.verbs:
            lines += _verb(verb)
    lines.append(".SH ENVIRONMENT")
    for variable, meaning in _VARIABLES:
        lines += _item(variable, meaning)
    for setting in SETTINGS:
        lines += _item(setting.variable, f"{setting.meaning}; before the setting {setting.name}.")
    lines.append(".SH FILES")
    for path, meaning in _FILES:
        lines += _item(path, meaning)
    lines.append(".SH EXIT STATUS")
    for code, meaning in EXIT_CODES:
        lines += _item(str(code), meaning)
    return "".join(f"{line}\n" for line in lines)


def _verb(verb: Verb) -> Iterator[str]:
    words = ["repram", *verb.path, *(argument.value for argument in verb.arguments)]
    yield f'.SS "{_plain(" ".join(words))}"'
    yield _plain(verb.help)
    for argument in verb.arguments:
        if argument.help:
            yield from _item(argument.value, argument.help)
    yield from _options(verb)


def _options(verb: Verb) -> Iterator[str]:
    """Those that every verb has stand once, at the root."""
    for option in verb.options:
        if option.names != ("--help",) and (option.names != ("--profile",) or not verb.path):
            yield from _item(f"{', '.join(option.names)} {option.value}".strip(), option.help)


def _item(term: str, meaning: str) -> tuple[str, str, str]:
    return ".TP", f".B {_plain(term)}", _plain(meaning)


def _plain(text: str) -> str:
    """Text that groff prints as it stands: a hyphen stays one that can be copied."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq").replace("`", "\\(ga")
    return f"\\&{text}" if text.startswith((".", "'")) else text


def main() -> None:
    """Write the page into the folder."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "repram.1").write_text(page(whole()))


if __name__ == "__main__":
    main()
