"""`completion`: what the shell needs to complete verbs and options; pressing TAB starts no Python."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

import typer

from repram.errors import RepramError
from repram_cli import output
from repram_cli.tree import Option, Verb, choices, whole

Shell: TypeAlias = Literal["bash", "zsh", "fish"]


def completion(
    shell: Annotated[Shell, typer.Argument(metavar="bash|zsh|fish", help="Which shell it is for.")],
    *,
    install: Annotated[
        bool,
        typer.Option("--install", help="Write it where the shell looks, instead of printing it."),
    ] = False,
) -> None:
    """Print what makes the shell complete verbs, options and files."""
    if not install:
        output.data(script(shell).removesuffix("\n"))
        return
    target, then = _place(shell)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(script(shell))
    except OSError as error:
        raise RepramError(f"cannot write {output.shown(target)}: {error.strerror}") from error
    output.say(f"written to {output.shown(target)}; {then}")


def script(shell: Shell) -> str:
    """What the shell is to read."""
    return _WRITERS[shell](whole())


def _place(shell: Shell) -> tuple[Path, str]:
    """Where the shell looks, and what there is to do still."""
    data = _folder("XDG_DATA_HOME", ".local/share")
    if shell == "bash":
        where = data / "bash-completion" / "completions" / "repram"
        return where, "new shells have it, where the package bash-completion is installed"
    if shell == "fish":
        return _folder("XDG_CONFIG_HOME", ".config") / "fish/completions/repram.fish", "that is all"
    where = data / "zsh" / "site-functions" / "_repram"
    return where, f"put `fpath+=({where.parent})` before `compinit` in your .zshrc"


def _folder(variable: str, otherwise: str) -> Path:
    given = Path(os.environ.get(variable, ""))
    return given if given.is_absolute() else Path.home() / otherwise


def _bash(root: Verb) -> str:
    lines = [
        "_repram() {",
        "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb= words= files= i",
        "    for ((i = 1; i < COMP_CWORD; i++)); do",
        '        case "$verb ${COMP_WORDS[i]}" in',
        f"        {_steps(root)}) verb=${{verb:+$verb }}${{COMP_WORDS[i]}} ;;",
        "        esac",
        "    done",
        '    case "$verb $prev" in',
    ]
    for key, option in _valued(root):
        files = _FILES.get(_kind(option.value), "")
        lines.append(
            f"    {key}) words={_single(' '.join(choices(option.value)))} files={files} ;;"
        )
    lines += ["    *)", '        case "$verb" in']
    for verb in root.walk():
        words = " ".join([*_names(verb), *_subverbs(verb)])
        files = _FILES.get(_argument_kind(verb), "")
        lines.append(f"        {_single(_path(verb))}) words={_single(words)} files={files} ;;")
    lines += [
        "        esac",
        "    esac",
        '    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")',
        "    if [[ $files && $cur != -* ]]; then",
        "        compopt -o filenames 2>/dev/null",
        '        mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -A "$files" -- "$cur")',
        "    fi",
        "}",
        "complete -F _repram repram",
    ]
    return _text(lines)


def _zsh(root: Verb) -> str:
    lines = [
        "#compdef repram",
        "_repram() {",
        "    local verb= i",
        "    local -a verbs options",
        "    for ((i = 2; i < CURRENT; i++)); do",
        '        case "$verb ${words[i]}" in',
        f"        ({_steps(root)}) verb=${{verb:+$verb }}${{words[i]}} ;;",
        "        esac",
        "    done",
        '    case "$verb ${words[CURRENT-1]}" in',
    ]
    for key, option in _valued(root):
        said = f"compadd {' '.join(choices(option.value))}" if choices(option.value) else ""
        said = said or _ZSH_FILES.get(_kind(option.value)) or f"_message {_single(option.value)}"
        lines.append(f"    ({key}) {said}; return ;;")
    lines += ["    esac", '    case "$verb" in']
    for verb in root.walk():
        verbs = " ".join(_described(each.path[-1], each.summary) for each in verb.verbs)
        words = " ".join(_described(word, "") for word in _subverbs(verb) if not verb.verbs)
        options = " ".join(_described(n, o.help) for o in verb.options for n in o.names)
        files = _ZSH_FILES.get(_argument_kind(verb), "")
        then = f"; [[ $PREFIX == -* ]] || {files}" if files else ""
        line = f"    ({_single(_path(verb))}) verbs=({verbs or words}) options=({options}){then} ;;"
        lines.append(line)
    lines += [
        "    esac",
        "    [[ $PREFIX == -* ]] && _describe -o option options || _describe verb verbs",
        "}",
        'if [ "$funcstack[1]" = _repram ]; then _repram "$@"; else compdef _repram repram; fi',
    ]
    return _text(lines)


def _fish(root: Verb) -> str:
    lines = [
        "function __repram_at",
        "    set -l verb",
        "    for word in (commandline -opc)[2..-1]",
        '        switch "$verb $word"',
        f"            case {_steps(root).replace('|', ' ')}",
        '                set verb (string trim -- "$verb $word")',
        "        end",
        "    end",
        '    test "$verb" = "$argv"',
        "end",
        "complete -c repram -f",
    ]
    for verb in root.walk():
        start = f"complete -c repram -n {_single(f'__repram_at {_path(verb)}'.rstrip())}"
        lines += [
            f"{start} -a {each.path[-1]} -d {_fish_quoted(each.summary)}" for each in verb.verbs
        ]
        if not verb.verbs and (words := " ".join(_subverbs(verb))):
            lines.append(f"{start} -a {_single(words)}")
        if _argument_kind(verb):
            lines.append(f"{start} -F")
        lines += [f"{start} {_fish_option(option)}" for option in verb.options]
    return _text(lines)


def _fish_option(option: Option) -> str:
    words = [f"-l {n[2:]}" if n.startswith("--") else f"-s {n[1:]}" for n in option.names]
    if choices(option.value):
        words.append(f"-x -a {_single(' '.join(choices(option.value)))}")
    elif option.value:
        words.append("-r -F" if _kind(option.value) else "-x")
    return f"{' '.join(words)} -d {_fish_quoted(option.help)}"


_WRITERS: Final[dict[Shell, Callable[[Verb], str]]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
_FILES: Final = {"file": "file", "folder": "directory"}
_ZSH_FILES: Final = {"file": "_files", "folder": "_files -/"}


def _steps(root: Verb) -> str:
    """For a `case`: the verb so far and the word that leads on."""
    return "|".join(
        _single(f"{' '.join(verb.path[:-1])} {verb.path[-1]}") for verb in root.walk() if verb.path
    )


def _valued(root: Verb) -> Iterator[tuple[str, Option]]:
    """For a `case`: a verb and an option of it behind which a value has to stand."""
    for verb in root.walk():
        for option in verb.options:
            if option.value:
                yield "|".join(_single(f"{_path(verb)} {name}") for name in option.names), option


def _names(verb: Verb) -> list[str]:
    return [name for option in verb.options for name in option.names]


def _subverbs(verb: Verb) -> list[str]:
    """What may stand next: verbs, or an argument's choices."""
    words = [each.path[-1] for each in verb.verbs]
    return words or [word for each in verb.arguments for word in choices(each.value)]


def _argument_kind(verb: Verb) -> str:
    return next((kind for each in verb.arguments if (kind := _kind(each.value))), "")


def _kind(value: str) -> str:
    if "PATH" in value or "FILE" in value:
        return "file"
    return "folder" if "FOLDER" in value else ""


def _path(verb: Verb) -> str:
    return " ".join(verb.path)


def _single(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _described(word: str, summary: str) -> str:
    """A colon ends the word; behind it everything may stand."""
    return _single(f"{word}:{summary}" if summary else word)


def _text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
