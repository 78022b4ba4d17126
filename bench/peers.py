"""The peers: ways to move bytes from side A to side B, each with a process on either side."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from bench import certificate
from bench.links import Side
from bench.processes import STATE, Failed, Process

PORT: Final = 5201
READY_WITHIN: Final = 20.0  # seconds
PATIENCE: Final = 60.0  # seconds beyond the time that a transfer was to take
SECONDS_A_SIZE_MAY_TAKE: Final = 300.0
ENDLESS: Final = 1 << 40  # bytes of a file that is sent until time is up


NGINX: Final = """
daemon off; master_process off; pid nginx.pid;
events {{}}
http {{
    access_log off; sendfile on;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    server {{
        listen {host}:{port} ssl; root {folder};
        ssl_protocols TLSv1.3; ssl_certificate certificate.pem; ssl_certificate_key key.pem;
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Amount:
    """How much to move: for so long, or so many bytes."""

    seconds: float = 0.0
    size: int = 0

    @property
    def patience(self) -> float:
        """Seconds after which a transfer has failed."""
        return (SECONDS_A_SIZE_MAY_TAKE if self.size else 2 * self.seconds) + PATIENCE


@dataclass(frozen=True, slots=True)
class Flow:
    """What was moved from A to B once the session stood, and what it cost on either side."""

    bytes: int
    seconds: float
    cpu_s_sender: float
    cpu_s_receiver: float

    @property
    def goodput_mb_s(self) -> float:
        """10⁶ bytes a second."""
        return self.bytes / self.seconds / 1e6

    @property
    def cpu_s_gib(self) -> float:
        """CPU seconds of both sides for each GiB."""
        return (self.cpu_s_sender + self.cpu_s_receiver) / max(self.bytes, 1) * 2**30


@dataclass(frozen=True, slots=True)
class Told:
    """What a client says of its transfer; CPU seconds only if it keeps its own account."""

    bytes: int
    seconds: float
    cpu_s: float | None = None


class Peer:
    """One implementation with one congestion control."""

    serves: ClassVar[Side] = "a"
    commands: ClassVar[tuple[str, ...]] = ()
    modules: ClassVar[tuple[str, ...]] = ()

    def __init__(self, name: str, congestion: str | None) -> None:
        self.name = name
        self.congestion = congestion

    @property
    def tcp_congestion(self) -> str | None:
        """What both kernels are to use while this peer runs."""
        return self.congestion

    def missing(self) -> str | None:
        """What this machine lacks for it."""
        for command in self.commands:
            if _find(command) is None:
                return f"`{command}` is missing"
        for module in self.modules:
            if importlib.util.find_spec(module) is None:
                return f"the Python package {module} is missing"
        return None

    def server(self, host: str, port: int, folder: Path) -> list[str]:
        """The command that waits for a client."""
        raise NotImplementedError

    def wait_until_ready(self, server: Process, _folder: Path) -> str:
        """What the server says when it can be reached."""
        return server.line(READY_WITHIN)

    def client(
        self, host: str, port: int, greeting: str, amount: Amount, folder: Path
    ) -> list[str]:
        """The command that makes one transfer."""
        raise NotImplementedError

    def told(self, output: str) -> Told:
        """What its output says."""
        last = json.loads(output.splitlines()[-1])
        return Told(last["bytes"], last["seconds"], last["cpu_s"])


class Repram(Peer):
    """Ours, by the command that anyone can run: the client sends."""

    serves = "b"
    options: ClassVar[tuple[str, ...]] = ()

    @property
    def tcp_congestion(self) -> str | None:
        return None

    def server(self, host: str, port: int, _folder: Path) -> list[str]:
        return [*_OURS, "serve", "--listen", f"{host}:{port}", "--json"]

    def client(
        self, _host: str, _port: int, greeting: str, amount: Amount, _folder: Path
    ) -> list[str]:
        much = (
            ["--bytes", str(amount.size)] if amount.size else ["--seconds", f"{amount.seconds:g}s"]
        )
        control = ["--cc", self.congestion] if self.congestion else []
        address = json.loads(greeting)["address"]
        return [*_OURS, "run", address, "--json", *much, *control, *self.options]

    def told(self, output: str) -> Told:
        last = json.loads(output.splitlines()[-1])
        return Told(last["bytes"], last["seconds"], last["cpu_s_local"])


class RepramXChaCha20(Repram):
    """Ours where one of the CPUs has no AES instructions."""

    options = ("--suite", "xchacha20")


class Library(Peer):
    """A library, driven by a program of ours in bench/programs/."""

    script: ClassVar[str]

    def server(self, host: str, port: int, folder: Path) -> list[str]:
        return self._run("serve", host, port, folder)

    def client(
        self, host: str, port: int, _greeting: str, amount: Amount, folder: Path
    ) -> list[str]:
        much = ["--size", str(amount.size)] if amount.size else ["--seconds", f"{amount.seconds:g}"]
        return [*self._run("fetch", host, port, folder), *much]

    def _run(self, role: str, host: str, port: int, folder: Path) -> list[str]:
        module = f"bench.programs.{self.script}"
        return [sys.executable, "-m", module, role, host, str(port), "--state", str(folder)]


class TlsSock(Library):
    """TLS 1.3 of Python's ssl, blocking."""

    script = "tls_sock"


class TlsUvloop(Library):
    """TLS 1.3 on uvloop."""

    script = "tls_uvloop"
    modules = ("uvloop",)


class Aioquic(Library):
    """QUIC in Python."""

    script = "quic"
    modules = ("aioquic",)


class IrohFixed(Library):
    """QUIC in Rust, used from Python."""

    script = "iroh_fixed"
    modules = ("iroh",)


class Nginx(Peer):
    """HTTPS as most of the world has it: nginx sends a file of memory's, curl receives it."""

    commands = ("nginx", "curl")

    def server(self, host: str, port: int, folder: Path) -> list[str]:
        with (folder / "endless").open("wb") as file:
            file.truncate(ENDLESS)  # holes, which take no room
        (folder / "nginx.pid").unlink(missing_ok=True)
        configuration = folder / "nginx.conf"
        configuration.write_text(NGINX.format(host=host, port=port, folder=folder))
        return [
            _find("nginx") or "nginx",
            "-p",
            str(folder),
            "-c",
            configuration.name,
            "-e",
            "stderr",
        ]

    def wait_until_ready(self, server: Process, folder: Path) -> str:
        while not (folder / "nginx.pid").exists():  # written once its socket listens
            if server.ended():
                raise server.failure("nginx ended")
            time.sleep(0.01)
        return ""

    def client(
        self, host: str, port: int, _greeting: str, amount: Amount, folder: Path
    ) -> list[str]:
        much = ["-r", f"0-{amount.size - 1}"] if amount.size else ["-m", f"{amount.seconds:g}"]
        trust = ["--cacert", str(folder / certificate.CERTIFICATE)]
        tell = ["-w", "%{size_download} %{time_total} %{time_pretransfer}"]
        url = f"https://{host}:{port}/endless"
        return ["curl", "-s", "-S", *trust, *tell, *much, "-o", "/dev/null", url]

    def told(self, output: str) -> Told:
        size, total, before = output.split()
        return Told(int(size), float(total) - float(before))


class Iperf3(Peer):
    """TCP without encryption: what the kernel can carry. The client sends."""

    serves = "b"
    commands = ("iperf3",)

    @property
    def tcp_congestion(self) -> str | None:
        return None  # it is told by option, so that two of them can differ

    def server(self, host: str, port: int, _folder: Path) -> list[str]:
        return ["iperf3", "-s", "-B", host, "-p", str(port), "--forceflush"]

    def wait_until_ready(self, server: Process, _folder: Path) -> str:
        while "listening" not in (line := server.line(READY_WITHIN)):
            pass
        return line

    def client(
        self, host: str, port: int, _greeting: str, amount: Amount, _folder: Path
    ) -> list[str]:
        much = ["-n", str(amount.size)] if amount.size else ["-t", f"{max(1, amount.seconds):.0f}"]
        control = ["-C", self.congestion] if self.congestion else []
        return ["iperf3", "-c", host, "-p", str(port), "-J", *much, *control]

    def told(self, output: str) -> Told:
        result = json.loads(output)
        if "error" in result:
            raise Failed(result["error"])
        received = result["end"]["sum_received"]
        return Told(received["bytes"], received["seconds"])


def _find(command: str) -> str | None:
    """Where a command is; nginx may have been unpacked for the benchmarks alone."""
    unpacked = STATE / "nginx" / "usr" / "sbin"
    return shutil.which(command, path=f"{os.environ['PATH']}:{unpacked}")


_OURS: Final = (sys.executable, "-m", "repram_cli", "bench")
_KINDS: Final[dict[str, type[Peer]]] = {
    "repram": Repram,
    "repram-xchacha20": RepramXChaCha20,
    "tls-sock": TlsSock,
    "tls-uvloop": TlsUvloop,
    "nginx": Nginx,
    "aioquic": Aioquic,
    "iroh-fixed": IrohFixed,
    "iperf3": Iperf3,
}
_CONTROLS: Final = ("cubic", "bbr")
_WITHOUT_CONTROLS: Final = ("aioquic", "iroh-fixed")  # have their own
NAMES: Final = tuple(_KINDS)


def find(name: str) -> Peer:
    """`tls-sock`, or `tls-sock-cubic` for one with a congestion control of its own."""
    kind, _, control = name.rpartition("-")
    if control in _CONTROLS and kind in _KINDS and kind not in _WITHOUT_CONTROLS:
        return _KINDS[kind](name, control)
    if name in _KINDS:
        return _KINDS[name](name, None)
    raise ValueError(f"no peer {name!r}; there are {', '.join(NAMES)}, with -cubic or -bbr behind")
