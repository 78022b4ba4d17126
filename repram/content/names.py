"""File names that come from somewhere else are hostile until they pass here."""

from __future__ import annotations

from typing import Final

MAX_NAME_BYTES: Final = 255


def is_safe_name(name: str) -> bool:
    """Whether it names a file in the chosen folder and can name nothing else."""
    if name in {"", ".", ".."} or any(character in name for character in "/\\\0"):
        return False
    try:
        return len(name.encode("utf-8")) <= MAX_NAME_BYTES
    except UnicodeEncodeError:
        return False  # a lone surrogate is no text


def portable_name(name: str) -> str:
    """A name like this one that every reader accepts: what stands in a manifest."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    for character in "/\\\0":
        text = text.replace(character, "_")
    text = text.encode("utf-8")[:MAX_NAME_BYTES].decode("utf-8", "ignore")
    return f"{text}_" if text in {"", ".", ".."} else text


def shown(name: str) -> str:
    """A name as a terminal may show it: nothing in it moves the cursor or hides text."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
