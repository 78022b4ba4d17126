"""Keys are searched where an attacker would: in the raw files, in the raw image below them, and in memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import nacl.bindings as sodium
import pytest

Look = Callable[[], bytes]


class Holder:
    """The other process; what it has drawn follows from the count."""

    def __init__(self, process: subprocess.Popen[bytes], first: int) -> None:
        self.process, self.first = process, first
        self.drawn = -1

    def step(self) -> None:
        assert self.process.stdin
        assert self.process.stdout
        if self.drawn >= 0:
            self.process.stdin.write(b"\n")
            self.process.stdin.flush()
        self.drawn = int(self.process.stdout.readline())

    def keys(self) -> dict[int, bytes]:
        """By number."""
        numbers = range(self.first, self.drawn + 1)
        return {n: sodium.randombytes_buf_deterministic(32, n.to_bytes(32, "big")) for n in numbers}

    def found_in(self, content: bytes) -> set[int]:
        return {number for number, key in self.keys().items() if key in content}

    def memory(self) -> bytes:
        """All that can be read of it."""
        parts = []
        maps = Path(f"/proc/{self.process.pid}/maps").read_text().splitlines()
        with Path(f"/proc/{self.process.pid}/mem").open("rb", buffering=0) as memory:
            for line in maps:
                span, rights, *_ = line.split()
                if "rw" not in rights:
                    continue
                first, last = (int(end, 16) for end in span.split("-"))
                memory.seek(first)
                try:
                    while first < last and (part := memory.read(last - first)):
                        parts.append(part)
                        first += len(part)
                except OSError:
                    continue  # the kernel's own pages
        return b"".join(parts)


@contextmanager
def holder(tier: str, folder: Path) -> Iterator[Holder]:
    command = [sys.executable, "-m", "tests.storaged.disk.keyholder", tier, str(folder)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    ) as process:
        try:
            # What a store on disk draws first is its id, which is no secret.
            yield Holder(process, first=2 if tier == "disk" else 1)
        finally:
            process.kill()


def files_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def disk_forgets(folder: Path, look: Look) -> None:
    with holder("disk", folder) as process:
        process.step()
        process.step()
        # Five item keys and three bucket keys: 40 s, 300 s, 400 s.
        assert process.drawn == 1 + 8
        in_memory = process.found_in(process.memory())
        assert len(in_memory) == 8
        on_disk = process.found_in(look())
        assert len(on_disk) == 3
        process.step()
        # One of 500 s came and went; 300 s and 400 s were given new ones; the replacement has its own.
        assert process.drawn == 9 + 1 + 1 + 2
        left = process.found_in(look())
        assert len(left) == 2
        assert not left & on_disk
        now_in_memory = process.found_in(process.memory())
        assert len(now_in_memory) == 4  # of two facts and their buckets
        assert len(now_in_memory & in_memory) == 1  # the item key of the one that stays
        assert now_in_memory >= left
        process.step()
        assert not process.found_in(process.memory())


def snapshot_forgets(folder: Path, look: Look) -> None:
    with holder("memory", folder) as process:
        process.step()
        process.step()
        assert process.drawn == 6  # an item key and a bucket key of each
        buckets = process.found_in(look())
        assert len(buckets) == 3
        assert process.found_in(process.memory()) == buckets
        process.step()
        left = process.found_in(look())
        assert len(left) == 1
        assert process.found_in(process.memory()) == left < buckets
        process.step()
        assert process.drawn == 8
        anew = process.found_in(look())
        assert len(anew) == 1
        assert process.found_in(process.memory()) == anew != left
        process.step()
        assert not process.found_in(process.memory())


FORGETS = {"disk": disk_forgets, "memory": snapshot_forgets}


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs /proc")
@pytest.mark.parametrize("tier", FORGETS)
def test_keys_of_what_is_over_are_nowhere(tmp_path: Path, tier: str) -> None:
    FORGETS[tier](tmp_path, lambda: files_of(tmp_path))


@contextmanager
def image_mounted(folder: Path) -> Iterator[tuple[Path, Path]]:
    """A file system in a file: where it is mounted, and the file."""
    image, at = folder / "image", folder / "mounted"
    at.mkdir()
    with image.open("wb") as file:
        file.truncate(32 << 20)
    for command in (
        ["mkfs.ext4", "-q", "-F", str(image)],
        ["mount", "-o", "loop", str(image), str(at)],
    ):
        try:
            done = subprocess.run(command, capture_output=True, check=False)
        except OSError as error:
            pytest.skip(f"{command[0]}: {error}")
        if done.returncode:
            pytest.skip(f"{command[0]}: {done.stderr.decode().strip()}")
    try:
        yield at, image
    finally:
        subprocess.run(["umount", str(at)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a file system")
@pytest.mark.parametrize("tier", FORGETS)
def test_keys_of_what_is_over_are_not_in_the_raw_image(tmp_path: Path, tier: str) -> None:
    with image_mounted(tmp_path) as (at, image):

        def raw() -> bytes:
            os.sync()
            return image.read_bytes()

        FORGETS[tier](at / "store", raw)
