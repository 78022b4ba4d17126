"""Checks the checkers: each planted bug, a *.patch here, must make the test it names fail.

A patch starts with `# caught-by: ` and a pytest selection, or a command that starts with `python`.
With --simulator the bugs in the transport are held against the simulator's seeds instead.
"""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMPILERS = Path(__file__).parent / "bin"  # compiles for all copies what is the same in them once
MARK = "# caught-by: "
SIMULATOR = "python -m tests.sim --seeds 500 --first 1 --stop --jobs 1"
FAILED_SEED = re.compile(r"^seed (\d+) .* FAILED: (.*)", re.MULTILINE)
TEST_FAILED = 1  # of pytest, the simulator and the C tests alike; other codes mean that nothing ran
LIMIT_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Mutant:
    """One planted bug and the check that must find it."""

    patch: Path
    caught_by: str

    @property
    def in_c(self) -> bool:
        return "+++ b/csrc/" in self.patch.read_text()


class BrokenTreeError(Exception):
    """A tree that could not be made, so that what its tests say means nothing."""


def main() -> int:
    """Prints one line a mutant; 1 unless each is killed by a check that passes without it."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants.run", description=__doc__)
    parser.add_argument("names", nargs="*", help="such as crc-skipped; all when none is given")
    parser.add_argument("--simulator", action="store_true", help=f"transport only: {SIMULATOR}")
    parser.add_argument("--part", metavar="K/N", help="only each N-th, from the K-th on")
    arguments = parser.parse_args()
    mutants = collect(arguments.names)
    if arguments.part:
        first, step = map(int, arguments.part.split("/"))
        mutants = mutants[first % step :: step]
    if arguments.simulator:
        mutants = [replace(mutant, caught_by=SIMULATOR) for mutant in mutants if mutant.in_c]
    checks = sorted({mutant.caught_by for mutant in mutants})
    with (
        tempfile.TemporaryDirectory(prefix="repram-mutants-") as folder,
        ThreadPoolExecutor(2) as pool,
    ):
        original = Path(folder, "original", "tree")
        Path(folder, "compiled").mkdir()
        plant(original)
        codes = pool.map(lambda check: run_in_copy(check, original).returncode, checks)
        sound = dict(zip(checks, codes, strict=True))
        return report(mutants, pool.map(lambda mutant: outcome(mutant, original, sound), mutants))


def collect(names: list[str]) -> list[Mutant]:
    """The patches of these names (all, when none is given) with the checks that they name."""
    patches = sorted(Path(__file__).parent.glob("*.patch"))
    if unknown := set(names) - {patch.stem for patch in patches}:
        raise SystemExit(f"no such mutant: {' '.join(sorted(unknown))}")
    mutants = []
    for patch in patches:
        first = patch.read_text().partition("\n")[0]
        if not first.startswith(MARK):
            raise SystemExit(f"{patch.name}: the first line must start with `{MARK}`")
        if not names or patch.stem in names:
            mutants.append(Mutant(patch, first.removeprefix(MARK).strip()))
    if not mutants:
        raise SystemExit("no mutants found: the checkers are unchecked")
    return mutants


def plant(tree: Path) -> None:
    """A copy of what git knows and does not ignore, with all of it compiled."""
    git = ["git", "-c", "safe.directory=*"]  # the checkout may be another user's, as in a container
    listing = [*git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (source := ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, tree / name)
    (tree / "build" / "types").mkdir(parents=True)
    (tree / "build" / "types" / "repram_cli").symlink_to("../../cli")
    build(tree)
    inside(tree, sys.executable, "-m", "compileall", "-q", "repram", "cli", "tests")
    where = inside(tree, sys.executable, "-c", "import repram._core as c; print(c.__file__)")
    if not where.stdout.startswith(str(tree)):
        raise SystemExit(f"the copy is not what its tests import: {where.stdout}{where.stderr}")


def build(tree: Path) -> None:
    done = inside(tree, sys.executable, "setup.py", "-q", "build_ext", "--inplace", "--force")
    if done.returncode != 0:
        raise BrokenTreeError(f"does not build:\n{done.stdout}{done.stderr}")


def inside(tree: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """A command run so that repram and repram_cli are those of this tree."""
    environment = {
        **os.environ,
        "PYTHONPATH": f"{tree}{os.pathsep}{tree / 'build' / 'types'}",
        "PATH": f"{COMPILERS}{os.pathsep}{os.environ['PATH']}",
        "CC": "gcc",
        "COMPILED": str(tree.parents[1] / "compiled"),
        "GIT_CEILING_DIRECTORIES": str(tree.parent),  # or git apply obeys a repository around it
    }
    return subprocess.run(
        command,
        cwd=tree,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=LIMIT_SECONDS,
    )


def run(check: str, tree: Path) -> subprocess.CompletedProcess[str]:
    """A check run in this tree; one that hangs has failed."""
    words = shlex.split(check)
    if words[0] == "python":
        command = [sys.executable, *words[1:]]
    else:
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *words]
    try:
        return inside(tree, *command)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, TEST_FAILED, stdout="", stderr="")


@contextmanager
def copy_of(original: Path) -> Iterator[Path]:
    """A tree of its own for each run: checks build and cache inside it."""
    with tempfile.TemporaryDirectory(dir=original.parents[1]) as folder:
        tree = Path(folder, "tree")
        shutil.copytree(original, tree, symlinks=True)
        yield tree


def run_in_copy(check: str, original: Path) -> subprocess.CompletedProcess[str]:
    with copy_of(original) as tree:
        return run(check, tree)


def outcome(mutant: Mutant, original: Path, sound: dict[str, int]) -> str:
    """`killed`, with the seed that a simulation names, or why this mutant shows nothing."""
    if sound[mutant.caught_by] != 0:
        return f"UNSOUND: its check ends with {sound[mutant.caught_by]} without the patch"
    try:
        with copy_of(original) as tree:
            ran = infect(mutant, tree)
    except BrokenTreeError as error:
        return f"BROKEN: {error}"
    if ran.returncode == 0:
        return "SURVIVED"
    if ran.returncode > TEST_FAILED:
        return f"BROKEN: its check ends with {ran.returncode}"
    seed = FAILED_SEED.search(ran.stdout)
    return f"killed at seed {seed[1]}: {seed[2]}" if seed else "killed"


def infect(mutant: Mutant, tree: Path) -> subprocess.CompletedProcess[str]:
    """Applies the patch, rebuilds what it touches, and runs the check."""
    applied = inside(tree, "git", "apply", "--recount", "-C1", str(mutant.patch))
    if applied.returncode != 0:
        raise BrokenTreeError(f"does not apply:\n{applied.stderr}")
    if mutant.in_c:
        build(tree)
    return run(mutant.caught_by, tree)


def report(mutants: list[Mutant], outcomes: Iterator[str]) -> int:
    """Tells of each as soon as it is known."""
    width = max(len(mutant.patch.stem) for mutant in mutants)
    checks = max(len(mutant.caught_by) for mutant in mutants)
    killed = 0
    for mutant, said in zip(mutants, outcomes, strict=True):
        killed += said.startswith("killed")
        print(f"{mutant.patch.stem:{width}}  {mutant.caught_by:{checks}}  {said}", flush=True)
    print(f"{killed} of {len(mutants)} mutants killed")
    return 0 if killed == len(mutants) else 1


if __name__ == "__main__":
    raise SystemExit(main())
