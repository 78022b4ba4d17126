"""Completions and links in the real bash, zsh and fish."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from repram.crypto.links import Link
from repram.ids import HostPort, ItemId, NodeAddress
from repram_cli.completion import Shell, script
from tests.cli.here import Here
from tests.cli.shells import Typing, present

SHELLS: tuple[Shell, ...] = ("bash", "zsh", "fish")
LINKS = [
    str(Link(NodeAddress(bytes(range(32)), at), ItemId(bytes(range(1, 33))), bytes(range(2, 34))))
    for at in (HostPort("192.0.2.7", 7433), HostPort("2001:db8::1", 7433), HostPort("a.example"))
]


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the three of them."""
    folder = tmp_path_factory.mktemp("scripts")
    for shell in SHELLS:
        (folder / shell).write_text(script(shell))
    return folder


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_tab_completes_verbs_options_choices_and_files(
    shell: str, scripts: Path, tmp_path: Path
) -> None:
    (tmp_path / "report.pdf").touch()
    (tmp_path / "folder").mkdir()
    with Typing(shell, tmp_path) as typing:
        typing.run(f"source {scripts / shell}; echo sour'ced'", until=rb"sourced\r\n")
        for typed, seen in (
            ("repram uplo\t", "<upload>"),
            ("repram hosts ad\t", "<hosts><add>"),
            ("repram storaged deny a\t", "<storaged><deny><add>"),
            ("repram upload --tt\t1h", "<upload><--ttl><1h>"),
            ("repram bench run --direction bo\t", "<bench><run><--direction><both>"),
            ("repram upload rep\t", "<upload><report.pdf>"),
            ("repram storaged stop --folder fo\t", "<storaged><stop><--folder><folder>"),
            ("repram completion zs\t", "<completion><zsh>"),
        ):
            assert typing.run(typed).replace("/>", ">") == seen


def test_fish_completes_verbs_options_choices_and_files(scripts: Path, tmp_path: Path) -> None:
    (tmp_path / "report.pdf").touch()

    def completed(typed: str) -> list[str]:
        command = f"source {scripts / 'fish'}; complete -C '{typed}'"
        done = subprocess.run(
            [present("fish"), "--no-config", "-c", command],
            cwd=tmp_path, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stderr == ""
        return [line.partition("\t")[0] for line in done.stdout.splitlines()]

    assert completed("repram uplo") == ["upload"]
    assert completed("repram hosts ad") == ["add"]
    assert completed("repram upload --tt") == ["--ttl"]
    assert completed("repram bench run --direction bo") == ["both"]
    assert completed("repram upload rep") == ["report.pdf"]
    assert completed("repram get rep") == []


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("link", LINKS, ids=["ipv4", "ipv6", "name"])
def test_a_link_passes_unquoted(shell: str, link: str) -> None:
    done = subprocess.run(
        [present(shell), "-c", f"printf '<%s>' {link} x"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"<{link}><x>"


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_link_passes_unquoted_at_the_prompt(shell: str, tmp_path: Path) -> None:
    with Typing(shell, tmp_path) as typing:
        typing.run("stty -echo; echo qui'et'", until=rb"quiet\r\n")
        for link in LINKS:
            assert typing.run(f"repram {link}") == f"<{link}>"


def test_it_is_printed_or_installed_where_the_shells_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    here = Here(tmp_path, monkeypatch, capfd)
    for shell, where in (
        ("bash", "data/bash-completion/completions/repram"),
        ("zsh", "data/zsh/site-functions/_repram"),
        ("fish", "fish/completions/repram.fish"),
    ):
        done = here.run("completion", shell, "--install", XDG_DATA_HOME=str(tmp_path / "data"))
        assert (done.returncode, done.stdout) == (0, "")
        assert re.search(r"written to .*repram", done.stderr)
        assert (tmp_path / where).read_text() == here.said("completion", shell)
