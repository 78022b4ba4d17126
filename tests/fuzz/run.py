"""Runs every fuzz target for a time or a number of inputs.

A fuzz_*.c is compiled with libFuzzer, ASan and UBSan; a fuzz_*.py is run by `tests.fuzz.engine`, as what it
reads is read in Python.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import blake2b
from pathlib import Path

from tests.c.compile import LANGUAGE, ROOT, Compiler, programs, require, select
from tests.fuzz.engine import in_hand

TARGETS = ROOT / "tests" / "fuzz"
BUILD = ROOT / "build" / "fuzz"
SANITIZERS = "address,undefined"
MOST_BYTES = {"fuzz_connection": 241, "fuzz_packet": 1200, "fuzz_handshake": 1500}  # of an input
LIBFUZZER = {"seconds": "max_total_time", "executions": "runs"}
FLAGS = ("-g", "-O2", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
GUARDED = ("rp_pool_take", "rp_pool_give", "rp_arena_take")  # by tests/fuzz/guard.c
# Counters alone, and of csrc alone: three times as many inputs a second, none kept for what is ours.
COVERAGE = (
    "-fno-sanitize-coverage=trace-cmp,indirect-calls",
    f"-fsanitize-coverage-allowlist={TARGETS / 'covered'}",
)


def main() -> int:
    """Fuzzes what the command line names; 1 when any target crashes."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description=__doc__)
    parser.add_argument("names", nargs="*", help="such as fuzz_header; all when none is given")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--seconds", type=int, default=60, help="for each target")
    length.add_argument("--executions", type=int, help="for each target, however long that takes")
    arguments = parser.parse_args()
    chosen = select(sorted(TARGETS.glob("fuzz_*.[cp]*")), arguments.names)
    written_in_c = [source for source in chosen if source.suffix == ".c"]
    BUILD.mkdir(parents=True, exist_ok=True)
    limit, value = "seconds", arguments.seconds
    if arguments.executions is not None:
        limit, value = "executions", arguments.executions
    runs = [partial(fuzz, target, limit, value) for target in compiled(written_in_c)]
    in_python = [source for source in chosen if source.suffix == ".py"]
    runs += [partial(fuzz_python, source.stem, limit, value) for source in in_python]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        survived = list(pool.map(lambda run: run(), runs))
    return 0 if all(survived) else 1


def compiled(sources: Sequence[Path]) -> list[Path]:
    """The targets in C, ready to run."""
    if not sources:
        return []
    require("clang", "sodium.h")
    compiler = Compiler(
        "clang",
        (*LANGUAGE, *FLAGS, f"-fsanitize=fuzzer-no-link,{SANITIZERS}", *COVERAGE),
        (f"-fsanitize=fuzzer,{SANITIZERS}", *(f"-Wl,--wrap={name}" for name in GUARDED)),
        BUILD,
    )
    return programs(compiler, sources)


def fuzz(target: Path, limit: str, value: int) -> bool:
    """Runs one target; what it learns, and an input that crashes it, stay in the build folder."""
    learnt = learnt_by(target.name)
    seeds = TARGETS / "corpus" / target.name
    return run(
        target.name,
        [
            target,
            f"-{LIBFUZZER[limit]}={value}",
            f"-artifact_prefix={BUILD}/{target.name}-",
            f"-max_len={MOST_BYTES.get(target.name, 4096)}",
            "-timeout=120",  # of the wall clock, and others may use the machine, too
            "-entropic_scale_per_exec_time=1",
            "-detect_leaks=0",  # csrc allocates nothing after the start; the arena is looked at in the end
            "-rss_limit_mb=2048",
            "-print_final_stats=1",
            learnt,
            *([seeds] if seeds.is_dir() else []),
        ],
    )


def fuzz_python(name: str, limit: str, value: int) -> bool:
    """The same for a target in Python."""
    hand = BUILD / f"{name}-in-hand"
    command = [sys.executable, "-m", "tests.fuzz.engine", name, f"--{limit}", str(value)]
    if run(name, [*command, "--learnt", learnt_by(name), "--in-hand", hand]):
        return True
    found = in_hand(hand)
    saved = BUILD / f"{name}-crash-{blake2b(found, digest_size=20).hexdigest()}"
    saved.write_bytes(found)
    print(f"replay: python -m tests.fuzz.engine {name} --replay {saved}", flush=True)
    return False


def learnt_by(name: str) -> Path:
    """Where a target keeps the inputs that have shown something new."""
    learnt = BUILD / "corpus" / name
    learnt.mkdir(parents=True, exist_ok=True)
    return learnt


def run(name: str, command: Sequence[str | Path]) -> bool:
    """Whether a target survives; says so, and how much it tried."""
    start = time.monotonic()
    done = subprocess.run(
        command, check=False, cwd=ROOT, capture_output=True, text=True, errors="replace"
    )
    if done.returncode != 0:
        print(f"{name} CRASHED\n{done.stdout[-400:]}{done.stderr[-4000:]}", flush=True)
        return False
    units = re.search(r"number_of_executed_units: (\d+)", done.stderr + done.stdout)
    seconds = time.monotonic() - start
    print(f"{name} ok, {units[1] if units else '?'} inputs in {seconds:.0f} s", flush=True)
    return True


if __name__ == "__main__":
    raise SystemExit(main())
