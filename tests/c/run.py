"""Compiles and runs every test_*.c: plain, under ASan and UBSan, or under valgrind."""

import argparse
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.c.compile import LANGUAGE, ROOT, TESTS, Compiler, programs, require, select

WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Werror")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
VALGRIND = (
    "valgrind",
    "--quiet",
    "--error-exitcode=99",
    "--leak-check=full",
    "--track-origins=yes",
)
TOO_LONG_FOR_VALGRIND = ("test_sharing",)  # minutes of full lines; the sanitizers watch them


def main() -> int:
    """Runs what the command line names; 1 when any program fails."""
    arguments = parse()
    require("gcc", "sodium.h", *(["valgrind"] if arguments.valgrind else []))
    mode = "sanitize" if arguments.sanitize else "valgrind" if arguments.valgrind else "plain"
    flags = (*LANGUAGE, *WARNINGS, "-g", "-O1", *(SANITIZERS if arguments.sanitize else ()))
    compiler = Compiler("gcc", flags, (), ROOT / "build" / "c" / mode)
    sources = select(sorted(TESTS.glob("test_*.c")), arguments.names)
    if arguments.valgrind and not arguments.names:
        sources = [source for source in sources if source.stem not in TOO_LONG_FOR_VALGRIND]
    wrapper = VALGRIND if arguments.valgrind else ()
    made = programs(compiler, sources)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        passed = list(pool.map(lambda path: passes(path, wrapper), made))
    failed = [path.name for path, well in zip(made, passed, strict=True) if not well]
    print(f"C tests, {mode}: {len(sources) - len(failed)} passed, {len(failed)} failed", *failed)
    return 1 if failed else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.c.run", description=__doc__)
    parser.add_argument("names", nargs="*", help="such as test_ranges; all when none is given")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--sanitize", action="store_true")
    mode.add_argument("--valgrind", action="store_true")
    return parser.parse_args()


def passes(program: Path, wrapper: tuple[str, ...]) -> bool:
    """Runs one test program and prints what it said, then its line."""
    start = time.monotonic()
    environment = {**os.environ, "UBSAN_OPTIONS": "print_stacktrace=1"}
    said = subprocess.run(
        [*wrapper, program],
        check=False,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    outcome = "ok" if said.returncode == 0 else f"FAILED ({said.returncode})"
    line = f"{program.name} {outcome} {time.monotonic() - start:.1f} s"
    print(f"{said.stdout}{line}", flush=True)
    return said.returncode == 0


if __name__ == "__main__":
    raise SystemExit(main())
