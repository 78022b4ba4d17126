"""What goes when an option is not given: REPRAM_*, else the profile's part of config.toml, else defaults."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from repram.errors import RepramError, UsageError
from repram.ids import parse_duration
from repram_cli.asking import refuse_secret

PROFILE: Final = "REPRAM_PROFILE"  # in the environment, so that programs we start have it, too
_LARGEST: Final = 1 << 16  # bytes of a config


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of config.toml: what it is when nobody says, and what it may be."""

    name: str
    usual: str
    meaning: str
    check: Callable[[str], object]

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return f"REPRAM_{self.name.upper()}"


@dataclass(frozen=True, slots=True)
class Found:
    """A setting's value, and where it comes from."""

    value: str
    source: str


def _check_truth(text: str) -> None:
    if text not in ("true", "false"):
        raise UsageError(f"{text[:60]!r} is neither true nor false")


def _check_host(text: str) -> None:
    refuse_secret(text, "Add it with `repram hosts add`, and give its name here.")


def _check_space(text: str) -> None:
    refuse_secret(text, "Join it with `repram space join NAME`, and give its NAME here.")


SETTINGS: Final = (
    Setting("host", "", "the node to store on: a name of `repram hosts ls`", _check_host),
    Setting("space", "", "whose values `kv` uses: a name of `repram space ls`", _check_space),
    Setting("ttl", "24h", "how long an upload lives", parse_duration),
    Setting("timeout", "10s", "how long to try to reach a node", parse_duration),
    Setting("password_command", "", "a command that prints the password of a link", str),
    Setting("quiet", "false", "say nothing but errors", _check_truth),
)


def named(name: str) -> Setting:
    """The setting of this name."""
    for setting in SETTINGS:
        if setting.name == name:
            return setting
    known = ", ".join(setting.name for setting in SETTINGS)
    raise UsageError(f"there is no setting {name[:60]!r}", hint=f"There are {known}.")


def found(setting: Setting) -> Found:
    """Its value now, checked, and where that comes from."""
    given = os.environ.get(setting.variable, "")
    if given:
        return _checked(setting, Found(given, setting.variable))
    chosen = _section(_read(path())).get(setting.name)
    if chosen is not None:
        return _checked(setting, Found(chosen, str(path())))
    return Found(setting.usual, "default")


def text(name: str) -> Callable[[], str]:
    """For an option: its default, looked up when the option is not given."""
    return lambda: found(named(name)).value


def text_or_none(name: str) -> Callable[[], str | None]:
    """The same where there may be none."""
    return lambda: found(named(name)).value or None


def flag(name: str) -> Callable[[], bool]:
    """The same for a switch."""
    return lambda: found(named(name)).value == "true"


def path() -> Path:
    """Where the config is; a relative $XDG_CONFIG_HOME is no answer, says its specification."""
    home = os.environ.get("XDG_CONFIG_HOME", "")
    root = Path(home) if Path(home).is_absolute() else Path.home() / ".config"
    return root / "repram" / "config.toml"


def change(setting: Setting, value: str | None) -> None:
    """Write the line, or take it out; the rest of the file stays as its owner wrote it."""
    if value is not None:
        _checked(setting, Found(value, "the new value"))
    at = path().resolve()  # who keeps it elsewhere, behind a link, finds it there again
    before = _read(at)
    after = _edited(before, setting, value)
    expected = {**_section(before), setting.name: value}
    if _section(after) != {name: each for name, each in expected.items() if each is not None}:
        raise UsageError(
            f"{at} is written in a way that this command cannot edit",
            hint=f"Change the line `{setting.name} = …` by hand.",
        )
    temporary = at.with_suffix(f".{os.getpid()}")
    try:
        at.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary.write_text(after)
        temporary.replace(at)
    except OSError as error:
        raise RepramError(f"cannot write {at}: {error.strerror}") from error


def _checked(setting: Setting, value: Found) -> Found:
    if not value.value.isprintable():
        raise UsageError(f"{setting.name} in {value.source} has characters that cannot be seen")
    try:
        if value.value:
            setting.check(value.value)
    except UsageError as error:
        raise UsageError(f"{setting.name} in {value.source}: {error}", hint=error.hint) from None
    return value


def _read(at: Path) -> str:
    try:
        with at.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        raise RepramError(f"cannot read {at}: {error.strerror}") from error
    if len(data) > _LARGEST:
        raise UsageError(f"{at} has more than {_LARGEST} bytes, and is no config")
    return data.decode(errors="replace")


def _section(text: str) -> Mapping[str, str]:
    """The settings of the profile: one takes nothing from another, nor from the part without a name."""
    try:
        table: object = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(
            f"{path()} is not understood: {error}", hint="Mend the line, then try again."
        ) from None
    profile = os.environ.get(PROFILE, "")
    for step in ("profile", profile) if profile else ():
        table = table.get(step, {}) if isinstance(table, dict) else {}
    if not isinstance(table, dict):
        raise UsageError(f"[profile.{profile}] of {path()} is no section")
    settings = {}
    for name, value in table.items():
        if name == "profile" and not profile:
            continue
        if not isinstance(value, str | bool):
            raise UsageError(f"{name} in {path()} is neither text nor true or false")
        settings[named(name).name] = value if isinstance(value, str) else str(value).lower()
    return settings


def _edited(text: str, setting: Setting, value: str | None) -> str:
    """Line by line, because what a person wrote around it is to stay."""
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if line.lstrip().startswith("[")]
    profile = os.environ.get(PROFILE, "")
    first, last = 0, (starts or [len(lines)])[0]
    if profile:
        wanted = f"[profile.{_quoted(profile)}]"
        if not any(lines[start].strip() == wanted for start in starts):
            lines += ["", wanted]
            starts.append(len(lines) - 1)
        first = next(start for start in starts if lines[start].strip() == wanted) + 1
        last = next((start for start in starts if start >= first), len(lines))
    written = "true" if value == "true" else "false" if value == "false" else json.dumps(value)
    new = [] if value is None else [f"{setting.name} = {written}"]
    for number in range(first, last):
        if re.match(rf"\s*{setting.name}\s*=", lines[number]):
            return _joined(lines[:number] + new + lines[number + 1 :])
    while last > first and not lines[last - 1].strip():
        last -= 1
    return _joined(lines[:last] + new + lines[last:])


def _quoted(profile: str) -> str:
    return profile if re.fullmatch(r"[A-Za-z0-9_-]+", profile) else json.dumps(profile)


def _joined(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
