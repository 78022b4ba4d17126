"""Settings and profiles: which value goes, where it comes from, and what a file keeps of its owner's hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.here import Here

ADDRESS = f"repram+node://{'A' * 43}@192.0.2.7:7433"


@pytest.fixture
def machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Here:
    return Here(tmp_path, monkeypatch, capfd)


def shown(machine: Here, *arguments: str, **environment: str) -> dict[str, tuple[str, str]]:
    lines = machine.said("config", "show", *arguments, **environment).splitlines()
    return {name: (value, source) for name, value, source in (line.split("\t") for line in lines)}


def test_an_option_goes_before_a_variable_before_the_config_before_the_default(
    machine: Here, tmp_path: Path
) -> None:
    config = str(tmp_path / "repram" / "config.toml")
    assert shown(machine)["ttl"] == ("24h", "default")
    machine.said("config", "set", "ttl", "7d")
    assert shown(machine)["ttl"] == ("7d", config)
    assert shown(machine, REPRAM_TTL="3h")["ttl"] == ("3h", "REPRAM_TTL")
    (tmp_path / "file").touch()
    plan = ("upload", tmp_path / "file", "--dry-run", "--host", ADDRESS)
    assert "\t1w\t" in machine.said(*plan)
    assert "\t3h\t" in machine.said(*plan, REPRAM_TTL="3h")
    assert "\t90s\t" in machine.said(*plan, "--ttl", "90s", REPRAM_TTL="3h")
    machine.said("config", "set", "ttl", "--default")
    assert machine.said("config", "get", "ttl") == "24h\n"


def test_a_profile_has_hosts_spaces_and_settings_of_its_own(machine: Here) -> None:
    machine.said("config", "set", "ttl", "7d")
    machine.said("hosts", "add", ADDRESS, "--name", "mine")
    machine.said("space", "new", "mine")
    machine.said("--profile", "work", "config", "set", "ttl", "1h")
    machine.said("hosts", "add", ADDRESS, "--name", "theirs", "--profile", "work")
    assert machine.said("config", "get", "ttl") == "7d\n"
    assert machine.said("config", "get", "ttl", "--profile", "work") == "1h\n"
    assert machine.said("config", "get", "ttl", REPRAM_PROFILE="work") == "1h\n"
    assert shown(machine, "--profile", "other")["ttl"] == ("24h", "default")
    assert machine.said("hosts", "ls").startswith("mine\t")
    assert machine.said("hosts", "ls", "--profile", "work").startswith("theirs\t")
    assert machine.said("space", "ls", "--profile", "work") == ""
    assert machine.run("hosts", "ls", "--profile", "../work").returncode == 2


def test_what_the_owner_wrote_around_a_line_stays(machine: Here, tmp_path: Path) -> None:
    (tmp_path / "dotfiles").write_text(
        '# mine\nttl = "2d" # long\nquiet = true\n\n[profile.work]\n# theirs\nhost = "there"\n'
    )
    (tmp_path / "repram").mkdir()
    (tmp_path / "repram" / "config.toml").symlink_to(tmp_path / "dotfiles")
    machine.said("config", "set", "ttl", "3d")
    machine.said("config", "set", "timeout", "5s")
    machine.said("config", "set", "ttl", "4d", "--profile", "work")
    machine.said("config", "set", "quiet", "--default")
    assert (tmp_path / "dotfiles").read_text() == (
        '# mine\nttl = "3d"\ntimeout = "5s"\n\n'
        '[profile.work]\n# theirs\nhost = "there"\nttl = "4d"\n'
    )


def test_the_printed_defaults_are_a_config_that_changes_nothing(
    machine: Here, tmp_path: Path
) -> None:
    text = machine.said("config", "defaults")
    before = {name: value for name, (value, _) in shown(machine).items()}
    (tmp_path / "repram").mkdir()
    (tmp_path / "repram" / "config.toml").write_text(
        "".join(line.removeprefix("# ") for line in text.splitlines(True) if " = " in line)
    )
    assert {name: value for name, (value, _) in shown(machine).items()} == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('ttl = "soon"\n', "ttl in"),
        ("ttl = 3\n", "neither text nor"),
        ("ttl = \n", "not understood"),
        ('colour = "red"\n', "no setting 'colour'"),
        ("profile = 3\n[profile]\n", "not understood"),
        ('host = "a\\u001bb"\n', "cannot be seen"),
        ('host = "repram+invite://x"\n', "is a secret"),
    ],
)
def test_a_config_that_is_wrong_is_named(
    machine: Here, tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "repram").mkdir()
    (tmp_path / "repram" / "config.toml").write_text(text)
    done = machine.run("config", "show")
    assert done.returncode == 2
    assert said in done.stderr
    assert "\x1b" not in done.stderr


def test_what_is_no_setting_is_not_written(machine: Here, tmp_path: Path) -> None:
    for arguments in (("ttl", "soon"), ("nonsense", "x"), ("ttl",), ("quiet", "perhaps")):
        assert machine.run("config", "set", *arguments).returncode == 2
    assert not (tmp_path / "repram").exists()


def test_a_quiet_setting_can_be_overruled(machine: Here) -> None:
    machine.said("config", "set", "quiet", "true")
    joining = ("space", "join", "--file", "/proc/none")
    assert machine.run("space", "new", "a").stderr == ""
    assert machine.run("space", "new", "b", "--no-quiet").stderr != ""
    assert machine.run(*joining).stderr != ""
