"""Compiles C programs together with the transport core, for the C tests and the fuzz targets."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests" / "c"
LANGUAGE = ("-std=c11", "-D_GNU_SOURCE", "-fno-strict-aliasing")  # as csrc/build.py has it
PACKAGES = {
    "gcc": "gcc",
    "clang": "clang",
    "valgrind": "valgrind",
    "sodium.h": "libsodium-dev",
}


@dataclass(frozen=True, slots=True)
class Compiler:
    """One compiler with its flags, and where what it makes is put."""

    command: str
    flags: Sequence[str]
    link_flags: Sequence[str]
    folder: Path

    def object(self, source: Path) -> Path:
        target = self.folder / f"{source.parent.name}-{source.stem}.o"
        self._run("-c", source, "-o", target)
        return target

    def program(self, source: Path, objects: Sequence[Path]) -> Path:
        target = self.folder / source.stem
        self._run(*self.link_flags, source, *objects, "-lsodium", "-lm", "-o", target)
        return target

    def _run(self, *arguments: str | Path) -> None:
        includes = (f"-I{ROOT / 'csrc'}", f"-I{TESTS}")
        command = [self.command, *self.flags, *includes, *arguments]
        if subprocess.run(command, check=False).returncode != 0:
            stop(f"does not compile: {' '.join(map(str, command))}")


def programs(compiler: Compiler, sources: Sequence[Path]) -> list[Path]:
    """Each source as a program of its own, linked with all of csrc and the tests' own parts."""
    compiler.folder.mkdir(parents=True, exist_ok=True)
    folders = {TESTS, *(source.parent for source in sources)}
    written = sorted(path for folder in folders for path in folder.glob("*.c"))
    parts = [path for path in written if not path.name.startswith(("test_", "fuzz_"))]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compiler.object, [*sorted((ROOT / "csrc").glob("*.c")), *parts]))
        return list(pool.map(lambda source: compiler.program(source, objects), sources))


def require(*names: str) -> None:
    """Ends the run with the Debian package to install when a command or header is missing."""
    for name in names:
        found = Path("/usr/include", name).exists() if name.endswith(".h") else shutil.which(name)
        if not found:
            stop(f"missing: {name}. On Debian: apt install {PACKAGES[name]}")


def select(sources: Sequence[Path], names: Sequence[str]) -> list[Path]:
    """The sources with these stems (all, when no name is given); an unknown name ends the run."""
    chosen = [source for source in sources if not names or source.stem in names]
    if not chosen or set(names) - {source.stem for source in chosen}:
        stop(f"nothing to run: {' '.join(names) or 'no sources found'}")
    return chosen


def stop(reason: str) -> NoReturn:
    """Ends the run with 2: that nothing could be tested is not a test that failed, which is 1."""
    print(reason, file=sys.stderr)
    raise SystemExit(2)
