"""Compiles every fuzz_*.c with libFuzzer, ASan and UBSan, and runs each for a time or a number of inputs."""

import argparse
import os
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.c.compile import LANGUAGE, ROOT, Compiler, programs, require, select

TARGETS = ROOT / "tests" / "fuzz"
BUILD = ROOT / "build" / "fuzz"
SANITIZERS = "address,undefined"
MOST_BYTES = {"fuzz_connection": 241, "fuzz_packet": 1200, "fuzz_handshake": 1500}  # of an input
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
    require("clang", "sodium.h")
    compiler = Compiler(
        "clang",
        (*LANGUAGE, *FLAGS, f"-fsanitize=fuzzer-no-link,{SANITIZERS}", *COVERAGE),
        (f"-fsanitize=fuzzer,{SANITIZERS}", *(f"-Wl,--wrap={name}" for name in GUARDED)),
        BUILD,
    )
    limit = f"-max_total_time={arguments.seconds}"
    if arguments.executions is not None:
        limit = f"-runs={arguments.executions}"
    sources = select(sorted(TARGETS.glob("fuzz_*.c")), arguments.names)
    targets = programs(compiler, sources)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        survived = list(pool.map(lambda target: fuzz(target, limit), targets))
    return 0 if all(survived) else 1


def fuzz(target: Path, limit: str) -> bool:
    """Runs one target; what it learns, and an input that crashes it, stay in the build folder."""
    learnt = BUILD / "corpus" / target.name
    learnt.mkdir(parents=True, exist_ok=True)
    seeds = TARGETS / "corpus" / target.name
    start = time.monotonic()
    run = subprocess.run(
        [
            target,
            limit,
            f"-artifact_prefix={BUILD}/{target.name}-",
            f"-max_len={MOST_BYTES.get(target.name, 4096)}",
            "-timeout=10",
            "-entropic_scale_per_exec_time=1",
            "-detect_leaks=0",  # csrc allocates nothing after the start; the arena is looked at in the end
            "-rss_limit_mb=2048",
            "-print_final_stats=1",
            learnt,
            *([seeds] if seeds.is_dir() else []),
        ],
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if run.returncode != 0:
        print(f"{target.name} CRASHED\n{run.stderr[-4000:]}", flush=True)
        return False
    units = re.search(r"number_of_executed_units: (\d+)", run.stderr)
    seconds = time.monotonic() - start
    print(f"{target.name} ok, {units[1] if units else '?'} inputs in {seconds:.0f} s", flush=True)
    return True


if __name__ == "__main__":
    raise SystemExit(main())
