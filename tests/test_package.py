"""What is shipped: one wheel for CPython 3.11 and later, an sdist to build it, a quick import."""

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {
    "argon2",
    "asyncio",
    "blake3",
    "cffi",
    "cryptography",
    "msgspec",
    "nacl",
    "rich",
    "typer",
    "uvloop",
}


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Output of a command that no PYTHON... variable points back to this checkout."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        command, cwd=cwd, env=outside, check=False, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{command}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the sdist made from this tree and the wheel made from that sdist."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    return folder


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment that holds the wheel and what it asks for, nothing else."""
    home = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", home)
    run(home / "bin" / "pip", "install", "-q", next(dist.glob("*.whl")), cwd=home)
    return home / "bin"


def sources(folder: str) -> set[str]:
    return {path.relative_to(ROOT / folder).as_posix() for path in (ROOT / folder).rglob("*.py")}


def test_importing_repram_loads_nothing_heavy() -> None:
    loaded = run(
        sys.executable, "-c", "import json, sys, repram; print(json.dumps([*sys.modules]))"
    )
    assert {name.partition(".")[0] for name in json.loads(loaded)} & HEAVY == set()


@pytest.mark.packaging
def test_one_wheel_serves_every_python_from_3_11(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    assert wheel.name.startswith("repram-0.1.0-cp311-abi3-")


@pytest.mark.packaging
def test_the_wheel_holds_every_module_and_no_top_level_cli(dist: Path) -> None:
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
    wanted = {f"repram/{name}" for name in sources("repram")}
    wanted |= {f"repram_cli/{name}" for name in sources("cli")}
    assert wanted | {"repram/py.typed", "repram/_core.pyi", "repram/_core.abi3.so"} <= names
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"repram", "repram_cli", "repram-0.1.0.dist-info", "repram-0.1.0.data"}
    assert "repram-0.1.0.data/data/share/man/man1/repram.1" in names


@pytest.mark.packaging
def test_the_sdist_carries_the_c_sources(dist: Path) -> None:
    with tarfile.open(next(dist.glob("*.tar.gz"))) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    tracked = (path for path in (ROOT / "csrc").iterdir() if path.suffix in {".c", ".h", ".py"})
    assert {f"csrc/{path.name}" for path in tracked} <= names


@pytest.mark.packaging
def test_the_installed_wheel_runs_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    assert "0.1.0" in run(installed / "repram", "--version", cwd=tmp_path)


@pytest.mark.packaging
def test_the_installed_wheel_carries_a_file_from_end_to_end(
    installed: Path, tmp_path: Path
) -> None:
    run(installed / "python", "-m", "repram_cli.demo", cwd=tmp_path)
