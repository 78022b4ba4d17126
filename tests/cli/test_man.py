"""The manual page says what the verbs say, and is one that man can show."""

from __future__ import annotations

import subprocess
from pathlib import Path

from repram_cli.man import page
from repram_cli.tree import whole
from tests.cli.shells import present

PAGE = Path(__file__).parents[2] / "docs" / "man" / "repram.1"


def test_the_page_is_that_of_the_verbs() -> None:
    assert PAGE.read_text() == page(whole()), "run `python -m repram_cli.man docs/man`"


def test_every_verb_and_option_is_in_it() -> None:
    text = PAGE.read_text().replace("\\-", "-")
    for verb in whole().walk():
        if not verb.verbs:
            assert f'.SS "repram {" ".join(verb.path)}' in text
            assert all(option.names[0] in text for option in verb.options[:-1])  # --help is known


def test_mandoc_finds_nothing_wrong_with_it() -> None:
    command = [present("mandoc"), "-T", "lint", "-W", "error", str(PAGE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_man_shows_it_without_a_warning() -> None:
    done = subprocess.run(
        [present("man"), "--warnings", "-l", PAGE], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "repram upload" in done.stdout
