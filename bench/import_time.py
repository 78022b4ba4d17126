"""How long `import repram` takes: the best of several fresh interpreters, less an empty start."""

import json
import subprocess
import sys
import time

RUNS = 15


def best_start_ms(program: str) -> float:
    """The quickest of several interpreters that run this program."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", program], check=True)
        times.append(time.perf_counter() - start)
    return min(times) * 1000


if __name__ == "__main__":
    empty, loaded = best_start_ms("pass"), best_start_ms("import repram")
    print(
        json.dumps(
            {"bench": "import_time", "ms": round(loaded - empty, 1), "empty_ms": round(empty, 1)}
        )
    )
